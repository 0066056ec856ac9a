use std::path::Path;

use crate::engine::DType;
use crate::model::config::{ModelConfig, RopeScaling};
use crate::model::error::ModelError;
use crate::model::gguf::Gguf;
use crate::model::gguf::writer::{GgufWriter, Meta};
use crate::model::mapping::map_of;

/// A GGUF header of a tiny model, changed; without weights but those a config looks at.
fn gguf(changes: &[(&str, Option<Meta>)], tensors: &[&str]) -> Result<ModelConfig, ModelError> {
    let mut meta = vec![
        ("general.architecture", Meta::from("llama")),
        ("llama.embedding_length", Meta::U32(64)),
        ("llama.block_count", Meta::U32(2)),
        ("llama.attention.head_count", Meta::U32(4)),
        ("llama.attention.head_count_kv", Meta::U32(2)),
        ("llama.feed_forward_length", Meta::U32(96)),
        ("llama.context_length", Meta::U32(128)),
        ("llama.attention.layer_norm_rms_epsilon", Meta::F32(1e-5)),
    ];
    for (key, value) in changes {
        meta.retain(|(k, _)| k != key);
        meta.extend(value.clone().map(|v| (*key, v)));
    }
    let mut writer = GgufWriter::new();
    for (key, value) in meta {
        writer.set(key, value).unwrap();
    }
    for name in tensors {
        writer.announce(name, DType::F32, &[8]).unwrap();
    }
    let mut data = writer.begin(Vec::new()).unwrap();
    tensors
        .iter()
        .for_each(|_| data.tensor(&2f32.to_le_bytes().repeat(8)).unwrap());
    let bytes = data.finish().unwrap();
    ModelConfig::from_gguf(&Gguf::from_map(Path::new("m.gguf"), map_of(&bytes)).unwrap())
}

const EMBEDDING: &[&str] = &["token_embd.weight"];

#[test]
fn gguf_keys_are_read_as_llama_cpp_reads_them() {
    let factor = |key, value| {
        gguf(&[(key, Some(Meta::F32(value)))], EMBEDDING)
            .unwrap()
            .rope
    };
    let linear = RopeScaling::Linear(4.0);
    assert_eq!(factor("llama.rope.scaling.factor", 4.0).scaling, linear);
    assert_eq!(factor("llama.rope.scale_linear", 4.0).scaling, linear);
    assert_eq!(
        factor("llama.rope.scaling.factor", 0.0).scaling,
        RopeScaling::None
    );
    let scaled = gguf(
        &[("llama.attention.scale", Some(Meta::F32(0.5)))],
        EMBEDDING,
    );
    assert_eq!(scaled.unwrap().attention_scale, 0.5);
    let with_factors = gguf(&[], &["token_embd.weight", "rope_freqs.weight"]).unwrap();
    assert_eq!(
        with_factors.rope.scaling,
        RopeScaling::Factors(vec![2.0; 8])
    );
    let kv_heads = gguf(&[("llama.attention.head_count_kv", None)], EMBEDDING);
    assert_eq!(kv_heads.unwrap().kv_heads, 4);
}

#[test]
fn ggufs_that_cannot_be_run_are_refused_by_the_key() {
    let text = |text: &str| Some(Meta::from(text));
    for (key, value, expected) in [
        (
            "general.architecture",
            text("mamba"),
            "is 'mamba'; llama, qwen2",
        ),
        ("general.architecture", None, "is missing"),
        (
            "general.architecture",
            Some(Meta::U8(1)),
            "is 1, not a text",
        ),
        (
            "general.type",
            text("adapter"),
            "is 'adapter'; pass the model",
        ),
        ("split.count", Some(Meta::U16(3)), "one of 3 parts"),
        ("llama.block_count", None, "is missing"),
        (
            "llama.block_count",
            Some(Meta::I32(-1)),
            "is -1, not a whole number",
        ),
        (
            "llama.attention.head_count",
            Some(Meta::U32(0)),
            "does not divide",
        ),
        (
            "llama.attention.head_count",
            Some(Meta::U32(5)),
            "does not divide",
        ),
        (
            "llama.attention.head_count_kv",
            Some(Meta::Array(vec![Meta::U32(2), Meta::U32(1)])),
            "is an array of 2, not a whole number",
        ),
        (
            "llama.attention.value_length",
            Some(Meta::U32(8)),
            "keys' length 16",
        ),
        (
            "llama.rope.dimension_count",
            Some(Meta::U32(8)),
            "rotates 8 of 16",
        ),
        ("llama.rope.scaling.type", text("yarn"), "is 'yarn'"),
        (
            "llama.rope.scaling.attn_factor",
            Some(Meta::F32(1.2)),
            "cannot be run yet",
        ),
        (
            "llama.expert_count",
            Some(Meta::U32(8)),
            "cannot be run yet",
        ),
        (
            "llama.attn_logit_softcapping",
            Some(Meta::F32(50.0)),
            "cannot be run yet",
        ),
        (
            "llama.attention.sliding_window",
            Some(Meta::U32(8)),
            "cannot be run yet",
        ),
        (
            "llama.attention.causal",
            Some(Meta::Bool(false)),
            "not made to write",
        ),
        ("llama.attention.layer_norm_rms_epsilon", None, "is missing"),
    ] {
        let error = gguf(&[(key, value)], EMBEDDING)
            .expect_err("a refusal")
            .to_string();
        assert!(error.starts_with(&format!("m.gguf: {key}: ")), "{error}");
        assert!(error.contains(expected), "{expected}: {error}");
    }
    for (tensors, expected) in [
        (&[][..], "tensor 'token_embd.weight': is missing"),
        (
            &["token_embd.weight", "blk.0.attn_output.bias"],
            "'blk.0.attn_output.bias': is not",
        ),
        (
            &["token_embd.weight", "rope_factors_long.weight"],
            "'rope_factors_long.weight'",
        ),
    ] {
        let error = gguf(&[], tensors).expect_err("a refusal").to_string();
        assert!(error.contains(expected), "{error}");
    }
}
