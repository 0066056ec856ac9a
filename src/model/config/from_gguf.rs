//! A config from GGUF metadata.

use crate::kernels::quant::dequantize_row;
use crate::model::config::{
    Activation, Architecture, ModelConfig, Rope, RopeScaling, sliding_pattern,
};
use crate::model::error::ModelError;
use crate::model::gguf::Gguf;

/// Gemma 3's values that its GGUF files do not carry.
const GEMMA3_PATTERN: usize = 6;
const GEMMA3_LOCAL_THETA: f32 = 10_000.0;
/// The one Gemma 3 whose attention is not scaled by its head size (27B: hidden 5376, 32 heads).
const GEMMA3_27B: (usize, usize) = (5376, 32);

const NOT_YET: &str = "is set; such models cannot be run yet";

impl ModelConfig {
    pub fn from_gguf(gguf: &Gguf) -> Result<ModelConfig, ModelError> {
        refuse_what_is_no_model(gguf)?;
        let key = "general.architecture";
        gguf.require(key)?;
        let name = gguf.get_str(key)?.unwrap_or_default();
        let kind = Architecture::named(name).ok_or_else(|| {
            let detail = format!("is '{name}'; llama, qwen2, qwen3 and gemma3 can be run");
            gguf.field_error(key, detail)
        })?;
        let fields = GgufFields {
            gguf,
            arch: name,
            kind,
        };
        fields.refuse_what_cannot_run()?;
        fields.config()?.check(gguf.path())
    }
}

fn refuse_what_is_no_model(gguf: &Gguf) -> Result<(), ModelError> {
    if let Some(parts) = gguf.get_u64("split.count")?.filter(|n| *n > 1) {
        let detail = format!(
            "is one of {parts} parts of a model; join them with `llama-gguf-split --merge`, or \
             use a file that is whole"
        );
        return Err(gguf.field_error("split.count", detail));
    }
    match gguf.get_str("general.type")? {
        None | Some("model") => Ok(()),
        Some(other) => {
            let detail = format!("is '{other}'; pass the model that it belongs to");
            Err(gguf.field_error("general.type", detail))
        }
    }
}

struct GgufFields<'a> {
    gguf: &'a Gguf,
    arch: &'a str,
    kind: Architecture,
}

