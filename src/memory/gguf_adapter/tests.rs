use std::fs;

use proptest::prelude::*;

use super::*;
use crate::memory::testing::{lora, tiny_model};
use crate::model::config::Architecture;
use crate::model::mapping::map_of;

fn read(bytes: &[u8], model: &ModelConfig) -> Result<Lora> {
    let file = Gguf::from_map(Path::new("adapter.gguf"), map_of(bytes))?;
    from_gguf(&file, model)
}

fn gguf_llama() -> ModelConfig {
    tiny_model(Architecture::Llama, true)
}

fn sample(model: &ModelConfig) -> Lora {
    lora(model, 3, &Projection::ALL, 5)
}

fn bytes_of(lora: &Lora, model: &ModelConfig) -> Vec<u8> {
    serialize(lora, model, "name", Precision::F32).unwrap()
}

#[test]
fn what_is_saved_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    for (arch, interleaved) in [
        (Architecture::Llama, true),
        (Architecture::Llama, false),
        (Architecture::Qwen2, false),
        (Architecture::Gemma3, false),
    ] {
        let model = tiny_model(arch, interleaved);
        let lora = sample(&model);
        save(&path, &lora, &model, "name", Precision::F32).unwrap();
        assert_eq!(load(&path, &model).unwrap(), lora);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn half_precision_is_near() {
    let model = gguf_llama();
    let lora = sample(&model);
    let bytes = serialize(&lora, &model, "name", Precision::F16).unwrap();
    let loaded = read(&bytes, &model).unwrap();
    for (first, second) in lora.matrices.iter().zip(&loaded.matrices) {
        for (a, b) in first.b.iter().zip(&second.b) {
            assert!((a - b).abs() <= 1e-3 * a.abs() + 1e-7, "{a} {b}");
        }
    }
}

/// What llama.cpp checks when it loads an adapter, and the names it looks for.
#[test]
fn files_are_what_llama_cpp_expects() {
    let model = gguf_llama();
    let bytes = bytes_of(&sample(&model), &model);
    let file = Gguf::from_map(Path::new("adapter.gguf"), map_of(&bytes)).unwrap();
    let text = |key| file.get_str(key).unwrap();
    assert_eq!(text("general.type"), Some("adapter"));
    assert_eq!(text("adapter.type"), Some("lora"));
    assert_eq!(text("general.architecture"), Some("llama"));
    assert_eq!(file.get_f64("adapter.lora.alpha").unwrap(), Some(6.5));
    let shape = |name| file.tensor(name).map(|t| (t.rows, t.cols));
    // ggml names the inner dimension first: A is [in, rank] and B is [rank, out] there.
    assert_eq!(shape("blk.1.attn_output.weight.lora_a"), Some((3, 16)));
    assert_eq!(shape("blk.1.attn_output.weight.lora_b"), Some((12, 3)));
    assert_eq!(file.tensors().count(), 2 * 7 * 2);
}

/// An adapter of a llama read from safetensors is turned into the order of its GGUF file.
#[test]
fn rows_are_in_the_order_of_gguf_models() {
    let (gguf, hf) = (gguf_llama(), tiny_model(Architecture::Llama, false));
    let lora = sample(&hf);
    let turned = read(&bytes_of(&lora, &hf), &gguf).unwrap();
    let (own, other) = (&lora.matrices[0], &turned.matrices[0]);
    assert_eq!(own.projection, Projection::Q);
    assert_eq!(own.b[4 * 3..][..3], other.b[3..][..3]);
    assert_ne!(own.b, other.b);
}

#[test]
fn files_of_other_kinds_and_models_are_refused() {
    let model = gguf_llama();
    let lora = sample(&model);
    let qwen = tiny_model(Architecture::Qwen2, false);
    let shallow = ModelConfig {
        layers: 1,
        ..model.clone()
    };
    let wide = ModelConfig {
        hidden: 14,
        ..model.clone()
    };
    let bytes = bytes_of(&lora, &model);
    for (model, says) in [(qwen, "qwen2"), (shallow, "1 layers"), (wide, "3 x 14")] {
        let message = read(&bytes, &model).unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
    }
    let changed = |key: &str, value: Meta| {
        let mut writer = GgufWriter::new();
        writer.set("general.architecture", "llama".into()).unwrap();
        writer.set("general.type", "adapter".into()).unwrap();
        writer.set("adapter.type", "lora".into()).unwrap();
        writer.set("adapter.lora.alpha", Meta::F32(1.0)).unwrap();
        writer.set(key, value).unwrap();
        writer.begin(Vec::new()).unwrap().finish().unwrap()
    };
    for (key, value, says) in [
        ("general.type", Meta::from("model"), "no adapter"),
        ("adapter.type", Meta::from("other"), "'other'"),
        ("adapter.lora.alpha", Meta::F32(f32::NAN), "alpha"),
        ("adapter.lora.alpha", Meta::from("1"), "alpha"),
        (
            "adapter.alora.invocation_tokens",
            Meta::Array(vec![Meta::U32(1)]),
            "aLoRA",
        ),
        ("general.name", Meta::from("empty"), "no LoRA matrix"),
    ] {
        let message = read(&changed(key, value), &model).unwrap_err().to_string();
        assert!(message.contains(says), "{key}: {message}");
    }
}

#[test]
fn an_alpha_of_nothing_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let model = gguf_llama();
    let mut lora = sample(&model);
    lora.config.alpha = 0.0;
    let path = folder.path().join("a.gguf");
    assert!(save(&path, &lora, &model, "name", Precision::F32).is_err());
    assert!(!path.exists());
}

proptest! {
    #[test]
    fn damaged_files_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        truncate in any::<bool>(),
    ) {
        let model = gguf_llama();
        let mut bytes = bytes_of(&sample(&model), &model);
        for (at, byte) in changes {
            let at = at.index(bytes.len().min(2600));
            bytes[at] = byte;
        }
        if truncate {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(lora) = read(&bytes, &model) {
            prop_assert!(lora.matrices.iter().all(|m| m.b.len() == m.outputs * lora.config.rank));
        }
    }
}
