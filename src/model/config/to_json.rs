//! The `config.json` of a model that is kept as a checkpoint.

use serde_json::{Map, Value, json};

use super::{Activation, Architecture, ModelConfig, Rope, RopeScaling};

impl ModelConfig {
    /// What transformers reads such a model by.
    pub fn to_json(&self) -> Map<String, Value> {
        let gemma = self.arch == Architecture::Gemma3;
        let (model_type, class) = match self.arch {
            Architecture::Llama => ("llama", "LlamaForCausalLM"),
            Architecture::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
            Architecture::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
            Architecture::Gemma3 => ("gemma3_text", "Gemma3ForCausalLM"),
        };
        let activation = match self.activation {
            Activation::Silu => "silu",
            Activation::GeluTanh => "gelu_pytorch_tanh",
        };
        let activation_field = if gemma {
            "hidden_activation"
        } else {
            "hidden_act"
        };
        let fields = [
            ("architectures", json!([class])),
            ("model_type", json!(model_type)),
            ("vocab_size", json!(self.vocab)),
            ("hidden_size", json!(self.hidden)),
            ("num_hidden_layers", json!(self.layers)),
            ("num_attention_heads", json!(self.heads)),
            ("num_key_value_heads", json!(self.kv_heads)),
            ("head_dim", json!(self.head_dim)),
            ("intermediate_size", json!(self.ffn)),
            ("max_position_embeddings", json!(self.context)),
            ("rms_norm_eps", number(self.norm_eps)),
            (activation_field, json!(activation)),
            ("tie_word_embeddings", json!(self.tied_embeddings)),
            ("torch_dtype", json!("float32")),
        ];
        let named = fields.into_iter().chain(self.rope.fields("rope_theta"));
        let mut all: Map<String, Value> = named.map(|(k, v)| (k.to_owned(), v)).collect();
        if gemma {
            all.extend(self.of_gemma());
        }
        all
    }

    fn of_gemma(&self) -> Map<String, Value> {
        let kind = |slides: &bool| {
            if *slides {
                "sliding_attention"
            } else {
                "full_attention"
            }
        };
        let kinds: Vec<&str> = self.sliding.iter().map(kind).collect();
        let scalar = self.attention_scale.powi(-2);
        let local = self.rope_local.as_ref().map_or(10_000.0, |rope| rope.theta);
        [
            ("query_pre_attn_scalar", number(scalar.round())),
            ("sliding_window", json!(self.sliding_window)),
            ("layer_types", json!(kinds)),
            ("rope_local_base_freq", number(local)),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect()
    }
}

impl Rope {
    fn fields(&self, theta: &'static str) -> Vec<(&'static str, Value)> {
        let scaling = match &self.scaling {
            RopeScaling::None | RopeScaling::Factors(_) => None,
            RopeScaling::Linear(factor) => {
                Some(json!({"rope_type": "linear", "factor": number(*factor)}))
            }
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_context,
            } => Some(json!({
                "rope_type": "llama3",
                "factor": number(*factor),
                "low_freq_factor": number(*low_freq_factor),
                "high_freq_factor": number(*high_freq_factor),
                "original_max_position_embeddings": *original_context as u64,
            })),
        };
        let mut fields = vec![(theta, number(self.theta))];
        fields.extend(scaling.map(|scaling| ("rope_scaling", scaling)));
        fields
    }
}

/// A number of 32 bits by its own few digits, not those of the 64-bit number that it is.
fn number(value: f32) -> Value {
    value
        .to_string()
        .parse::<f64>()
        .map_or(Value::Null, |v| json!(v))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::model::config::ModelConfig;
    use crate::model::shapes;

    #[test]
    fn what_is_kept_is_read_back() {
        for config in [
            shapes::llama(70, 128, 4, 4, 512),
            shapes::llama_3_2_1b(),
            shapes::qwen3_0_6b(),
            // Checkpoints hold the gains of this family less one.
            ModelConfig {
                norm_weight_plus_one: true,
                ..shapes::gemma3_270m()
            },
        ] {
            let text = serde_json::Value::from(config.to_json()).to_string();
            let read = ModelConfig::from_json(Path::new("config.json"), &text).unwrap();
            assert_eq!(read, config);
        }
    }
}
