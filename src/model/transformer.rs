//! One transformer, described by its config: its weights on a device, the forward pass and the
//! gradients of what is trained beside it.

mod assemble;
mod backward;
mod cache;
mod forward;
mod inputs;
mod load;
mod planned;

pub(crate) use assemble::Brings;
pub use backward::{Head, Loss, Recompute, Seed, Wanted};
pub use cache::{Angles, Cache};
pub use inputs::{Attend, Inputs, Parts};

use std::sync::Arc;

use crate::engine::{Tensor, Weight};
use crate::model::adapter::Projection;
use crate::model::config::ModelConfig;

/// A model's weights on a device. Clones share them.
#[derive(Clone)]
pub struct Transformer {
    pub config: ModelConfig,
    embedding: Weight,
    output_norm: Tensor,
    /// Absent where the embedding serves as output.
    output: Option<Weight>,
    layers: Arc<[Layer]>,
}

struct Layer {
    attn_norm: Tensor,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    q_norm: Option<Tensor>,
    k_norm: Option<Tensor>,
    /// Normalises what attention adds (sandwich norms).
    post_attn_norm: Option<Tensor>,
    ffn_norm: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
    post_ffn_norm: Option<Tensor>,
}

struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
}

impl Transformer {
    /// What scores hidden states.
    pub(crate) fn head(&self) -> &Weight {
        self.output.as_ref().unwrap_or(&self.embedding)
    }

    /// Bytes of all weights as files hold them.
    pub fn weight_bytes(&self) -> u64 {
        let layers = self.layers.iter().flat_map(|layer| {
            Projection::ALL.map(|projection| layer.linear(projection).weight.bytes())
        });
        let ends = [Some(&self.embedding), self.output.as_ref()];
        (layers.sum::<usize>() + ends.iter().flatten().map(|w| w.bytes()).sum::<usize>()) as u64
    }
}

impl Layer {
    fn linear(&self, projection: Projection) -> &Linear {
        match projection {
            Projection::Q => &self.q,
            Projection::K => &self.k,
            Projection::V => &self.v,
            Projection::O => &self.o,
            Projection::Gate => &self.gate,
            Projection::Up => &self.up,
            Projection::Down => &self.down,
        }
    }
}
