//! Keys and values that later tokens attend to, and the angles of their positions.

use std::ops::Range;

use crate::engine::{DType, Device, Tensor};
use crate::kernels::attention::AttentionShape;
use crate::model::config::ModelConfig;
use crate::model::error::ModelError;

/// The rotary angles of every position: one table for each kind of layer. A clone
/// shares them.
#[derive(Clone)]
pub struct Angles {
    tables: Vec<Tensor>,
    table_of: Vec<usize>,
}

impl Angles {
    /// The tables for positions `0..positions`.
    pub fn new(
        device: &Device,
        config: &ModelConfig,
        positions: usize,
    ) -> Result<Self, ModelError> {
        let mut angles = Angles {
            tables: Vec::new(),
            table_of: Vec::with_capacity(config.layers),
        };
        let mut known: Vec<Vec<f32>> = Vec::new();
        for layer in 0..config.layers {
            let inverse = config.rope_inv_freqs(layer);
            let at = known.iter().position(|t| *t == inverse);
            angles.table_of.push(at.unwrap_or(known.len()));
            if at.is_none() {
                let table = device.tensor(DType::F32, positions, config.head_dim, "angles")?;
                device.write(&table, &angle_table(&inverse, positions))?;
                angles.tables.push(table);
                known.push(inverse);
            }
        }
        Ok(angles)
    }

    /// Tables without memory, for planning a pass before anything is allocated.
    pub(crate) fn planned(config: &ModelConfig, positions: usize) -> Self {
        Angles {
            tables: vec![Tensor::planned(DType::F32, positions, config.head_dim)],
            table_of: vec![0; config.layers],
        }
    }

    /// The table of a layer, `positions x head_dim`.
    pub fn of(&self, layer: usize) -> &Tensor {
        &self.tables[self.table_of[layer]]
    }
}

/// The keys and values of some key heads of a layer. Heads do not look at each other, so that a
/// layer whose keys are more than one binding can hold lies in several parts.
#[derive(Clone)]
pub struct HeadPart {
    pub heads: Range<usize>,
    pub keys: Tensor,
    pub values: Tensor,
}

impl HeadPart {
    /// Columns of these heads among all keys or values.
    pub fn key_cols(&self, head_dim: usize) -> Range<usize> {
        self.heads.start * head_dim..self.heads.end * head_dim
    }

    /// Columns of the query heads that read these heads, among all queries.
    pub fn query_cols(&self, shape: AttentionShape) -> Range<usize> {
        let width = shape.heads / shape.kv_heads * shape.head_dim;
        self.heads.start * width..self.heads.end * width
    }

    /// The shape of attention to these heads, in a layer of `shape`.
    pub fn shape(&self, shape: AttentionShape) -> AttentionShape {
        let kv_heads = self.heads.len();
        AttentionShape {
            heads: shape.heads / shape.kv_heads * kv_heads,
            kv_heads,
            ..shape
        }
    }
}

/// Keys and values of every layer, `capacity` rows each, and the angles of their positions. A
/// clone shares their memory.
#[derive(Clone)]
pub struct Cache {
    pub capacity: usize,
    pub(super) layers: Vec<Vec<HeadPart>>,
    pub(super) angles: Angles,
}

impl Cache {
    /// Zeroed keys and values for `capacity` positions.
    pub fn new(device: &Device, config: &ModelConfig, capacity: usize) -> Result<Self, ModelError> {
        let layer = |_| parts(device, config, capacity);
        Ok(Cache {
            capacity,
            layers: (0..config.layers).map(layer).collect::<Result<_, _>>()?,
            angles: Angles::new(device, config, capacity)?,
        })
    }

