//! A config from a Hugging Face `config.json`, in the forms transformers 4 and 5 write.

use std::path::Path;

use serde_json::{Map, Value};

use crate::model::config::{
    Activation, Architecture, MAX_LAYERS, ModelConfig, Rope, RopeScaling, sliding_pattern,
};
use crate::model::error::ModelError;
use crate::model::gradmem::MODEL_TYPE;

impl ModelConfig {
    /// Reads a `config.json`; `path` is what errors name.
    pub fn from_json(path: &Path, text: &str) -> Result<ModelConfig, ModelError> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| ModelError::file(path, format!("not valid JSON: {e}; fetch it again")))?;
        let map = value.as_object();
        let map = map.ok_or_else(|| ModelError::file(path, "not a JSON object"))?;
        JsonFields { path, map }.config()
    }
}

struct JsonFields<'a> {
    path: &'a Path,
    map: &'a Map<String, Value>,
}

impl<'a> JsonFields<'a> {
    fn config(&self) -> Result<ModelConfig, ModelError> {
        if self.get_text("model_type")? == Some(MODEL_TYPE) {
            return self.base_config();
        }
        let arch = self.architecture()?;
        if self.present("quantization_config").is_some() {
            let detail = "is set; use the unquantised checkpoint or a GGUF of this model";
            return Err(self.err("quantization_config", detail));
        }
        // A model with a vision tower keeps its text part in a config of its own.
        match self.object("text_config")? {
            Some(map) => JsonFields {
                path: self.path,
                map,
            }
            .text_config(arch),
            None => self.text_config(arch),
        }
    }

    /// The model within one that was trained to be written to.
    fn base_config(&self) -> Result<ModelConfig, ModelError> {
        let field = "base_config";
        let Some(map) = self.object(field)? else {
            let detail = "is missing; put the base model's config.json there, in place of its name";
            return Err(self.err(field, detail));
        };
        let base = JsonFields {
            path: self.path,
            map,
        };
        let arch = base.architecture()?;
        base.text_config(arch)
    }

    fn text_config(&self, arch: Architecture) -> Result<ModelConfig, ModelError> {
        self.refuse_what_cannot_run(arch)?;
        let gemma = arch == Architecture::Gemma3;
        let (hidden, layers) = (self.size("hidden_size")?, self.size("num_hidden_layers")?);
        let heads = self.size_or("num_attention_heads", gemma.then_some(8))?;
        let head_dim = self.head_dim(arch, hidden, heads)?;
        let (sliding_window, sliding) = self.sliding(arch, layers)?;
        let scale_dim = match self.get_number("query_pre_attn_scalar")? {
            Some(scalar) if gemma => scalar,
            None if gemma => 256.0,
            _ => head_dim as f32,
        };
        let config = ModelConfig {
            arch,
            vocab: self.size_or("vocab_size", gemma.then_some(262_208))?,
            hidden,
            layers,
            heads,
            kv_heads: match self.get_size("num_key_value_heads")? {
                Some(count) => count,
                None if gemma => 4,
                None => heads,
            },
            head_dim,
            ffn: self.size("intermediate_size")?,
            context: self.size_or("max_position_embeddings", gemma.then_some(131_072))?,
            norm_eps: self.get_number("rms_norm_eps")?.unwrap_or(1e-6),
            rope: self.rope(arch)?,
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
            activation: self.activation(gemma)?,
            sliding_window,
            sliding,
            attention_scale: 1.0 / scale_dim.sqrt(),
            tied_embeddings: self.get_bool("tie_word_embeddings")?.unwrap_or(gemma),
        };
        config.check(self.path)
    }

    fn architecture(&self) -> Result<Architecture, ModelError> {
        let field = "model_type";
        let name = self
            .get_text(field)?
            .ok_or_else(|| self.err(field, "is missing; this is not the config.json of a model"))?;
        match name {
            "llama" => Ok(Architecture::Llama),
            "qwen2" => Ok(Architecture::Qwen2),
            "qwen3" => Ok(Architecture::Qwen3),
            "gemma3" | "gemma3_text" => Ok(Architecture::Gemma3),
            other => {
                let detail = format!("is '{other}'; llama, qwen2, qwen3 and gemma3 can be run");
                Err(self.err(field, detail))
            }
        }
    }

    fn refuse_what_cannot_run(&self, arch: Architecture) -> Result<(), ModelError> {
        // Qwen 2 has its biases whatever this says.
        let biased = |field| -> Result<bool, ModelError> {
            Ok(arch != Architecture::Qwen2 && self.get_bool(field)? == Some(true))
        };
        for field in ["attention_bias", "mlp_bias"] {
            if biased(field)? {
                return Err(self.err(field, "is true; such models cannot be run yet"));
            }
        }
        for field in ["attn_logit_softcapping", "final_logit_softcapping"] {
            if self.get_number(field)?.is_some() {
                return Err(self.err(field, "is set; such models cannot be run yet"));
            }
        }
        if self.get_bool("use_bidirectional_attention")? == Some(true) {
            let detail = "is true: the model was not made to write text";
            return Err(self.err("use_bidirectional_attention", detail));
        }
        self.refuse_partial_rotation()
    }

    fn refuse_partial_rotation(&self) -> Result<(), ModelError> {
        let field = "partial_rotary_factor";
        if self.get_number(field)?.is_some_and(|f| f != 1.0) {
            return Err(self.err(field, "is not 1; such models cannot be run yet"));
        }
        Ok(())
    }

