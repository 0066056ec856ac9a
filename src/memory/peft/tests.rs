use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::memory::testing::{lora, lora_content, prefix, tiny_model};
use crate::model::config::Architecture;

fn gguf_llama() -> ModelConfig {
    tiny_model(Architecture::Llama, true)
}

fn saved(content: &Content, model: &ModelConfig) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), content, model, "the model").unwrap();
    folder
}

/// The config with one field set to something else.
fn with_field(folder: &TempDir, name: &str, value: Value) {
    let path = folder.path().join(CONFIG);
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    config[name] = value;
    fs::write(&path, config.to_string()).unwrap();
}

fn refusal(folder: &TempDir, model: &ModelConfig) -> String {
    let message = load(folder.path(), model)
        .expect_err("a refusal")
        .to_string();
    assert!(
        message.starts_with(folder.path().to_str().unwrap()),
        "{message}"
    );
    assert!(!message.contains(char::is_control), "{message:?}");
    message
}

#[test]
fn what_is_saved_is_loaded() {
    let all = Projection::ALL;
    for interleaved in [true, false] {
        let model = tiny_model(Architecture::Llama, interleaved);
        for content in [
            Content::new(lora(&model, 4, &all, 1)),
            Content::new(lora(&model, 3, &[Projection::K], 2)),
            Content::new(prefix(&model, 5)),
        ] {
            let folder = saved(&content, &model);
            assert_eq!(load(folder.path(), &model).unwrap(), content);
        }
    }
}

#[test]
fn an_adapter_of_some_layers_names_them() {
    let model = gguf_llama();
    let mut lora = lora(&model, 2, &[Projection::Q, Projection::Up], 3);
    lora.matrices.remove(0);
    let content = Content::new(lora);
    let folder = saved(&content, &model);
    let config = fs::read_to_string(folder.path().join(CONFIG)).unwrap();
    assert!(
        config.contains("\"model.layers.0.mlp.up_proj\""),
        "{config}"
    );
    assert!(!config.contains("model.layers.0.self_attn"), "{config}");
    assert_eq!(load(folder.path(), &model).unwrap(), content);
}

/// The same file, read for a model whose rows are in Hugging Face's order and for one whose rows
/// are in GGUF's, means the same.
#[test]
fn files_are_in_the_order_of_hugging_face() {
    let (gguf, hf) = (gguf_llama(), tiny_model(Architecture::Llama, false));
    let content = Content::new(lora(&gguf, 2, &[Projection::Q, Projection::V], 4));
    let folder = saved(&content, &gguf);
    let other = load(folder.path(), &hf).unwrap();
    let (Some(own), Some(other)) = (content.get::<Lora>(), other.get::<Lora>()) else {
        panic!("an adapter");
    };
    for (own, other) in own.matrices.iter().zip(&other.matrices) {
        assert_eq!(own.a, other.a);
        if own.projection == Projection::V {
            assert_eq!(own.b, other.b);
            continue;
        }
        // Neighbours 2i and 2i + 1 of a head of 8 are i and i + 4 there.
        for (head, i) in [(0, 0), (0, 3), (1, 2)] {
            let row = |b: &[f32], row: usize| b[(head * 8 + row) * 2..][..2].to_vec();
            assert_eq!(row(&own.b, 2 * i), row(&other.b, i));
            assert_eq!(row(&own.b, 2 * i + 1), row(&other.b, i + 4));
        }
    }
}

#[test]
fn stabilised_scaling_is_taken_over() {
    let model = gguf_llama();
    let folder = saved(&lora_content(&model, 1), &model);
    with_field(&folder, "lora_alpha", 3.into());
    with_field(&folder, "use_rslora", true.into());
    let content = load(folder.path(), &model).unwrap();
    let lora = content.get::<Lora>().expect("an adapter");
    // 3 / sqrt(4)
    assert_eq!(lora.config.scale(), 1.5);
}

#[test]
fn what_peft_itself_adds_to_a_config_is_accepted() {
    let model = gguf_llama();
    let content = lora_content(&model, 1);
    let folder = saved(&content, &model);
    for (name, value) in [
        ("alpha_pattern", json!({})),
        ("rank_pattern", json!({})),
        ("init_lora_weights", json!("gaussian")),
        ("layers_to_transform", json!([0, 1])),
        ("loftq_config", json!({})),
        ("peft_version", json!("0.21.2")),
        ("qalora_group_size", json!(16)),
        ("runtime_config", json!({"ephemeral_gpu_offload": false})),
        ("target_parameters", Value::Null),
        ("use_qalora", json!(false)),
    ] {
        with_field(&folder, name, value);
    }
    assert_eq!(load(folder.path(), &model).unwrap(), content);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let model = gguf_llama();
    for (name, value, says) in [
        ("use_dora", json!(true), "DoRA"),
        ("rank_pattern", json!({"q_proj": 3}), "ranks"),
        ("alpha_pattern", json!({"q_proj": 3}), "scales"),
        ("bias", json!("all"), "biases"),
        ("lora_bias", json!(true), "biases"),
        ("modules_to_save", json!(["lm_head"]), "modules"),
        ("init_lora_weights", json!("pissa"), "own weights"),
        ("fan_in_fan_out", json!(true), "transposed"),
        ("something_new", json!(true), "unknown"),
        ("peft_type", json!("IA3"), "IA3"),
        ("peft_type", Value::Null, "peft_type"),
        ("r", json!(0), "'r'"),
        ("r", json!(1e30), "'r'"),
        ("r", json!(5), "16 x 5"),
        ("lora_alpha", json!("four"), "lora_alpha"),
        ("lora_alpha", json!(1e300), "lora_alpha"),
        ("use_rslora", json!("yes"), "use_rslora"),
    ] {
        let folder = saved(&lora_content(&model, 1), &model);
        with_field(&folder, name, value);
        let message = refusal(&folder, &model);
        assert!(message.contains(says), "{name}: {message}");
    }
}

