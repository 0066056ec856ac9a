//! What a model is made of: one transformer, described by data.

mod from_gguf;
mod from_json;
#[cfg(test)]
mod tests;
mod to_json;

use std::path::Path;

pub use crate::kernels::gated::Activation;
use crate::model::error::ModelError;

/// More layers than any model has.
const MAX_LAYERS: usize = 1 << 10;

/// The families whose weights the transformer can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
}

impl Architecture {
    /// The architecture that files call by this name.
    pub fn named(name: &str) -> Option<Architecture> {
        use Architecture::*;
        [Llama, Qwen2, Qwen3, Gemma3]
            .into_iter()
            .find(|known| known.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
            Architecture::Qwen2 => "qwen2",
            Architecture::Qwen3 => "qwen3",
            Architecture::Gemma3 => "gemma3",
        }
    }
}

/// How rotary frequencies are stretched for longer contexts.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    None,
    /// Every frequency is divided by the factor.
    Linear(f32),
    /// Llama 3.1: low frequencies are divided, high ones kept, those between blended.
    Llama3 {
        factor: f32,
        low_freq_factor: f32,
        high_freq_factor: f32,
        original_context: f32,
    },
    /// Each frequency is divided by a factor of its own, as GGUF files give them.
    Factors(Vec<f32>),
}

/// Rotary embedding of one kind of layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    pub theta: f32,
    pub scaling: RopeScaling,
}

/// Everything the forward pass needs to know besides the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    pub arch: Architecture,
    pub vocab: usize,
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub ffn: usize,
    /// The most tokens that the model was made to read at once.
    pub context: usize,
    pub norm_eps: f32,
    pub rope: Rope,
    /// Rotary embedding of sliding layers, where it differs.
    pub rope_local: Option<Rope>,
    /// Whether rotary pairs are neighbours rather than half a head apart, as in GGUF files of llama
    /// models.
    pub rope_interleaved: bool,
    pub qk_norm: bool,
    pub qkv_bias: bool,
    /// Whether there are norms after attention and MLP as well as before.
    pub sandwich_norms: bool,
    /// Whether norm weights are stored less one.
    pub norm_weight_plus_one: bool,
    pub embedding_scale: f32,
    pub activation: Activation,
    /// Number of keys that a position of a sliding layer sees; `None` where no layer slides.
    pub sliding_window: Option<usize>,
    /// Whether each layer slides; empty where none does.
    pub sliding: Vec<bool>,
    pub attention_scale: f32,
    pub tied_embeddings: bool,
}

impl ModelConfig {
    /// The window of a layer, where it slides.
    pub fn window_of(&self, layer: usize) -> Option<usize> {
        self.slides(layer).then_some(self.sliding_window).flatten()
    }

    fn slides(&self, layer: usize) -> bool {
        self.sliding.get(layer).copied().unwrap_or(false)
    }

    /// Radians a position turns each pair of a head's elements by.
    pub fn rope_inv_freqs(&self, layer: usize) -> Vec<f32> {
        let local = self.rope_local.as_ref().filter(|_| self.slides(layer));
        let rope = local.unwrap_or(&self.rope);
        let exponent = |i: usize| (2 * i) as f32 / self.head_dim as f32;
        (0..self.head_dim / 2)
            .map(|i| rope.scaling.apply(i, 1.0 / rope.theta.powf(exponent(i))))
            .collect()
    }