    fn head_dim(
        &self,
        arch: Architecture,
        hidden: usize,
        heads: usize,
    ) -> Result<usize, ModelError> {
        // What transformers takes where the config does not say.
        let default = match arch {
            Architecture::Gemma3 => Some(256),
            Architecture::Qwen3 => Some(128),
            Architecture::Llama | Architecture::Qwen2 => None,
        };
        match self.get_size("head_dim")?.or(default) {
            Some(dim) => Ok(dim),
            None if heads == 0 || !hidden.is_multiple_of(heads) => {
                let detail = format!("is {heads}, which does not divide the width of {hidden}");
                Err(self.err("num_attention_heads", detail))
            }
            None => Ok(hidden / heads),
        }
    }

    fn activation(&self, gemma: bool) -> Result<Activation, ModelError> {
        let field = if gemma {
            "hidden_activation"
        } else {
            "hidden_act"
        };
        match self.get_text(field)? {
            None if gemma => Ok(Activation::GeluTanh),
            None | Some("silu" | "swish") => Ok(Activation::Silu),
            Some("gelu_pytorch_tanh") => Ok(Activation::GeluTanh),
            Some(other) => {
                let detail = format!("is '{other}'; silu and gelu_pytorch_tanh can be run");
                Err(self.err(field, detail))
            }
        }
    }

    /// The window and which layers slide.
    fn sliding(
        &self,
        arch: Architecture,
        layers: usize,
    ) -> Result<(Option<usize>, Vec<bool>), ModelError> {
        let gemma = arch == Architecture::Gemma3;
        let slides = match arch {
            Architecture::Gemma3 => true,
            Architecture::Llama => false,
            Architecture::Qwen2 | Architecture::Qwen3 => {
                self.get_bool("use_sliding_window")? == Some(true)
            }
        };
        if !slides {
            return Ok((None, Vec::new()));
        }
        // Left out it is transformers' default; null it is no window.
        let window = match self.map.get("sliding_window") {
            None => Some(4096),
            Some(_) => self.get_size("sliding_window")?,
        };
        if let Some(types) = self.array("layer_types")? {
            let read = |value: &Value| match value.as_str() {
                Some("sliding_attention") => Ok(true),
                Some("full_attention") => Ok(false),
                _ => {
                    let detail =
                        format!("holds {value}; sliding_attention and full_attention can be run");
                    Err(self.err("layer_types", detail))
                }
            };
            let types = types.iter().map(read).collect::<Result<_, _>>()?;
            return Ok((window, types));
        }
        if gemma {
            let pattern = match self.get_size("sliding_window_pattern")? {
                Some(pattern) => pattern,
                None => self.get_size("_sliding_window_pattern")?.unwrap_or(6),
            };
            return Ok((window, sliding_pattern(layers, pattern)));
        }
        let full = self.get_size("max_window_layers")?.unwrap_or(28);
        let sliding = (0..layers.min(MAX_LAYERS)).map(|i| i >= full).collect();
        Ok((window, sliding))
    }

    fn rope(&self, arch: Architecture) -> Result<Rope, ModelError> {
        let default = match arch {
            Architecture::Gemma3 => 1_000_000.0,
            _ => 10_000.0,
        };
        if let Some(parameters) = self.object("rope_parameters")? {
            let parameters = self.inner(parameters);
            // Gemma 3 has an entry for each kind of layer.
            let own = parameters.object("full_attention")?;
            return own
                .map_or(parameters, |own| self.inner(own))
                .rope_of(default, self);
        }
        let theta = self.get_number("rope_theta")?.unwrap_or(default);
        match self.object("rope_scaling")? {
            Some(map) => self.inner(map).rope_of(theta, self),
            None => Ok(Rope {
                theta,
                scaling: RopeScaling::None,
            }),
        }
    }

    fn rope_local(&self) -> Result<Rope, ModelError> {
        let theta = self.get_number("rope_local_base_freq")?.unwrap_or(10_000.0);
        if let Some(parameters) = self.object("rope_parameters")?
            && let Some(own) = self.inner(parameters).object("sliding_attention")?
        {
            return self.inner(own).rope_of(theta, self);
        }
        Ok(Rope {
            theta,
            scaling: RopeScaling::None,
        })
    }

    /// Reads rope parameters; `model` is the config they are part of.
    fn rope_of(&self, default_theta: f32, model: &JsonFields) -> Result<Rope, ModelError> {
        self.refuse_partial_rotation()?;
        Ok(Rope {
            theta: self.get_number("rope_theta")?.unwrap_or(default_theta),
            scaling: self.scaling(model)?,
        })
    }

    fn scaling(&self, model: &JsonFields) -> Result<RopeScaling, ModelError> {
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
                original_context: match self.get_number("original_max_position_embeddings")? {
                    Some(context) => context,
                    None => model.size("max_position_embeddings")? as f32,
                },
            }),
            other => Err(self.err(
                "rope_type",
                format!("is '{other}'; default, linear and llama3 can be run"),
            )),
        }
    }

    fn inner(&self, map: &'a Map<String, Value>) -> JsonFields<'a> {
        JsonFields {
            path: self.path,
            map,
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

    fn array(&self, name: &str) -> Result<Option<&'a Vec<Value>>, ModelError> {
        let read = |v: &'a Value| {
            v.as_array()
                .ok_or_else(|| self.err(name, "is not an array"))
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
        self.size_or(name, None)
    }

    fn size_or(&self, name: &str, default: Option<usize>) -> Result<usize, ModelError> {
        let missing = || self.err(name, "is missing; the config is not complete");
        self.get_size(name)?.or(default).ok_or_else(missing)
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