#[test]
fn adapters_of_other_models_are_refused() {
    let model = gguf_llama();
    let larger = ModelConfig {
        hidden: 24,
        ..model.clone()
    };
    let deeper = ModelConfig {
        layers: 3,
        ..model.clone()
    };
    let folder = saved(&lora_content(&larger, 1), &larger);
    assert!(refusal(&folder, &model).contains("4 x 24"));
    let folder = saved(&lora_content(&deeper, 1), &deeper);
    assert!(refusal(&folder, &model).contains("2 layers"));
    let folder = saved(&Content::new(prefix(&larger, 3)), &larger);
    assert!(refusal(&folder, &model).contains("24 wide"));
}

#[test]
fn tensors_that_do_not_belong_are_refused() {
    let model = gguf_llama();
    let tensor = |name: &str, shape: [usize; 2]| NamedTensor {
        name: name.into(),
        shape: shape.to_vec(),
        values: vec![0.5; shape[0] * shape[1]],
    };
    let name = |part: &str| format!("{ROOT}model.layers.0.self_attn.q_proj.{part}");
    let other = format!("{ROOT}language_model.model.layers.0.self_attn.q_proj.lora_A.weight");
    let a = || tensor(&name("lora_A.weight"), [4, 12]);
    let b = || tensor(&name("lora_B.weight"), [16, 4]);
    let magnitude = tensor(&name("lora_magnitude_vector"), [1, 16]);
    let padded = tensor(
        &name("lora_A.weight").replace("layers.0", "layers.00"),
        [4, 12],
    );
    let mut nan = b();
    nan.values[3] = f32::NAN;
    let folder = saved(&lora_content(&model, 1), &model);
    for (tensors, says) in [
        (vec![], "no LoRA matrix"),
        (vec![a()], "partner"),
        (vec![a(), b(), magnitude], "lora_magnitude_vector"),
        (vec![a(), b(), padded], "layers.00"),
        (vec![a(), b(), tensor(&other, [4, 12])], "same matrix"),
        (vec![a(), nan], "not numbers"),
    ] {
        let bytes = serialize(tensors).unwrap();
        fs::write(folder.path().join(WEIGHTS), bytes).unwrap();
        let message = refusal(&folder, &model);
        assert!(message.contains(says), "{message}");
    }
    let folder = saved(&Content::new(prefix(&model, 2)), &model);
    let bytes = serialize(vec![tensor("embedding.weight", [2, 12])]).unwrap();
    fs::write(folder.path().join(WEIGHTS), bytes).unwrap();
    assert!(refusal(&folder, &model).contains("prompt_embeddings"));
}

#[test]
fn nothing_that_is_no_number_is_saved() {
    let model = gguf_llama();
    let folder = tempfile::tempdir().unwrap();
    let mut lora = lora(&model, 2, &[Projection::O], 1);
    lora.matrices[1].b[3] = f32::INFINITY;
    let content = Content::new(lora);
    let error = save(folder.path(), &content, &model, "m").unwrap_err();
    assert!(error.to_string().contains("o of layer 1"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

proptest! {
    /// Damaged files are refused or read, and nothing panics or asks for absurd memory.
    #[test]
    fn damaged_files_do_no_harm(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
        weights in any::<bool>(),
        truncate in any::<bool>(),
    ) {
        let model = gguf_llama();
        let folder = saved(&lora_content(&model, 1), &model);
        let path = folder.path().join(if weights { WEIGHTS } else { CONFIG });
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len().min(1500));
        bytes[at] = byte;
        if truncate {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&path, &bytes).unwrap();
        let loaded = load(folder.path(), &model);
        if let Some(lora) = loaded.as_ref().ok().and_then(Content::get::<Lora>) {
            prop_assert!(lora.matrices.iter().all(|m| m.b.len() == m.outputs * lora.config.rank));
        }
    }
}

#[test]
fn a_full_disk_leaves_the_old_adapter_or_none_and_nothing_beside() {
    let model = gguf_llama();
    let old = Content::new(lora(&model, 2, &[Projection::Q], 1));
    let new = Content::new(lora(&model, 3, &[Projection::Q], 2));
    for there in [false, true] {
        for steps in 0..100 {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("adapter");
            if there {
                save(&folder, &old, &model, "the model").unwrap();
            }
            let full = Disk::failing_once_after(steps, std::io::ErrorKind::StorageFull);
            let written = exchange(&full, &folder, |disk, beside| {
                new.save(disk, beside, &model, "the model").map(drop)
            });
            let left = fs::read_dir(parent.path()).unwrap().count();
            match written {
                Ok(()) => assert_eq!(load(&folder, &model).unwrap(), new),
                Err(error) => {
                    assert_eq!(error.advice(), None, "{error}");
                    assert!(left <= 1, "after {steps} steps");
                    if there || left == 1 {
                        let found = load(&folder, &model).unwrap();
                        assert!(found == old || found == new, "after {steps} steps");
                    }
                }
            }
        }
    }
}

#[test]
fn a_folder_with_anything_else_is_not_replaced() {
    let model = gguf_llama();
    let content = lora_content(&model, 1);
    let folder = saved(&content, &model);
    fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    let error = save(folder.path(), &content, &model, "the model").unwrap_err();
    assert!(error.to_string().contains("thesis.txt"), "{error}");
    assert!(folder.path().join("thesis.txt").exists());
}
