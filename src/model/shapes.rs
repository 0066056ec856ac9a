//! The sizes of known models, as their authors publish them: a model's needs are known from them
//! before it is fetched, and benchmarks give them random weights.

use crate::model::config::{
    Activation, Architecture, ModelConfig, Rope, RopeScaling, sliding_pattern,
};

/// A new model in the manner of Llama, with tied embeddings and as many key heads as query heads.
pub fn llama(vocab: usize, hidden: usize, layers: usize, heads: usize, ffn: usize) -> ModelConfig {
    let head_dim = hidden / heads;
    ModelConfig {
        vocab,
        hidden,
        layers,
        heads,
        kv_heads: heads,
        head_dim,
        ffn,
        attention_scale: (head_dim as f32).sqrt().recip(),
        rope: Rope {
            theta: 500_000.0,
            scaling: RopeScaling::None,
        },
        ..smollm2_135m()
    }
}

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

/// SmolLM2-360M.
pub fn smollm2_360m() -> ModelConfig {
    ModelConfig {
        hidden: 960,
        layers: 32,
        heads: 15,
        kv_heads: 5,
        ffn: 2560,
        ..smollm2_135m()
    }
}

/// SmolLM2-1.7B.
pub fn smollm2_1_7b() -> ModelConfig {
    ModelConfig {
        hidden: 2048,
        layers: 24,
        heads: 32,
        kv_heads: 32,
        ffn: 8192,
        rope: Rope {
            theta: 130_000.0,
            scaling: RopeScaling::None,
        },
        ..smollm2_135m()
    }
}

/// Llama 3.2 1B.
pub fn llama_3_2_1b() -> ModelConfig {
    ModelConfig {
        vocab: 128_256,
        hidden: 2048,
        layers: 16,
        heads: 32,
        kv_heads: 8,
        ffn: 8192,
        context: 131_072,
        rope: Rope {
            theta: 500_000.0,
            scaling: RopeScaling::Llama3 {
                factor: 32.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_context: 8192.0,
            },
        },
        ..smollm2_135m()
    }
}

/// Llama 3.2 3B.
pub fn llama_3_2_3b() -> ModelConfig {
    ModelConfig {
        hidden: 3072,
        layers: 28,
        heads: 24,
        head_dim: 128,
        attention_scale: 1.0 / (128f32).sqrt(),
        ..llama_3_2_1b()
    }
}

/// Qwen2.5 0.5B, and Qwen2.5 Coder of that size.
pub fn qwen2_5_0_5b() -> ModelConfig {
    ModelConfig {
        arch: Architecture::Qwen2,
        vocab: 151_936,
        hidden: 896,
        layers: 24,
        heads: 14,
        kv_heads: 2,
        ffn: 4864,
        context: 32_768,
        norm_eps: 1e-6,
        rope: Rope {
            theta: 1_000_000.0,
            scaling: RopeScaling::None,
        },
        qkv_bias: true,
        ..smollm2_135m()
    }
}

/// Qwen2.5 1.5B, and Qwen2.5 Coder of that size.
pub fn qwen2_5_1_5b() -> ModelConfig {
    ModelConfig {
        hidden: 1536,
        layers: 28,
        heads: 12,
        head_dim: 128,
        ffn: 8960,
        attention_scale: 1.0 / (128f32).sqrt(),
        ..qwen2_5_0_5b()
    }
}

/// Qwen2.5 3B.
pub fn qwen2_5_3b() -> ModelConfig {
    ModelConfig {
        hidden: 2048,
        layers: 36,
        heads: 16,
        ffn: 11_008,
        ..qwen2_5_1_5b()
    }
}

/// Gemma 3 270M.
pub fn gemma3_270m() -> ModelConfig {
    let rope = |theta| Rope {
        theta,
        scaling: RopeScaling::None,
    };
    ModelConfig {
        arch: Architecture::Gemma3,
        vocab: 262_144,
        hidden: 640,
        layers: 18,
        heads: 4,
        kv_heads: 1,
        head_dim: 256,
        ffn: 2048,
        context: 32_768,
        norm_eps: 1e-6,
        rope: rope(1_000_000.0),
        rope_local: Some(rope(10_000.0)),
        qk_norm: true,
        sandwich_norms: true,
        embedding_scale: (640f32).sqrt(),
        activation: Activation::GeluTanh,
        sliding_window: Some(512),
        sliding: sliding_pattern(18, 6),
        attention_scale: 1.0 / (256f32).sqrt(),
        ..smollm2_135m()
    }
}

/// Gemma 3 1B.
pub fn gemma3_1b() -> ModelConfig {
    ModelConfig {
        hidden: 1152,
        layers: 26,
        ffn: 6912,
        embedding_scale: (1152f32).sqrt(),
        sliding: sliding_pattern(26, 6),
        ..gemma3_270m()
    }
}

/// Qwen3-0.6B.
pub fn qwen3_0_6b() -> ModelConfig {
    ModelConfig {
        hidden: 1024,
        layers: 28,
        heads: 16,
        ffn: 3072,
        ..qwen3_4b()
    }
}

/// Qwen3-1.7B.
pub fn qwen3_1_7b() -> ModelConfig {
    ModelConfig {
        hidden: 2048,
        ffn: 6144,
        ..qwen3_0_6b()
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
        let parameters = [
            (smollm2_135m(), 134_479_872),
            (qwen2_5_0_5b(), 493_961_216),
            (qwen2_5_1_5b(), 1_543_569_408),
            (gemma3_270m(), 268_042_240),
            (qwen3_4b(), 4_022_272_000),
            (smollm2_360m(), 361_758_720),
            (smollm2_1_7b(), 1_711_276_032),
            (llama_3_2_1b(), 1_235_746_816),
            (llama_3_2_3b(), 3_212_574_720),
            (qwen2_5_3b(), 3_085_697_024),
            (gemma3_1b(), 999_751_680),
            (qwen3_0_6b(), 595_984_384),
            (qwen3_1_7b(), 1_720_451_072),
        ];
        for (config, expected) in parameters {
            assert_eq!(config.parameters(), expected, "{config:?}");
        }
    }
}
