//! A model's sizes, which tell what it takes before it is loaded or even fetched.

use inscribe::model::config::ModelConfig;
use inscribe::model::transformer::Cache;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub parameters: u64,
    /// Tokens it reads at once.
    pub context: usize,
    pub hidden: usize,
    pub ffn: usize,
    pub layers: usize,
    /// Bytes of keys and values a token.
    pub cache_bytes_per_token: u64,
}

impl Shape {
    pub fn of(config: &ModelConfig) -> Shape {
        Shape {
            parameters: config.parameters(),
            context: config.context,
            hidden: config.hidden,
            ffn: config.ffn,
            layers: config.layers,
            cache_bytes_per_token: Cache::bytes(config, 1),
        }
    }

    /// Of a model that can be fetched by this name, as its authors publish it.
    pub fn of_known(name: &str) -> Option<Shape> {
        let shape = |parameters, context, hidden, ffn, layers, cache_bytes_per_token| Shape {
            parameters,
            context,
            hidden,
            ffn,
            layers,
            cache_bytes_per_token,
        };
        Some(match name {
            "smollm2-135m-instruct" => shape(134_479_872, 8_192, 576, 1_536, 30, 46_592),
            "qwen2.5-coder-0.5b-instruct" => shape(493_961_216, 32_768, 896, 4_864, 24, 25_088),
            "qwen2.5-coder-1.5b-instruct" => shape(1_543_569_408, 32_768, 1_536, 8_960, 28, 58_368),
            "gemma3-270m" => shape(268_042_240, 32_768, 640, 2_048, 18, 38_912),
            _ => return None,
        })
    }
}
