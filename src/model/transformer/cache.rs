//! Keys and values that later tokens attend to, and the angles of their positions.

use crate::engine::{DType, Device, Recording, Tensor};
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

    /// The table of a layer, `positions x head_dim`.
    pub fn of(&self, layer: usize) -> &Tensor {
        &self.tables[self.table_of[layer]]
    }
}

/// Keys and values of every layer, `capacity` rows each, and the angles of their positions. A
/// clone shares their memory.
#[derive(Clone)]
pub struct Cache {
    pub capacity: usize,
    pub(super) keys: Vec<Tensor>,
    pub(super) values: Vec<Tensor>,
    pub(super) angles: Angles,
}

impl Cache {
    /// Zeroed keys and values for `capacity` positions.
    pub fn new(device: &Device, config: &ModelConfig, capacity: usize) -> Result<Self, ModelError> {
        let width = config.kv_heads * config.head_dim;
        let tensor = |what| device.tensor(DType::F32, capacity, width, what);
        let keys = (0..config.layers).map(|_| tensor("cached keys"));
        let values = (0..config.layers).map(|_| tensor("cached values"));
        Ok(Cache {
            capacity,
            keys: keys.collect::<Result<_, _>>()?,
            values: values.collect::<Result<_, _>>()?,
            angles: Angles::new(device, config, capacity)?,
        })
    }

    /// A cache that takes no memory, for planning a pass before anything is allocated.
    pub(crate) fn planned(rec: &mut Recording, config: &ModelConfig, capacity: usize) -> Self {
        let width = config.kv_heads * config.head_dim;
        let first = rec.temps.len();
        let cache = Cache {
            capacity,
            keys: (0..config.layers)
                .map(|_| rec.temp(DType::F32, capacity, width))
                .collect(),
            values: (0..config.layers)
                .map(|_| rec.temp(DType::F32, capacity, width))
                .collect(),
            angles: Angles {
                tables: vec![rec.temp(DType::F32, capacity, config.head_dim)],
                table_of: vec![0; config.layers],
            },
        };
        rec.temps[first..].fill(0);
        cache
    }

    /// Bytes a cache of `capacity` positions takes.
    pub fn bytes(config: &ModelConfig, capacity: usize) -> u64 {
        let row = 2 * config.layers * config.kv_heads * config.head_dim + 2 * config.head_dim;
        (capacity * row * size_of::<f32>()) as u64
    }
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
