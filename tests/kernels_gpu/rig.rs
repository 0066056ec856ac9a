//! Runs one launch on the twin and on every tier of the adapter, and compares.

use std::sync::OnceLock;

use inscribe::engine::gpu::{OpenOptions, Precision, TierCap};
use inscribe::engine::{DType, Device, Recording, Tensor, Weight};
use inscribe::kernels::random::random_weight;

use crate::common::open;

/// Bytes of a shard in tests: small, so that weights of a few rows are split.
pub const SHARD_BYTES: u64 = 6 << 10;

/// The twin's device, and one GPU device for each tier.
pub struct Rig {
    pub cpu: Device,
    pub gpus: Vec<(&'static str, Device)>,
}

pub fn rig() -> &'static Rig {
    static RIG: OnceLock<Rig> = OnceLock::new();
    RIG.get_or_init(|| {
        let gpu = |cap, precision| {
            open(OpenOptions {
                cap,
                precision,
                max_binding_bytes: Some(SHARD_BYTES),
                ..OpenOptions::default()
            })
        };
        Rig {
            cpu: Device::cpu(2),
            gpus: vec![
                ("portable", gpu(TierCap::Portable, Precision::Exact)),
                ("subgroups", gpu(TierCap::Subgroups, Precision::Exact)),
                ("full", gpu(TierCap::Full, Precision::Exact)),
            ],
        }
    })
}

/// A matrix of plain elements somewhere inside a larger buffer.
#[derive(Clone, Debug)]
pub struct Input {
    pub dtype: DType,
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
    pub offset: usize,
    /// Bits of every element of the buffer, gaps included.
    pub bits: Vec<u32>,
}

/// Numbers that depend on nothing but a seed.
pub fn noise(seed: u64, len: usize, scale: f32) -> Vec<f32> {
    let bytes = random_weight(DType::F32, 1, len.max(1), seed.wrapping_mul(2) + 1);
    let spread = (len.max(1) as f32).sqrt() * scale;
    bytes
        .chunks_exact(4)
        .take(len)
        .map(|b| spread * f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

impl Input {
    /// Values between -1 and 1, at any offset and with any gap between rows. Gaps hold NaN, so
    /// that reading one shows.
    pub fn noise(seed: u64, rows: usize, cols: usize, offset: usize, gap: usize) -> Input {
        let stride = cols + gap;
        let mut bits = vec![f32::NAN.to_bits(); offset + rows * stride + 3];
        let values = noise(seed, rows * cols, 1.0);
        for r in 0..rows {
            for c in 0..cols {
                bits[offset + r * stride + c] = values[r * cols + c].to_bits();
            }
        }
        Input {
            dtype: DType::F32,
            rows,
            cols,
            stride,
            offset,
            bits,
        }
    }

    /// One row of numbers.
    pub fn ids(ids: &[u32], offset: usize) -> Input {
        let mut bits = vec![u32::MAX; offset];
        bits.extend_from_slice(ids);
        Input {
            dtype: DType::U32,
            rows: 1,
            cols: ids.len(),
            stride: ids.len(),
            offset,
            bits,
        }
    }

    fn on(&self, device: &Device) -> Tensor {
        let whole = device
            .tensor_of(self.dtype, &self.bits, "a test")
            .expect("memory");
        Tensor {
            place: whole.place,
            dtype: self.dtype,
            rows: self.rows,
            cols: self.cols,
            stride: self.stride,
            offset: self.offset,
        }
    }
}

/// A weight of a type and shape, from a seed.
#[derive(Clone, Copy, Debug)]
pub struct WeightInput {
    pub dtype: DType,
    pub rows: usize,
    pub cols: usize,
    pub seed: u64,
}

impl WeightInput {
    fn on(&self, device: &Device) -> Weight {
        let bytes = random_weight(self.dtype, self.rows, self.cols, self.seed);
        device
            .weight_of(&bytes, self.dtype, self.rows, self.cols, "a test")
            .expect("memory")
    }
}

/// Records the same launch everywhere and compares all of the buffer of the last input, which is
/// the output: also what lies between its rows must be as the twin leaves it.
pub fn compare(
    inputs: &[Input],
    weights: &[WeightInput],
    tolerance: f32,
    record: impl Fn(&mut Recording, &[Tensor], &[Weight]),
) -> Result<(), String> {
    let expected = run(&rig().cpu, inputs, weights, &record);
    for (tier, device) in &rig().gpus {
        let found = run(device, inputs, weights, &record);
        same(&expected, &found, tolerance).map_err(|e| format!("{tier}: {e}"))?;
    }
    Ok(())
}

/// All of the last input's buffer after one launch.
pub fn run(
    device: &Device,
    inputs: &[Input],
    weights: &[WeightInput],
    record: impl Fn(&mut Recording, &[Tensor], &[Weight]),
) -> Vec<f32> {
    let tensors: Vec<Tensor> = inputs.iter().map(|i| i.on(device)).collect();
    let weights: Vec<Weight> = weights.iter().map(|w| w.on(device)).collect();
    let mut recording = Recording::new();
    record(&mut recording, &tensors, &weights);
    device.run_once(recording).expect("a run");
    let last = tensors.last().expect("an output");
    let len = inputs.last().expect("an output").bits.len();
    let whole = Tensor::dense(last.place.clone(), DType::F32, 1, len);
    device.read(&whole).expect("the output")
}

pub fn same(expected: &[f32], found: &[f32], tolerance: f32) -> Result<(), String> {
    assert_eq!(expected.len(), found.len());
    for (i, (&e, &f)) in expected.iter().zip(found).enumerate() {
        let equal = e.to_bits() == f.to_bits() || e.is_nan() && f.is_nan();
        let near = (e - f).abs() <= tolerance * (1.0 + e.abs());
        if !equal && !near {
            return Err(format!("element {i} of {} is {f}, not {e}", expected.len()));
        }
    }
    Ok(())
}

/// How far sums of `len` products of numbers below 1 may drift apart in f32.
pub fn sum_tolerance(len: usize) -> f32 {
    1e-6 * (len as f32).sqrt().max(4.0)
}