impl GgufFields<'_> {
    fn config(&self) -> Result<ModelConfig, ModelError> {
        let gemma = self.kind == Architecture::Gemma3;
        let hidden = self.size("embedding_length")?;
        let heads = self.size("attention.head_count")?;
        let head_dim = self.head_dim(hidden, heads)?;
        let layers = self.size("block_count")?;
        let (sliding_window, sliding) = self.sliding(layers)?;
        Ok(ModelConfig {
            arch: self.kind,
            vocab: self.vocab()?,
            hidden,
            layers,
            heads,
            kv_heads: self.get_size("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            ffn: self.size("feed_forward_length")?,
            context: self.size("context_length")?,
            norm_eps: self.norm_eps()?,
            rope: Rope {
                theta: self.get_number("rope.freq_base")?.unwrap_or(10_000.0),
                scaling: self.scaling()?,
            },
            rope_local: match sliding_window {
                Some(_) => Some(self.rope_local()?),
                None => None,
            },
            rope_interleaved: self.kind == Architecture::Llama,
            qk_norm: matches!(self.kind, Architecture::Qwen3 | Architecture::Gemma3),
            qkv_bias: self.gguf.tensor("blk.0.attn_q.bias").is_some(),
            sandwich_norms: gemma,
            norm_weight_plus_one: false,
            embedding_scale: if gemma { (hidden as f32).sqrt() } else { 1.0 },
            activation: if gemma {
                Activation::GeluTanh
            } else {
                Activation::Silu
            },
            sliding_window,
            sliding,
            attention_scale: self.attention_scale(hidden, heads, head_dim)?,
            tied_embeddings: self.gguf.tensor("output.weight").is_none(),
        })
    }

    fn refuse_what_cannot_run(&self) -> Result<(), ModelError> {
        let set = |name: &str| -> Result<bool, ModelError> {
            Ok(self.get_number(name)?.is_some_and(|v| v != 0.0))
        };
        if set("pooling_type")? {
            let detail = "is set: it was made to compare texts, not to write them";
            return Err(self.err("pooling_type", detail));
        }
        for name in [
            "expert_count",
            "attn_logit_softcapping",
            "final_logit_softcapping",
        ] {
            if set(name)? {
                return Err(self.err(name, NOT_YET));
            }
        }
        let name = "rope.scaling.attn_factor";
        if set(name)? && self.get_number(name)? != Some(1.0) {
            return Err(self.err(name, NOT_YET));
        }
        if self.gguf.get_bool(&self.key("attention.causal"))? == Some(false) {
            let detail = "is false: the model was not made to write text";
            return Err(self.err("attention.causal", detail));
        }
        // Weights that the transformer would silently leave out.
        let unknown = self.gguf.tensors().find(|tensor| {
            let name = tensor.name.as_str();
            let qkv = ["attn_q.bias", "attn_k.bias", "attn_v.bias"];
            name.ends_with(".bias") && !qkv.iter().any(|known| name.ends_with(known))
                || name.starts_with("rope_factors")
        });
        match unknown {
            Some(tensor) => {
                let field = format!("tensor '{}'", tensor.name);
                let detail = "is not used by any model that can be run yet";
                Err(self.gguf.field_error(&field, detail))
            }
            None => Ok(()),
        }
    }

    fn head_dim(&self, hidden: usize, heads: usize) -> Result<usize, ModelError> {
        let (keys, values) = ("attention.key_length", "attention.value_length");
        let head_dim = match self.get_size(keys)? {
            Some(length) => length,
            None if heads == 0 || !hidden.is_multiple_of(heads) => {
                let detail = format!("is {heads}, which does not divide the width of {hidden}");
                return Err(self.err("attention.head_count", detail));
            }
            None => hidden / heads,
        };
        if let Some(length) = self.get_size(values)?.filter(|v| *v != head_dim) {
            let detail = format!("is {length} and the keys' length {head_dim}: cannot be run yet");
            return Err(self.err(values, detail));
        }
        let rotated = "rope.dimension_count";
        if let Some(count) = self.get_size(rotated)?.filter(|v| *v != head_dim) {
            let detail = format!("rotates {count} of {head_dim} elements: cannot be run yet");
            return Err(self.err(rotated, detail));
        }
        Ok(head_dim)
    }

    /// The window and which layers slide.
    fn sliding(&self, layers: usize) -> Result<(Option<usize>, Vec<bool>), ModelError> {
        let window = self.get_size("attention.sliding_window")?;
        let Some(window) = window.filter(|w| *w > 0) else {
            return Ok((None, Vec::new()));
        };
        if self.kind != Architecture::Gemma3 {
            return Err(self.err("attention.sliding_window", NOT_YET));
        }
        let pattern = self.get_size("attention.sliding_window_pattern")?;
        let sliding = sliding_pattern(layers, pattern.unwrap_or(GEMMA3_PATTERN));
        Ok((Some(window), sliding))
    }

    fn rope_local(&self) -> Result<Rope, ModelError> {
        let theta = self.get_number("rope.freq_base_swa")?;
        Ok(Rope {
            theta: theta.unwrap_or(GEMMA3_LOCAL_THETA),
            scaling: RopeScaling::None,
        })
    }

    /// As llama.cpp reads it: a factor without a type is linear, and one of 0 is none.
    fn scaling(&self) -> Result<RopeScaling, ModelError> {
        if let Some(tensor) = self.gguf.tensor("rope_freqs.weight") {
            let mut factors = vec![0f32; tensor.rows * tensor.cols];
            dequantize_row(tensor.dtype, tensor.bytes(), &mut factors);
            return Ok(RopeScaling::Factors(factors));
        }
        let name = "rope.scaling.type";
        match self.gguf.get_str(&self.key(name))? {
            Some("none") => Ok(RopeScaling::None),
            None | Some("linear") => {
                let factor = match self.get_number("rope.scaling.factor")? {
                    Some(factor) => Some(factor),
                    None => self.get_number("rope.scale_linear")?,
                };
                let factor = factor.filter(|f| *f != 0.0 && *f != 1.0);
                Ok(factor.map_or(RopeScaling::None, RopeScaling::Linear))
            }
            Some(other) => {
                let detail = format!("is '{other}'; none and linear can be run");
                Err(self.err(name, detail))
            }
        }
    }

    fn attention_scale(
        &self,
        hidden: usize,
        heads: usize,
        head_dim: usize,
    ) -> Result<f32, ModelError> {
        let own = self.get_number("attention.scale")?.filter(|s| *s != 0.0);
        let is_27b = self.kind == Architecture::Gemma3 && (hidden, heads) == GEMMA3_27B;
        let dim = if is_27b { hidden / heads } else { head_dim };
        Ok(own.unwrap_or(1.0 / (dim as f32).sqrt()))
    }

    fn norm_eps(&self) -> Result<f32, ModelError> {
        let name = "attention.layer_norm_rms_epsilon";
        self.get_number(name)?
            .ok_or_else(|| self.err(name, "is missing; the file is not a complete model"))
    }

    /// The embedding has a row for each token.
    fn vocab(&self) -> Result<usize, ModelError> {
        let name = "token_embd.weight";
        let tensor = self.gguf.tensor(name);
        let tensor = tensor.ok_or_else(|| {
            let detail = "is missing; the file holds no model's weights";
            self.gguf.field_error(&format!("tensor '{name}'"), detail)
        })?;
        Ok(tensor.rows)
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.arch)
    }

    fn size(&self, name: &str) -> Result<usize, ModelError> {
        self.gguf.require(&self.key(name))?;
        Ok(self.get_size(name)?.unwrap_or_default())
    }

    fn get_size(&self, name: &str) -> Result<Option<usize>, ModelError> {
        let found = self.gguf.get_u64(&self.key(name))?;
        // Sizes beyond this are refused by the config's checks on every machine.
        let clamp = |v: u64| usize::try_from(v).unwrap_or(usize::MAX);
        Ok(found.map(clamp))
    }

    fn get_number(&self, name: &str) -> Result<Option<f32>, ModelError> {
        Ok(self.gguf.get_f64(&self.key(name))?.map(|v| v as f32))
    }

    fn err(&self, name: &str, detail: impl Into<String>) -> ModelError {
        self.gguf.field_error(&self.key(name), detail)
    }
}