    /// Parameters in all, tied embeddings counted once.
    pub fn parameters(&self) -> u64 {
        let attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads);
        let layer = attention + 3 * self.hidden * self.ffn;
        let ends = self.vocab * self.hidden * if self.tied_embeddings { 1 } else { 2 };
        (layer * self.layers + ends) as u64
    }

    /// Refuses sizes that no model has or that the transformer cannot work with.
    fn check(self, path: &Path) -> Result<Self, ModelError> {
        let sizes = [
            ("vocabulary size", self.vocab, 1 << 22),
            ("hidden size", self.hidden, 1 << 17),
            ("number of layers", self.layers, MAX_LAYERS),
            ("number of heads", self.heads, 1 << 10),
            ("number of key/value heads", self.kv_heads, 1 << 10),
            ("head size", self.head_dim, 1 << 10),
            ("MLP size", self.ffn, 1 << 20),
            ("context length", self.context, 1 << 26),
        ];
        for (name, value, most) in sizes {
            if value == 0 || value > most {
                return Err(ModelError::field(
                    path,
                    name,
                    format!("is {value}; 1 to {most} can be run"),
                ));
            }
        }
        let fail = |field: &str, detail: String| Err(ModelError::field(path, field, detail));
        if !self.heads.is_multiple_of(self.kv_heads) {
            let detail = format!(
                "is {}, which does not divide the {} heads",
                self.kv_heads, self.heads
            );
            return fail("number of key/value heads", detail);
        }
        if !self.head_dim.is_multiple_of(2) {
            return fail(
                "head size",
                format!("is {}, which rotary embedding cannot halve", self.head_dim),
            );
        }
        let numbers = [
            ("norm epsilon", self.norm_eps),
            ("rope theta", self.rope.theta),
            (
                "local rope theta",
                self.rope_local.as_ref().map_or(1.0, |r| r.theta),
            ),
            ("attention scale", self.attention_scale),
            ("embedding scale", self.embedding_scale),
        ];
        for (name, value) in numbers {
            if !(value.is_finite() && value > 0.0) {
                return fail(name, format!("is {value}; it must be above 0"));
            }
        }
        if self.sliding_window == Some(0) {
            return fail("sliding window", "is 0".into());
        }
        if !self.sliding.is_empty() && self.sliding.len() != self.layers {
            return fail(
                "layer types",
                format!(
                    "name {} layers and the model has {}",
                    self.sliding.len(),
                    self.layers
                ),
            );
        }
        for rope in [Some(&self.rope), self.rope_local.as_ref()]
            .into_iter()
            .flatten()
        {
            if let Some(detail) = rope.scaling.fault(self.head_dim) {
                return fail("rope scaling", detail);
            }
        }
        Ok(self)
    }
}

impl RopeScaling {
    fn apply(&self, index: usize, frequency: f32) -> f32 {
        match self {
            RopeScaling::None => frequency,
            RopeScaling::Linear(factor) => frequency / factor,
            RopeScaling::Factors(factors) => frequency / factors.get(index).copied().unwrap_or(1.0),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_context,
            } => {
                let wavelength = 2.0 * std::f32::consts::PI / frequency;
                if wavelength < original_context / high_freq_factor {
                    frequency
                } else if wavelength > original_context / low_freq_factor {
                    frequency / factor
                } else {
                    let smooth = (original_context / wavelength - low_freq_factor)
                        / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            }
        }
    }

    /// What is wrong with it, if anything.
    fn fault(&self, head_dim: usize) -> Option<String> {
        let positive = |v: &f32| v.is_finite() && *v > 0.0;
        match self {
            RopeScaling::None => None,
            RopeScaling::Linear(factor) => (!positive(factor)).then(|| format!("factor {factor}")),
            RopeScaling::Factors(factors) => (factors.len() != head_dim / 2
                || !factors.iter().all(positive))
            .then(|| format!("{} factors for {} frequencies", factors.len(), head_dim / 2)),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_context,
            } => {
                let all = [factor, low_freq_factor, high_freq_factor, original_context];
                let fine = all.into_iter().all(positive) && high_freq_factor > low_freq_factor;
                (!fine).then(|| "the llama3 factors must be positive, high above low".to_owned())
            }
        }
    }
}

/// Every `every`th layer sees everything and those between slide: Gemma 3's pattern, with 6.
pub(crate) fn sliding_pattern(layers: usize, every: usize) -> Vec<bool> {
    // More layers than this are refused by `check`.
    (1..=layers.min(MAX_LAYERS))
        .map(|i| !i.is_multiple_of(every.max(1)))
        .collect()
}
