//! Reads `adapter_config.json`, and refuses what would make the adapter mean something else than
//! plain matrices added to plain projections.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Result, count};
use crate::memory::error::MemoryError;

pub enum Kind {
    Lora(LoraSettings),
    Prefix { rows: usize, hidden: usize },
}

pub struct LoraSettings {
    pub rank: usize,
    /// Alpha: additions are multiplied by `alpha / rank`.
    pub alpha: f32,
}

/// Fields that do not change what a saved LoRA adds.
const LORA_NEUTRAL: [&str; 21] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_rslora",
];
/// What sets up the first values in a way that leaves the model's own weights alone. Others
/// (`pissa`, `olora`, `loftq`...) subtract from them.
const NEUTRAL_INITS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

pub fn parse(path: &Path, text: &str) -> Result<Kind> {
    let err = |detail: String| Err(MemoryError::file(path, detail));
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(e) => return err(format!("is not valid JSON: {e}")),
    };
    let Some(fields) = value.as_object() else {
        return err("is no adapter's config: a JSON object was expected".into());
    };
    match fields.get("peft_type").and_then(Value::as_str) {
        Some("LORA") => lora(path, fields).map(Kind::Lora),
        Some("PROMPT_TUNING") => Ok(Kind::Prefix {
            rows: count(path, fields, "num_virtual_tokens")?,
            hidden: count(path, fields, "token_dim")?,
        }),
        Some(other) => err(format!(
            "peft_type '{other}' is not supported: LORA and PROMPT_TUNING are"
        )),
        None => err("has no 'peft_type'; it is no adapter's config".into()),
    }
}

fn lora(path: &Path, fields: &Map<String, Value>) -> Result<LoraSettings> {
    for (name, value) in fields {
        if let Some(detail) = unsupported(name, value) {
            return Err(MemoryError::file(path, detail));
        }
    }
    let rank = count(path, fields, "r")?;
    let alpha = fields.get("lora_alpha").and_then(Value::as_f64);
    let stabilised = match fields.get("use_rslora") {
        None | Some(Value::Null) => false,
        Some(value) => value
            .as_bool()
            .ok_or_else(|| MemoryError::file(path, "'use_rslora' must be true or false"))?,
    };
    // A stabilised adapter scales by alpha / sqrt(rank).
    let times = if stabilised {
        (rank as f64).sqrt()
    } else {
        1.0
    };
    let alpha = alpha.map(|alpha| alpha * times);
    match alpha.map(|a| a as f32).filter(|a| a.is_finite()) {
        Some(alpha) => Ok(LoraSettings { rank, alpha }),
        None => Err(MemoryError::file(path, "'lora_alpha' must be a number")),
    }
}

/// Why a field cannot be followed, if it cannot.
fn unsupported(name: &str, value: &Value) -> Option<String> {
    let set = match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty() && text != "none",
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    };
    if !set || LORA_NEUTRAL.contains(&name) {
        return None;
    }
    let what = match name {
        "init_lora_weights" => {
            let neutral = match value {
                Value::Bool(_) => true,
                Value::String(text) => NEUTRAL_INITS.contains(&text.as_str()),
                _ => false,
            };
            if neutral {
                return None;
            }
            "the model's own weights are changed, too"
        }
        "use_dora" => "DoRA",
        "bias" | "lora_bias" => "trained biases",
        "rank_pattern" => "ranks that differ between modules",
        "alpha_pattern" => "scales that differ between modules",
        "modules_to_save" => "whole modules beside the matrices",
        "trainable_token_indices" => "trained token embeddings",
        "layer_replication" => "replicated layers",
        "fan_in_fan_out" => "transposed weights",
        "target_parameters" => "adapted parameters that are no projections",
        "alora_invocation_tokens" => "aLoRA",
        _ => "unknown to Inscribe",
    };
    Some(format!("'{name}' is set ({what}), which is not supported"))
}
