//! Fast weights: low-rank additions to a model's projections (LoRA, Hu et al., arXiv 2106.09685).

use std::any::Any;
use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use super::error::MemoryError;
use super::kind::{Content, Folder, Kind, Loader};
use super::peft;
use crate::engine::{DType, Device, EngineError};
use crate::model::ModelError;
use crate::model::adapter::{Adapter, AdapterEntry, AdapterLayout, Projection};
use crate::model::config::ModelConfig;
use crate::model::session::Session;

/// The shape of an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraConfig {
    pub rank: usize,
    /// Alpha: additions are multiplied by `alpha / rank`.
    pub alpha: f32,
    pub targets: Vec<Projection>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        LoraConfig {
            rank: 16,
            alpha: 32.0,
            targets: vec![Projection::Q, Projection::O],
        }
    }
}

impl LoraConfig {
    pub fn scale(&self) -> f32 {
        self.alpha / self.rank.max(1) as f32
    }
}

/// An adapter's numbers, in the model's own order of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    pub config: LoraConfig,
    pub matrices: Vec<LoraMatrix>,
}

/// One projection's pair: `W x + scale * B (A x)`.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraMatrix {
    pub layer: usize,
    pub projection: Projection,
    pub outputs: usize,
    pub inputs: usize,
    /// Matrix A, `rank x inputs`, row by row.
    pub a: Vec<f32>,
    /// Matrix B, `outputs x rank`, row by row.
    pub b: Vec<f32>,
}

impl Lora {
    /// A random A and a B of zeros: adds nothing before the first step. A is drawn as PEFT draws
    /// it, evenly within `1 / sqrt(inputs)`.
    pub fn new(model: &ModelConfig, config: LoraConfig, seed: u64) -> Lora {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let layout = AdapterLayout::new(model, config.rank, &config.targets);
        let matrices = layout.entries.iter().map(|entry| {
            let bound = 1.0 / (entry.inputs as f32).sqrt();
            let a = (0..config.rank * entry.inputs).map(|_| random.random_range(-bound..bound));
            LoraMatrix {
                layer: entry.layer,
                projection: entry.projection,
                outputs: entry.outputs,
                inputs: entry.inputs,
                a: a.collect(),
                b: vec![0.0; entry.outputs * config.rank],
            }
        });
        Lora {
            matrices: matrices.collect(),
            config,
        }
    }

    /// Where its matrices lie on a device.
    pub fn layout(&self, model: &ModelConfig) -> AdapterLayout {
        let pairs = self.matrices.iter().map(|m| (m.layer, m.projection));
        AdapterLayout::of(model, self.config.rank, pairs)
    }

    /// The flat tensor of `layout`.
    pub fn pack(&self, layout: &AdapterLayout) -> Vec<f32> {
        let (rank, stored) = (layout.rank, layout.stored_rank);
        let mut flat = vec![0.0; layout.len];
        for (entry, matrix) in layout.entries.iter().zip(&self.matrices) {
            flat[entry.a.clone()][..matrix.a.len()].copy_from_slice(&matrix.a);
            let rows = flat[entry.b.clone()].chunks_exact_mut(stored);
            for (row, from) in rows.zip(matrix.b.chunks_exact(rank)) {
                row[..rank].copy_from_slice(from);
            }
        }
        flat
    }

    /// The adapter on a device.
    pub fn upload(&self, device: &Device, model: &ModelConfig) -> Result<Adapter, EngineError> {
        let layout = self.layout(model);
        let params = device.tensor_of(DType::F32, &self.pack(&layout), "the memory")?;
        Ok(Adapter::new(&layout, self.config.scale(), &params, None))
    }

    /// The adapter that a flat tensor holds.
    pub fn unpack(config: LoraConfig, layout: &AdapterLayout, flat: &[f32]) -> Lora {
        let (rank, stored) = (layout.rank, layout.stored_rank);
        let matrix = |entry: &AdapterEntry| {
            let part = |range: &Range<usize>| &flat[range.clone()];
            let b = part(&entry.b).chunks_exact(stored);
            LoraMatrix {
                layer: entry.layer,
                projection: entry.projection,
                outputs: entry.outputs,
                inputs: entry.inputs,
                a: part(&entry.a)[..rank * entry.inputs].to_vec(),
                b: b.flat_map(|row| &row[..rank]).copied().collect(),
            }
        };
        Lora {
            matrices: layout.entries.iter().map(matrix).collect(),
            config,
        }
    }
}

impl Kind for Lora {
    fn kind(&self) -> &'static str {
        LOADER.kind
    }

    fn fault(&self, model: &ModelConfig) -> Option<String> {
        let rank = self.config.rank;
        if rank == 0 || self.matrices.is_empty() {
            return Some("the adapter has no matrices".into());
        }
        if !self.config.alpha.is_finite() {
            return Some(format!("alpha is {}", self.config.alpha));
        }
        self.matrices.iter().find_map(|m| {
            let (outputs, inputs) = m.projection.shape(model);
            let fits = m.layer < model.layers
                && (m.outputs, m.inputs) == (outputs, inputs)
                && (m.a.len(), m.b.len()) == (rank * inputs, outputs * rank);
            let what = match (fits, are_numbers(&m.a) && are_numbers(&m.b)) {
                (false, _) => "is of another model's size",
                (true, false) => "holds values that are not numbers",
                (true, true) => return None,
            };
            Some(format!("{} of layer {} {what}", m.projection, m.layer))
        })
    }

    fn save(&self, folder: &mut Folder<'_>, model: &ModelConfig) -> Result<(), MemoryError> {
        peft::save_lora(folder, self, model)
    }

    fn enter(&self, session: &mut Session) -> Result<(), ModelError> {
        let adapter = self.upload(session.device(), session.config())?;
        session.set_adapter(Some(adapter));
        Ok(())
    }

    fn equals(&self, other: &dyn Kind) -> bool {
        (other as &dyn Any).downcast_ref() == Some(self)
    }
}

/// Finds fast weights as PEFT keeps them.
pub const LOADER: Loader = Loader {
    kind: "lora",
    files: &peft::FILES,
    derived: false,
    load: |folder, model| peft::load_lora(folder, model).map(Content::new),
};

/// Whether all of some values are numbers.
pub(super) fn are_numbers(values: &[f32]) -> bool {
    values.iter().all(|v| v.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shapes;

    #[test]
    fn packing_and_unpacking_keep_every_number() {
        let model = shapes::smollm2_135m();
        for rank in [1, 3, 4, 16] {
            let config = LoraConfig {
                rank,
                ..LoraConfig::default()
            };
            let mut lora = Lora::new(&model, config, 7);
            for (i, value) in lora.matrices.iter_mut().flat_map(|m| &mut m.b).enumerate() {
                *value = i as f32;
            }
            let layout = lora.layout(&model);
            let flat = lora.pack(&layout);
            assert_eq!(Lora::unpack(lora.config.clone(), &layout, &flat), lora);
        }
    }
}
