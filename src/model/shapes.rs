//! Shapes of known models, for benchmarks with random weights.

use crate::model::config::{Activation, Architecture, ModelConfig, Rope, RopeScaling};

/// SmolLM2-135M.
pub fn smollm2_135m() -> ModelConfig {
    ModelConfig {
        arch: Architecture::Llama,
        vocab: 49_152,
        hidden: 576,
        layers: 30,
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
        ffn: 1536,
        context: 8192,
        norm_eps: 1e-5,
        rope: Rope {
            theta: 100_000.0,
            scaling: RopeScaling::None,
        },
        rope_local: None,
        rope_interleaved: false,
        qk_norm: false,
        qkv_bias: false,
        sandwich_norms: false,
        norm_weight_plus_one: false,
        embedding_scale: 1.0,
        activation: Activation::Silu,
        sliding_window: None,
        sliding: Vec::new(),
        attention_scale: 0.125,
        tied_embeddings: true,
    }
}

/// Qwen3-4B: 4.0 billion parameters.
pub fn qwen3_4b() -> ModelConfig {
    ModelConfig {
        arch: Architecture::Qwen3,
        vocab: 151_936,
        hidden: 2560,
        layers: 36,
        heads: 32,
        kv_heads: 8,
        head_dim: 128,
        ffn: 9728,
        context: 40_960,
        norm_eps: 1e-6,
        rope: Rope {
            theta: 1_000_000.0,
            scaling: RopeScaling::None,
        },
        qk_norm: true,
        attention_scale: 1.0 / (128f32).sqrt(),
        ..smollm2_135m()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_the_sizes_of_their_models() {
        let millions = |config: ModelConfig| config.parameters() as f64 / 1e6;
        assert!((134.0..135.0).contains(&millions(smollm2_135m())));
        assert!((4020.0..4025.0).contains(&millions(qwen3_4b())));
    }
}
