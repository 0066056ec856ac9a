//! A config from GGUF metadata.

use crate::kernels::quant::dequantize_row;
use crate::model::config::{
    Activation, Architecture, ModelConfig, Rope, RopeScaling, sliding_pattern,
};
use crate::model::error::ModelError;
use crate::model::gguf::Gguf;

/// Gemma 3's values that its GGUF files do not carry.
const GEMMA3_PATTERN: u64 = 6;
const GEMMA3_LOCAL_THETA: f32 = 10_000.0;
/// The one Gemma 3 whose attention is not scaled by its head size (27B: hidden 5376, 32 heads).
const GEMMA3_27B: (usize, usize) = (5376, 32);

impl ModelConfig {
    pub fn from_gguf(gguf: &Gguf) -> Result<ModelConfig, ModelError> {
        let key = "general.architecture";
        let name = gguf.require(key)?.as_str().unwrap_or_default();
        let arch = match name {
            "llama" => Architecture::Llama,
            "qwen2" => Architecture::Qwen2,
            "qwen3" => Architecture::Qwen3,
            "gemma3" => Architecture::Gemma3,
            other => {
                let detail = format!("is '{other}'; llama, qwen2, qwen3 and gemma3 can be run");
                return Err(gguf.field_error(key, detail));
            }
        };
        Fields {
            gguf,
            arch: name,
            kind: arch,
        }
        .config()
    }
}

struct Fields<'a> {
    gguf: &'a Gguf,
    arch: &'a str,
    kind: Architecture,
}

impl Fields<'_> {
    fn config(&self) -> Result<ModelConfig, ModelError> {
        self.refuse_what_cannot_run()?;
        let gemma = self.kind == Architecture::Gemma3;
        let (hidden, heads) = (
            self.size("embedding_length")?,
            self.size("attention.head_count")?,
        );
        let head_dim = match self.gguf.get_u64(&self.key("attention.key_length"))? {
            Some(length) => length as usize,
            None => hidden.checked_div(heads).unwrap_or(0),
        };
        let layers = self.size("block_count")?.min(1 << 20);
        let sliding_window = self.gguf.get_u64(&self.key("attention.sliding_window"))?;
        let sliding_window = sliding_window.filter(|_| gemma).map(|w| w as usize);
        let pattern = self
            .gguf
            .get_u64(&self.key("attention.sliding_window_pattern"))?;
        let local_theta = self.gguf.get_f64(&self.key("rope.freq_base_swa"))?;
        let scale_dim = if gemma && (hidden, heads) == GEMMA3_27B {
            hidden / heads
        } else {
            head_dim
        };
        let config = ModelConfig {
            arch: self.kind,
            vocab: self.vocab()?,
            hidden,
            layers,
            heads,
            kv_heads: match self.gguf.get_u64(&self.key("attention.head_count_kv"))? {
                Some(count) => count as usize,
                None => heads,
            },
            head_dim,
            ffn: self.size("feed_forward_length")?,
            context: self.size("context_length")?,
            norm_eps: self.number("attention.layer_norm_rms_epsilon", 1e-5)?,
            rope: Rope {
                theta: self.number("rope.freq_base", 10_000.0)?,
                scaling: self.scaling()?,
            },
            rope_local: sliding_window.map(|_| Rope {
                theta: local_theta.map_or(GEMMA3_LOCAL_THETA, |v| v as f32),
                scaling: RopeScaling::None,
            }),
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
            sliding: if sliding_window.is_some() {
                sliding_pattern(layers, pattern.unwrap_or(GEMMA3_PATTERN) as usize)
            } else {
                Vec::new()
            },
            attention_scale: 1.0 / (scale_dim as f32).sqrt(),
            tied_embeddings: self.gguf.tensor("output.weight").is_none(),
        };
        config.check(self.gguf.path())
    }

    fn refuse_what_cannot_run(&self) -> Result<(), ModelError> {
        for name in [
            "expert_count",
            "attn_logit_softcapping",
            "final_logit_softcapping",
        ] {
            let key = self.key(name);
            if self.gguf.get_f64(&key)?.is_some_and(|v| v != 0.0) {
                return Err(self
                    .gguf
                    .field_error(&key, "is set; such models cannot be run yet"));
            }
        }
        let (key, value) = (
            self.key("attention.key_length"),
            self.key("attention.value_length"),
        );
        if let (Some(k), Some(v)) = (self.gguf.get_u64(&key)?, self.gguf.get_u64(&value)?)
            && k != v
        {
            return Err(self
                .gguf
                .field_error(&value, format!("is {v} and the keys' length {k}")));
        }
        let key = self.key("rope.dimension_count");
        let heads = self
            .gguf
            .get_u64(&self.key("attention.head_count"))?
            .unwrap_or(1);
        let hidden = self
            .gguf
            .get_u64(&self.key("embedding_length"))?
            .unwrap_or(0);
        let length = self.gguf.get_u64(&self.key("attention.key_length"))?;
        let head_dim = length.or(hidden.checked_div(heads));
        if let Some(count) = self.gguf.get_u64(&key)?
            && head_dim.is_some_and(|dim| dim != count)
        {
            return Err(self.gguf.field_error(
                &key,
                "rotates a part of each head only, which cannot be run yet",
            ));
        }
        Ok(())
    }

    fn scaling(&self) -> Result<RopeScaling, ModelError> {
        if let Some(tensor) = self.gguf.tensor("rope_freqs.weight") {
            let mut factors = vec![0f32; tensor.rows * tensor.cols];
            dequantize_row(
                tensor.dtype,
                &tensor.map[tensor.range.clone()],
                &mut factors,
            );
            return Ok(RopeScaling::Factors(factors));
        }
        let key = self.key("rope.scaling.type");
        match self.gguf.get_str(&key)? {
            None | Some("none") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear(
                self.number("rope.scaling.factor", 1.0)?,
            )),
            Some(other) => Err(self
                .gguf
                .field_error(&key, format!("is '{other}'; none and linear can be run"))),
        }
    }

    /// The embedding has a row for each token.
    fn vocab(&self) -> Result<usize, ModelError> {
        let name = "token_embd.weight";
        let tensor = self.gguf.tensor(name);
        let tensor = tensor.ok_or_else(|| {
            self.gguf
                .field_error(name, "is missing; this file holds no model weights")
        })?;
        Ok(tensor.rows)
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.arch)
    }

    fn size(&self, name: &str) -> Result<usize, ModelError> {
        Ok(self.gguf.require_u64(&self.key(name))? as usize)
    }

    fn number(&self, name: &str, default: f32) -> Result<f32, ModelError> {
        Ok(self
            .gguf
            .get_f64(&self.key(name))?
            .map_or(default, |v| v as f32))
    }
}
