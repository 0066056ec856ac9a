//! What PyTorch's autograd and PEFT say about the tiny models; see tests/oracle/train_goldens.py.

use std::collections::HashMap;
use std::ops::Range;

use inscribe::memory::lora::{Lora, LoraConfig, LoraMatrix};
use inscribe::model::adapter::{AdapterLayout, Projection};
use inscribe::model::config::ModelConfig;
use safetensors::SafeTensors;

use crate::common;

pub struct Golden {
    pub ids: Vec<u32>,
    /// Of the rows scored against a frozen cache.
    pub positions: Vec<u32>,
    pub lr: f32,
    pub weight_decay: f32,
    pub max_norm: f32,
    pub prefix_lr: f32,
    tensors: HashMap<String, Vec<f32>>,
}

impl Golden {
    /// Of a model named as its folder or its GGUF file.
    pub fn load(name: &str) -> Golden {
        let stem = name.strip_suffix(".gguf").unwrap_or(name);
        let path = common::golden(&format!("train/{stem}.safetensors"));
        let bytes = std::fs::read(path).expect("golden");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let numbers = |name: &str| file.tensor(name).expect(name).data().to_vec();
        let tensors: HashMap<String, Vec<f32>> = file
            .names()
            .into_iter()
            .map(|name| {
                (
                    name.to_owned(),
                    bytemuck::pod_collect_to_vec(&numbers(name)),
                )
            })
            .collect();
        let rates = &tensors["rates"];
        Golden {
            ids: bytemuck::pod_collect_to_vec(&numbers("ids")),
            positions: bytemuck::pod_collect_to_vec(&numbers("frozen.positions")),
            lr: rates[0],
            weight_decay: rates[1],
            max_norm: rates[2],
            prefix_lr: rates[3],
            tensors,
        }
    }

    pub fn tensor(&self, name: &str) -> &[f32] {
        &self.tensors[name]
    }

    /// Tensors whose names start so.
    pub fn count(&self, prefix: &str) -> usize {
        self.tensors
            .keys()
            .filter(|name| name.starts_with(prefix))
            .count()
    }

    /// Losses before each step of a kind of training and after the last.
    pub fn losses(&self, kind: &str) -> &[f32] {
        self.tensor(&format!("{kind}.losses"))
    }

    /// The adapter that a kind of training starts from: the first `rank` of every pair.
    pub fn lora(&self, model: &ModelConfig, targets: &[Projection], rank: usize) -> Lora {
        let config = LoraConfig {
            rank,
            alpha: 2.0 * rank as f32,
            targets: targets.to_vec(),
        };
        lora_of(model, config, |layer, projection, side, range| {
            let whole = self.tensor(&key("init", layer, projection, side));
            let (outputs, _) = projection.shape(model);
            // B of the file has four columns.
            let stored = whole.len() / outputs;
            match side {
                "A" => whole[range].to_vec(),
                _ => whole
                    .chunks_exact(stored)
                    .flat_map(|row| &row[..rank])
                    .copied()
                    .collect(),
            }
        })
    }
}

pub fn key(kind: &str, layer: usize, projection: Projection, side: &str) -> String {
    format!("{kind}.{layer}.{}.{side}", projection.name())
}

/// An adapter from the numbers of each matrix in Hugging Face's order.
pub fn lora_of(
    model: &ModelConfig,
    config: LoraConfig,
    numbers: impl Fn(usize, Projection, &str, Range<usize>) -> Vec<f32>,
) -> Lora {
    let layout = AdapterLayout::new(model, config.rank, &config.targets);
    let matrices = layout.entries.iter().map(|entry| {
        let of = |side, len| numbers(entry.layer, entry.projection, side, 0..len);
        let b = of("B", entry.outputs * config.rank);
        LoraMatrix {
            layer: entry.layer,
            projection: entry.projection,
            outputs: entry.outputs,
            inputs: entry.inputs,
            a: of("A", config.rank * entry.inputs),
            b: reorder(model, entry.projection, config.rank, &b, Order::ToModel),
        }
    });
    let matrices = matrices.collect();
    Lora { config, matrices }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    ToModel,
    FromModel,
}

/// Rows of B between Hugging Face's order and the model's. They differ where GGUF's llama puts the
/// two halves of a rotated pair side by side.
pub fn reorder(
    model: &ModelConfig,
    projection: Projection,
    rank: usize,
    b: &[f32],
    order: Order,
) -> Vec<f32> {
    let rotated = matches!(projection, Projection::Q | Projection::K);
    if !(rotated && model.rope_interleaved) {
        return b.to_vec();
    }
    let (dim, half) = (model.head_dim, model.head_dim / 2);
    let mut out = vec![0.0; b.len()];
    for row in 0..b.len() / rank {
        let (head, at) = (row / dim * dim, row % dim);
        let paired = head + at % half * 2 + at / half;
        let (from, to) = match order {
            Order::ToModel => (row, paired),
            Order::FromModel => (paired, row),
        };
        out[to * rank..][..rank].copy_from_slice(&b[from * rank..][..rank]);
    }
    out
}
