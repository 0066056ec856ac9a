//! Memories for tests.

use super::kind::Content;
use super::lora::{Lora, LoraConfig};
use super::prefix::Prefix;
use super::rows::Rows;
use crate::engine::{DType, Device};
use crate::model::adapter::Projection;
use crate::model::config::{Architecture, ModelConfig};
use crate::model::shapes;
use crate::model::transformer::Cache;

/// Keys and values of so many tokens, zeros all of them.
pub fn rows(model: &ModelConfig, tokens: usize) -> Content {
    let device = Device::cpu(1);
    let cache = Cache::new(&device, model, tokens).expect("memory");
    Content::new(Rows::of(&device, &cache, tokens, DType::Q8_0))
}

/// A model of two small layers; its head sizes are such that a wrong order of rows shows.
pub fn tiny_model(arch: Architecture, rope_interleaved: bool) -> ModelConfig {
    ModelConfig {
        arch,
        vocab: 50,
        hidden: 12,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        ffn: 20,
        rope_interleaved,
        ..shapes::smollm2_135m()
    }
}

/// An adapter none of whose numbers is like another.
pub fn lora(model: &ModelConfig, rank: usize, targets: &[Projection], seed: u64) -> Lora {
    let config = LoraConfig {
        rank,
        alpha: 6.5,
        targets: targets.to_vec(),
    };
    let mut lora = Lora::new(model, config, seed);
    for (i, value) in lora.matrices.iter_mut().flat_map(|m| &mut m.b).enumerate() {
        *value = (i as f32 + seed as f32).sin();
    }
    lora
}

pub fn prefix(model: &ModelConfig, rows: usize) -> Prefix {
    let values = (0..rows * model.hidden).map(|i| (i as f32).cos());
    Prefix {
        rows,
        hidden: model.hidden,
        values: values.collect(),
    }
}

pub fn lora_content(model: &ModelConfig, seed: u64) -> Content {
    Content::new(lora(model, 4, &[Projection::Q, Projection::O], seed))
}
