//! Low-rank additions to a model's projections: `y = W x + scale * B (A x)`.
//!
//! All matrices of one adapter lie in one flat tensor, so that an optimiser updates them with one
//! launch, clips them by one norm, and a checkpoint is one copy.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::engine::{DType, Shard, Tensor, Weight};
use crate::model::config::ModelConfig;

/// A projection of one layer that an adapter can add to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Projection {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
    Down,
}

impl Projection {
    pub const ALL: [Projection; 7] = [
        Projection::Q,
        Projection::K,
        Projection::V,
        Projection::O,
        Projection::Gate,
        Projection::Up,
        Projection::Down,
    ];

    /// The short name that options use.
    pub fn name(self) -> &'static str {
        match self {
            Projection::Q => "q",
            Projection::K => "k",
            Projection::V => "v",
            Projection::O => "o",
            Projection::Gate => "gate",
            Projection::Up => "up",
            Projection::Down => "down",
        }
    }

    /// The module's path within a layer of a Hugging Face model.
    pub fn module(self) -> &'static str {
        match self {
            Projection::Q => "self_attn.q_proj",
            Projection::K => "self_attn.k_proj",
            Projection::V => "self_attn.v_proj",
            Projection::O => "self_attn.o_proj",
            Projection::Gate => "mlp.gate_proj",
            Projection::Up => "mlp.up_proj",
            Projection::Down => "mlp.down_proj",
        }
    }

    /// The tensor's name within a block of a GGUF file, without `.weight`.
    pub fn gguf(self) -> &'static str {
        match self {
            Projection::Q => "attn_q",
            Projection::K => "attn_k",
            Projection::V => "attn_v",
            Projection::O => "attn_output",
            Projection::Gate => "ffn_gate",
            Projection::Up => "ffn_up",
            Projection::Down => "ffn_down",
        }
    }

    /// Outputs and inputs of the projection.
    pub fn shape(self, config: &ModelConfig) -> (usize, usize) {
        let (q, kv) = (
            config.heads * config.head_dim,
            config.kv_heads * config.head_dim,
        );
        match self {
            Projection::Q => (q, config.hidden),
            Projection::K | Projection::V => (kv, config.hidden),
            Projection::O => (config.hidden, q),
            Projection::Gate | Projection::Up => (config.ffn, config.hidden),
            Projection::Down => (config.hidden, config.ffn),
        }
    }
}

impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Projection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.trim().trim_end_matches("_proj");
        let known = Projection::ALL.into_iter().find(|p| p.name() == name);
        known.ok_or_else(|| format!("'{text}' is none of q, k, v, o, gate, up, down"))
    }
}

/// Where the matrices of one adapter lie in its flat tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterLayout {
    pub rank: usize,
    /// The rank as stored: a multiple of 4, because shaders read four elements at a time. Rows of
    /// A and columns of B beyond `rank` are zero, and so are their gradients: they stay zero.
    pub stored_rank: usize,
    pub entries: Vec<AdapterEntry>,
    /// Number of elements of the flat tensor.
    pub len: usize,
}

/// One projection's pair of matrices.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterEntry {
    pub layer: usize,
    pub projection: Projection,
    pub outputs: usize,
    pub inputs: usize,
    /// Place of A (`stored_rank x inputs`) in the flat tensor.
    pub a: Range<usize>,
    /// Place of B (`outputs x stored_rank`) in the flat tensor.
    pub b: Range<usize>,
}

impl AdapterLayout {
    /// A layout that covers `targets` in every layer.
    pub fn new(config: &ModelConfig, rank: usize, targets: &[Projection]) -> AdapterLayout {
        let mut targets = targets.to_vec();
        targets.sort();
        targets.dedup();
        let pairs = (0..config.layers).flat_map(|l| targets.iter().map(move |&p| (l, p)));
        Self::of(config, rank, pairs)
    }

    /// A layout that covers the given projections.
    pub fn of(
        config: &ModelConfig,
        rank: usize,
        pairs: impl IntoIterator<Item = (usize, Projection)>,
    ) -> AdapterLayout {
        let stored_rank = rank.next_multiple_of(4);
        let mut len = 0;
        let mut place = |elements: usize| {
            let start = len;
            // Bindings of shaders start on 64 bytes.
            len += elements.next_multiple_of(16);
            start..start + elements
        };
        let entries = pairs
            .into_iter()
            .map(|(layer, projection)| {
                let (outputs, inputs) = projection.shape(config);
                AdapterEntry {
                    layer,
                    projection,
                    outputs,
                    inputs,
                    a: place(stored_rank * inputs),
                    b: place(outputs * stored_rank),
                }
            })
            .collect();
        AdapterLayout {
            rank,
            stored_rank,
            entries,
            len,
        }
    }
}

/// One projection's addition, on a device.
#[derive(Clone)]
pub struct LoraPair {
    pub a: Weight,
    pub b: Weight,
    /// Factor of the product of A and B: `alpha / rank`.
    pub scale: f32,
    /// Gradients of A and B, where they are trained.
    pub grads: Option<(Tensor, Tensor)>,
}

/// An adapter on a device: views into its flat tensor.
#[derive(Clone)]
pub struct Adapter {
    pairs: Vec<Option<LoraPair>>,
}

impl Adapter {
    /// Views of `params` (and of `grads`, where trained), both `1 x layout.len`.
    pub fn new(
        layout: &AdapterLayout,
        scale: f32,
        params: &Tensor,
        grads: Option<&Tensor>,
    ) -> Adapter {
        let layers = layout.entries.iter().map(|e| e.layer + 1).max();
        let mut pairs = vec![None; layers.unwrap_or(0) * Projection::ALL.len()];
        for entry in &layout.entries {
            let a = |flat: &Tensor| {
                flat.col_range(entry.a.clone())
                    .reshape(layout.stored_rank, entry.inputs)
            };
            let b = |flat: &Tensor| {
                flat.col_range(entry.b.clone())
                    .reshape(entry.outputs, layout.stored_rank)
            };
            pairs[slot(entry.layer, entry.projection)] = Some(LoraPair {
                a: weight_view(a(params)),
                b: weight_view(b(params)),
                scale,
                grads: grads.map(|grads| (a(grads), b(grads))),
            });
        }
        Adapter { pairs }
    }

    pub fn pair(&self, layer: usize, projection: Projection) -> Option<&LoraPair> {
        self.pairs.get(slot(layer, projection))?.as_ref()
    }

    /// The lowest layer that any pair adds to.
    pub fn first_layer(&self) -> Option<usize> {
        let first = self.pairs.iter().position(Option::is_some)?;
        Some(first / Projection::ALL.len())
    }
}

fn slot(layer: usize, projection: Projection) -> usize {
    layer * Projection::ALL.len() + projection as usize
}

/// A dense view as a weight of one shard.
fn weight_view(tensor: Tensor) -> Weight {
    Weight {
        dtype: DType::F32,
        rows: tensor.rows,
        cols: tensor.cols,
        shards: vec![Shard {
            first_row: 0,
            tensor,
        }],
    }
}
