mod from_gguf;

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::gguf::Gguf;

const PATH: &str = "m/config.json";

fn parse(config: &Value) -> Result<ModelConfig, ModelError> {
    ModelConfig::from_json(Path::new(PATH), &config.to_string())
}

fn tiny(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny");
    serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

fn with(base: &str, changes: Value) -> Value {
    let mut config = tiny(base);
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

#[test]
fn both_forms_of_config_json_say_the_same() {
    for name in ["llama3", "qwen3", "gemma3"] {
        let old = parse(&tiny(&format!("{name}/config.json"))).unwrap();
        let new = parse(&tiny(&format!("{name}/config.v5.json"))).unwrap();
        assert_eq!(old, new, "{name}");
    }
}

#[test]
fn a_gguf_says_what_the_checkpoint_says() {
    for name in ["llama", "llama3", "qwen2", "qwen3", "gemma3"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny");
        let gguf = Gguf::open(&folder.join(format!("{name}.gguf"))).unwrap();
        let from_gguf = ModelConfig::from_gguf(&gguf).unwrap();
        let from_json = parse(&tiny(&format!("{name}/config.json"))).unwrap();
        for layer in 0..from_json.layers {
            let (a, b) = (
                from_gguf.rope_inv_freqs(layer),
                from_json.rope_inv_freqs(layer),
            );
            assert!(
                a.iter().zip(&b).all(|(a, b)| (a / b - 1.0).abs() < 1e-6),
                "{name} {layer}"
            );
            assert_eq!(
                from_gguf.window_of(layer),
                from_json.window_of(layer),
                "{name} {layer}"
            );
        }
        // What rightly differs: how the file stores things.
        let stored_alike = ModelConfig {
            rope: from_json.rope.clone(),
            rope_interleaved: from_json.rope_interleaved,
            norm_weight_plus_one: from_json.norm_weight_plus_one,
            ..from_gguf
        };
        assert_eq!(stored_alike, from_json, "{name}");
    }
}

#[test]
fn gemma3_with_a_vision_tower_takes_its_family_defaults() {
    let config = parse(&json!({
        "model_type": "gemma3",
        "text_config": {
            "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
            "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024,
        },
        "vision_config": {"hidden_size": 1152},
    }))
    .unwrap();
    assert_eq!(
        (config.heads, config.kv_heads, config.head_dim),
        (8, 4, 256)
    );
    assert_eq!((config.vocab, config.context), (262_208, 131_072));
    assert_eq!(
        (config.rope.theta, config.attention_scale),
        (1e6, 1.0 / 16.0)
    );
    assert_eq!(config.rope.scaling, RopeScaling::Linear(8.0));
    assert!(config.tied_embeddings && config.activation == Activation::GeluTanh);
    assert_eq!(config.window_of(4), Some(1024));
    assert_eq!(config.window_of(5), None);
    assert_eq!(config.rope_inv_freqs(4)[64], 0.01);
    assert_eq!(config.rope_inv_freqs(5)[64], 0.001 / 8.0);
}

#[test]
fn gemma3_27b_scales_attention_by_its_own_number() {
    let config = parse(&with(
        "gemma3/config.json",
        json!({"query_pre_attn_scalar": 168, "head_dim": 128}),
    ));
    assert_eq!(config.unwrap().attention_scale, 1.0 / 168f32.sqrt());
}

// transformers 5.23 `_compute_llama3_parameters` for theta 500000, head size 128 (Llama 3.1).
#[test]
fn llama3_frequencies_are_those_of_transformers() {
    let rope = json!({"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                      "original_max_position_embeddings": 8192, "rope_type": "llama3"});
    let config = parse(&with(
        "llama3/config.json",
        json!({"rope_theta": 500000.0, "rope_scaling": rope, "head_dim": 128}),
    ))
    .unwrap();
    let frequencies = config.rope_inv_freqs(0);
    for (i, expected) in LLAMA_31 {
        let found = frequencies[i];
        assert!(
            (found / expected - 1.0).abs() < 1e-6,
            "{i}: {found} {expected}"
        );
    }
    let mut without = tiny("llama3/config.json");
    let scaling = without["rope_scaling"].as_object_mut().unwrap();
    scaling.remove("original_max_position_embeddings");
    let RopeScaling::Llama3 {
        original_context, ..
    } = parse(&without).unwrap().rope.scaling
    else {
        panic!("llama3 scaling");
    };
    assert_eq!(original_context, 256.0, "the model's own context");
}

const LLAMA_31: [(usize, f32); 8] = [
    (0, 1.0),
    (1, 0.814_617_2),
    (20, 0.016_560_44),
    (29, 2.166_570_6e-3),
    (31, 8.567_514_6e-4),
    (33, 3.126_936_5e-4),
    (36, 7.784_655_5e-5),
    (63, 3.068_926e-7),
];

#[test]
fn qwen_windows_begin_after_the_full_layers() {
    let mut base = tiny("qwen2/config.json");
    base.as_object_mut().unwrap().remove("layer_types");
    base["use_sliding_window"] = json!(true);
    base["sliding_window"] = json!(16);
    base["max_window_layers"] = json!(1);
    let config = parse(&base).unwrap();
    assert_eq!((config.window_of(0), config.window_of(1)), (None, Some(16)));
    assert_eq!(config.rope_inv_freqs(0), config.rope_inv_freqs(1));
    base["sliding_window"] = Value::Null;
    assert_eq!(parse(&base).unwrap().window_of(1), None);
    base["use_sliding_window"] = json!(false);
    base["sliding_window"] = json!(16);
    assert_eq!(parse(&base).unwrap().window_of(1), None);
}

#[test]
fn what_cannot_be_run_is_refused_by_its_field() {
    let llama = "llama/config.json";
    let gemma = "gemma3/config.json";
    for (base, changes, expected) in [
        (
            llama,
            json!({"model_type": "mamba"}),
            "model_type: is 'mamba'; llama, qwen2",
        ),
        (llama, json!({"model_type": null}), "model_type: is missing"),
        (llama, json!({"attention_bias": true}), "attention_bias"),
        (llama, json!({"mlp_bias": true}), "mlp_bias"),
        (
            llama,
            json!({"hidden_act": "relu"}),
            "hidden_act: is 'relu'",
        ),
        (
            llama,
            json!({"quantization_config": {"bits": 4}}),
            "quantization_config",
        ),
        (
            llama,
            json!({"partial_rotary_factor": 0.5}),
            "partial_rotary_factor",
        ),
        (
            llama,
            json!({"rope_parameters": {"rope_type": "yarn"}}),
            "rope_type: is 'yarn'",
        ),
        (
            llama,
            json!({"rope_parameters": {"partial_rotary_factor": 0.5}}),
            "partial_rotary",
        ),
        (
            llama,
            json!({"rope_parameters": {"rope_type": "linear"}}),
            "factor: is missing",
        ),
        (
            llama,
            json!({"rope_parameters": {"rope_type": "linear", "factor": 0}}),
            "rope scaling",
        ),
        (
            llama,
            json!({"rope_parameters": {"rope_theta": 0}}),
            "rope theta",
        ),
        (
            llama,
            json!({"rope_parameters": [1]}),
            "rope_parameters: is not an object",
        ),
        (
            llama,
            json!({"num_key_value_heads": 2}),
            "does not divide the 3 heads",
        ),
        (llama, json!({"head_dim": 15}), "head size: is 15"),
        (
            llama,
            json!({"head_dim": null, "num_attention_heads": 5}),
            "num_attention_heads",
        ),
        (
            llama,
            json!({"num_attention_heads": 0, "head_dim": null}),
            "num_attention_heads",
        ),
        (
            llama,
            json!({"num_attention_heads": 0}),
            "number of heads: is 0",
        ),
        (llama, json!({"hidden_size": 0}), "hidden size: is 0"),
        (llama, json!({"hidden_size": -1}), "hidden_size: is -1"),
        (
            llama,
            json!({"hidden_size": "48"}),
            "hidden_size: is \"48\"",
        ),
        (
            llama,
            json!({"hidden_size": null}),
            "hidden_size: is missing",
        ),
        (
            llama,
            json!({"num_hidden_layers": u64::MAX}),
            "number of layers",
        ),
        (llama, json!({"vocab_size": 1u64 << 40}), "vocabulary size"),
        (llama, json!({"rms_norm_eps": 0}), "norm epsilon"),
        (llama, json!({"rms_norm_eps": 1e300}), "norm epsilon"),
        (
            llama,
            json!({"tie_word_embeddings": 1}),
            "tie_word_embeddings: is 1",
        ),
        (
            gemma,
            json!({"attn_logit_softcapping": 50.0}),
            "attn_logit_softcapping",
        ),
        (
            gemma,
            json!({"final_logit_softcapping": 30.0}),
            "final_logit_softcapping",
        ),
        (
            gemma,
            json!({"use_bidirectional_attention": true}),
            "use_bidirectional",
        ),
        (gemma, json!({"sliding_window": 0}), "sliding window: is 0"),
        (
            gemma,
            json!({"layer_types": ["full_attention"]}),
            "layer types: name 1 layers",
        ),
        (
            gemma,
            json!({"layer_types": ["linear_attention"]}),
            "layer_types: holds",
        ),
        (
            gemma,
            json!({"query_pre_attn_scalar": -4}),
            "attention scale",
        ),
        (
            gemma,
            json!({"text_config": 3}),
            "text_config: is not an object",
        ),
    ] {
        let message = parse(&with(base, changes))
            .expect_err("a refusal")
            .to_string();
        assert!(message.starts_with(PATH), "{message}");
        assert!(message.contains(expected), "{expected}: {message}");
    }
    for text in ["", "{", "[]", "null", "\"model_type\""] {
        let error = ModelConfig::from_json(Path::new(PATH), text).unwrap_err();
        assert!(error.to_string().starts_with(PATH), "{error}");
    }
}

/// A JSON value that a config may hold by mistake.
fn oddity() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0u64..70).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z_]{0,12}".prop_map(Value::from),
        Just(json!([])),
        Just(json!(["sliding_attention", 3])),
        Just(json!({})),
        Just(
            json!({"rope_type": "llama3", "factor": 1e38, "low_freq_factor": 4.0,
                    "high_freq_factor": 4.0, "original_max_position_embeddings": 0})
        ),
        Just(json!({"full_attention": {"rope_type": "linear", "factor": -1.0}})),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn odd_configs_never_panic(
        base in prop::sample::select(vec![
            "llama/config.json", "llama3/config.v5.json", "qwen2/config.json",
            "qwen3/config.json", "gemma3/config.json", "gemma3/config.v5.json"]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), oddity()), 1..4),
    ) {
        let mut config = tiny(base);
        let keys: Vec<_> = config.as_object().unwrap().keys().cloned().collect();
        for (at, value) in edits {
            config[at.get(&keys)] = value;
        }
        match parse(&config) {
            Ok(config) => {
                // Everything a transformer asks of it can be answered.
                for layer in 0..config.layers {
                    prop_assert_eq!(config.rope_inv_freqs(layer).len(), config.head_dim / 2);
                    config.window_of(layer);
                }
                config.parameters();
            }
            Err(error) => prop_assert!(error.to_string().starts_with(PATH), "{}", error),
        }
    }

    #[test]
    fn random_texts_never_panic(text in "[\\[\\]{}\",:a-z0-9]{0,60}") {
        if let Err(error) = ModelConfig::from_json(Path::new(PATH), &text) {
            prop_assert!(error.to_string().starts_with(PATH), "{}", error);
        }
    }
}