    /// A cache without memory, for planning a pass before anything is allocated.
    pub(crate) fn planned(config: &ModelConfig, capacity: usize) -> Self {
        let width = config.kv_heads * config.head_dim;
        let layer = |_| {
            vec![HeadPart {
                heads: 0..config.kv_heads,
                keys: Tensor::planned(DType::F32, capacity, width),
                values: Tensor::planned(DType::F32, capacity, width),
            }]
        };
        Cache {
            capacity,
            layers: (0..config.layers).map(layer).collect(),
            angles: Angles::planned(config, capacity),
        }
    }

    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Keys and values of a layer's first `rows` positions, all heads side by side.
    pub(crate) fn read_rows(
        &self,
        device: &Device,
        layer: usize,
        rows: usize,
    ) -> Result<[Vec<f32>; 2], ModelError> {
        let parts = &self.layers[layer];
        let width = parts.iter().map(|part| part.keys.cols).sum::<usize>();
        let mut both = [vec![0.0; rows * width], vec![0.0; rows * width]];
        let mut first = 0;
        for part in parts {
            for (all, tensor) in both.iter_mut().zip([&part.keys, &part.values]) {
                let own: Vec<f32> = device.read(&tensor.row_range(0..rows))?;
                for (to, from) in all
                    .chunks_exact_mut(width)
                    .zip(own.chunks_exact(tensor.cols))
                {
                    to[first..first + tensor.cols].copy_from_slice(from);
                }
            }
            first += part.keys.cols;
        }
        Ok(both)
    }

    /// Sets what [`Cache::read_rows`] reads.
    pub(crate) fn write_rows(
        &self,
        device: &Device,
        layer: usize,
        [keys, values]: &[Vec<f32>; 2],
    ) -> Result<(), ModelError> {
        let parts = &self.layers[layer];
        let width = parts.iter().map(|part| part.keys.cols).sum::<usize>();
        if let [whole] = &parts[..] {
            device.write(&whole.keys, keys)?;
            return Ok(device.write(&whole.values, values)?);
        }
        let mut first = 0;
        for part in parts {
            for (all, tensor) in [(keys, &part.keys), (values, &part.values)] {
                let rows = all.chunks_exact(width);
                let own = rows
                    .flat_map(|row| &row[first..first + tensor.cols])
                    .copied();
                device.write(tensor, &own.collect::<Vec<f32>>())?;
            }
            first += part.keys.cols;
        }
        Ok(())
    }

    /// In how many parts each layer's keys and values lie.
    pub fn parts(&self) -> usize {
        self.layers.last().map_or(0, Vec::len)
    }

    /// Bytes a cache of `capacity` positions takes.
    pub fn bytes(config: &ModelConfig, capacity: usize) -> u64 {
        let row = 2 * config.layers * config.kv_heads * config.head_dim + 2 * config.head_dim;
        (capacity * row * size_of::<f32>()) as u64
    }
}

/// Keys and values of one layer.
fn parts(
    device: &Device,
    config: &ModelConfig,
    capacity: usize,
) -> Result<Vec<HeadPart>, ModelError> {
    let head_bytes = (capacity * config.head_dim * size_of::<f32>()).max(1) as u64;
    let fitting = (device.max_binding_bytes() / head_bytes).min(config.kv_heads as u64);
    let together = (fitting as usize).max(1);
    let part = |first: usize| -> Result<HeadPart, ModelError> {
        let heads = first..config.kv_heads.min(first + together);
        let cols = heads.len() * config.head_dim;
        Ok(HeadPart {
            heads,
            keys: device.tensor(DType::F32, capacity, cols, "cached keys")?,
            values: device.tensor(DType::F32, capacity, cols, "cached values")?,
        })
    };
    (0..config.kv_heads).step_by(together).map(part).collect()
}

/// For each position the cosines of its angles and then their sines. Angles are rounded to f32
/// before the cosine is taken, as transformers does.
fn angle_table(inverse: &[f32], positions: usize) -> Vec<f32> {
    let mut table = Vec::with_capacity(positions * inverse.len() * 2);
    for position in 0..positions {
        let angle = |f: &f32| f64::from(position as f32 * f);
        table.extend(inverse.iter().map(|f| angle(f).cos() as f32));
        table.extend(inverse.iter().map(|f| angle(f).sin() as f32));
    }
    table
}
