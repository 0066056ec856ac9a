//! A config from a Hugging Face `config.json`, in the forms transformers 4 and 5 write.

use std::path::Path;

use serde_json::{Map, Value};

use crate::model::config::{
    Activation, Architecture, ModelConfig, Rope, RopeScaling, sliding_pattern,
};
use crate::model::error::ModelError;

impl ModelConfig {
    /// Reads a config. `tied` tells whether the checkpoint lacks an output matrix of its own.
    pub fn from_json(path: &Path, text: &str) -> Result<ModelConfig, ModelError> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| ModelError::file(path, format!("not valid JSON: {e}")))?;
        let map = value.as_object();
        let map = map.ok_or_else(|| ModelError::file(path, "not a JSON object"))?;
        Fields { path, map }.config()
    }
}

struct Fields<'a> {
    path: &'a Path,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn config(&self) -> Result<ModelConfig, ModelError> {
        let arch = self.architecture()?;
        if let Some(inner) = self.map.get("text_config").and_then(Value::as_object) {
            // A model with a vision tower keeps its text part in a config of its own.
            let mut inner = inner.clone();
            inner
                .entry("tie_word_embeddings")
                .or_insert(Value::Bool(true));
            return Fields {
                path: self.path,
                map: &inner,
            }
            .text_config(arch);
        }
        self.text_config(arch)
    }

    fn text_config(&self, arch: Architecture) -> Result<ModelConfig, ModelError> {
        let gemma = arch == Architecture::Gemma3;
        self.refuse_what_cannot_run(arch)?;
        let (hidden, heads) = (self.size("hidden_size")?, self.size("num_attention_heads")?);
        let head_dim = match self.get_size("head_dim")? {
            Some(dim) => dim,
            None => hidden.checked_div(heads).unwrap_or(0),
        };
        let layers = self.size("num_hidden_layers")?;
        let (sliding_window, sliding) = self.sliding(layers, gemma)?;
        let scale_dim = match self.get_number("query_pre_attn_scalar")? {
            Some(scalar) if gemma => scalar,
            _ => head_dim as f32,
        };
        let config = ModelConfig {
            arch,
            vocab: self.size("vocab_size")?,
            hidden,
            layers,
            heads,
            kv_heads: self.get_size("num_key_value_heads")?.unwrap_or(heads),
            head_dim,
            ffn: self.size("intermediate_size")?,
            context: self.size("max_position_embeddings")?,
            norm_eps: self.get_number("rms_norm_eps")?.unwrap_or(1e-6),
            rope: self.rope()?,
            rope_local: if gemma {
                Some(self.rope_local()?)
            } else {
                None
            },
            rope_interleaved: false,
            qk_norm: matches!(arch, Architecture::Qwen3 | Architecture::Gemma3),
            qkv_bias: arch == Architecture::Qwen2,
            sandwich_norms: gemma,
            norm_weight_plus_one: gemma,
            embedding_scale: if gemma { (hidden as f32).sqrt() } else { 1.0 },
            activation: self.activation()?,
            sliding_window,
            sliding,
            attention_scale: 1.0 / scale_dim.sqrt(),
            tied_embeddings: self.get_bool("tie_word_embeddings")?.unwrap_or(gemma),
        };
        config.check(self.path)
    }

    fn architecture(&self) -> Result<Architecture, ModelError> {
        match self.get_text("model_type")?.unwrap_or_default() {
            "llama" => Ok(Architecture::Llama),
            "qwen2" => Ok(Architecture::Qwen2),
            "qwen3" => Ok(Architecture::Qwen3),
            "gemma3" | "gemma3_text" => Ok(Architecture::Gemma3),
            other => {
                let detail = format!("is '{other}'; llama, qwen2, qwen3 and gemma3 can be run");
                Err(self.err("model_type", detail))
            }
        }
    }

    fn refuse_what_cannot_run(&self, arch: Architecture) -> Result<(), ModelError> {
        let biased = self.get_bool("attention_bias")? == Some(true);
        if biased || self.get_bool("mlp_bias")? == Some(true) {
            let field = if biased { "attention_bias" } else { "mlp_bias" };
            return Err(self.err(field, "is true; such models cannot be run yet"));
        }
        for field in ["attn_logit_softcapping", "final_logit_softcapping"] {
            if self.get_number(field)?.is_some() {
                return Err(self.err(field, "is set; such models cannot be run yet"));
            }
        }
        let qwen = matches!(arch, Architecture::Qwen2 | Architecture::Qwen3);
        if qwen && self.get_bool("use_sliding_window")? == Some(true) {
            return Err(self.err(
                "use_sliding_window",
                "is true; such models cannot be run yet",
            ));
        }
        if self
            .get_number("partial_rotary_factor")?
            .is_some_and(|f| f != 1.0)
        {
            return Err(self.err(
                "partial_rotary_factor",
                "is not 1; such models cannot be run yet",
            ));
        }
        if self.map.contains_key("quantization_config") {
            let detail = "is set; use the unquantised checkpoint or a GGUF of this model";
            return Err(self.err("quantization_config", detail));
        }
        Ok(())
    }

    fn activation(&self) -> Result<Activation, ModelError> {
        let field = if self.map.contains_key("hidden_activation") {
            "hidden_activation"
        } else {
            "hidden_act"
        };
        match self.get_text(field)? {
            None | Some("silu" | "swish") => Ok(Activation::Silu),
            Some("gelu_pytorch_tanh") => Ok(Activation::GeluTanh),
            Some(other) => Err(self.err(
                field,
                format!("is '{other}'; silu and gelu_pytorch_tanh can be run"),
            )),
        }
    }

    /// The window and which layers slide.
    fn sliding(
        &self,
        layers: usize,
        gemma: bool,
    ) -> Result<(Option<usize>, Vec<bool>), ModelError> {
        let window = self.get_size("sliding_window")?.filter(|_| gemma);
        if window.is_none() {
            return Ok((None, Vec::new()));
        }
        if let Some(types) = self.map.get("layer_types").and_then(Value::as_array) {
            let read = |value: &Value| match value.as_str() {
                Some("sliding_attention") => Ok(true),
                Some("full_attention") => Ok(false),
                _ => Err(self.err("layer_types", format!("holds {value}"))),
            };
            return Ok((window, types.iter().map(read).collect::<Result<_, _>>()?));
        }
        let pattern = match self.get_size("sliding_window_pattern")? {
            Some(pattern) => pattern,
            None => self.get_size("_sliding_window_pattern")?.unwrap_or(6),
        };
        Ok((window, sliding_pattern(layers.min(1 << 10), pattern)))
    }

    fn rope(&self) -> Result<Rope, ModelError> {
        if let Some(parameters) = self.object("rope_parameters")? {
            let own = parameters.get("full_attention").and_then(Value::as_object);
            let fields = Fields {
                path: self.path,
                map: own.unwrap_or(parameters),
            };
            return Ok(Rope {
                theta: fields.theta()?,
                scaling: fields.scaling()?,
            });
        }
        let scaling = match self.object("rope_scaling")? {
            Some(map) => Fields {
                path: self.path,
                map,
            }
            .scaling()?,
            None => RopeScaling::None,
        };
        Ok(Rope {
            theta: self.theta()?,
            scaling,
        })
    }

    fn rope_local(&self) -> Result<Rope, ModelError> {
        let parameters = self.object("rope_parameters")?;
        let own = parameters
            .and_then(|p| p.get("sliding_attention"))
            .and_then(Value::as_object);
        if let Some(map) = own {
            let fields = Fields {
                path: self.path,
                map,
            };
            return Ok(Rope {
                theta: fields.theta()?,
                scaling: fields.scaling()?,
            });
        }
        let theta = self.get_number("rope_local_base_freq")?.unwrap_or(10_000.0);
        Ok(Rope {
            theta,
            scaling: RopeScaling::None,
        })
    }

    fn theta(&self) -> Result<f32, ModelError> {
        Ok(self.get_number("rope_theta")?.unwrap_or(10_000.0))
    }

    fn scaling(&self) -> Result<RopeScaling, ModelError> {
        let kind = match self.get_text("rope_type")? {
            Some(kind) => kind,
            None => self.get_text("type")?.unwrap_or("default"),
        };
        let need = |name: &str| {
            let value = self.get_number(name)?;
            value
                .ok_or_else(|| self.err(name, format!("is missing from the '{kind}' rope scaling")))
        };
        match kind {
            "default" => Ok(RopeScaling::None),
            "linear" => Ok(RopeScaling::Linear(need("factor")?)),
            "llama3" => Ok(RopeScaling::Llama3 {
                factor: need("factor")?,
                low_freq_factor: need("low_freq_factor")?,
                high_freq_factor: need("high_freq_factor")?,
                original_context: need("original_max_position_embeddings")?,
            }),
            other => Err(self.err(
                "rope_type",
                format!("is '{other}'; default, linear and llama3 can be run"),
            )),
        }
    }

    fn present(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|v| !v.is_null())
    }

    fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, ModelError> {
        let read = |v: &'a Value| {
            v.as_object()
                .ok_or_else(|| self.err(name, "is not an object"))
        };
        self.present(name).map(read).transpose()
    }

    fn get_size(&self, name: &str) -> Result<Option<usize>, ModelError> {
        let read = |v: &Value| {
            let size = v.as_u64().and_then(|v| usize::try_from(v).ok());
            size.ok_or_else(|| self.err(name, format!("is {v}, not a whole number")))
        };
        self.present(name).map(read).transpose()
    }

    fn size(&self, name: &str) -> Result<usize, ModelError> {
        self.get_size(name)?
            .ok_or_else(|| self.err(name, "is missing"))
    }

    fn get_number(&self, name: &str) -> Result<Option<f32>, ModelError> {
        let read = |v: &Value| {
            v.as_f64()
                .map(|v| v as f32)
                .ok_or_else(|| self.err(name, format!("is {v}, not a number")))
        };
        self.present(name).map(read).transpose()
    }

    fn get_bool(&self, name: &str) -> Result<Option<bool>, ModelError> {
        let read = |v: &Value| {
            v.as_bool()
                .ok_or_else(|| self.err(name, format!("is {v}, not true or false")))
        };
        self.present(name).map(read).transpose()
    }

    fn get_text(&self, name: &str) -> Result<Option<&'a str>, ModelError> {
        let read = |v: &'a Value| {
            v.as_str()
                .ok_or_else(|| self.err(name, format!("is {v}, not a text")))
        };
        self.present(name).map(read).transpose()
    }

    fn err(&self, field: &str, detail: impl Into<String>) -> ModelError {
        ModelError::field(self.path, field, detail)
    }
}
