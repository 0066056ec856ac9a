//! Holds gradients against finite differences in 64-bit floats.

use crate::engine::{Arena, DType, Device, Recording, RunOptions, Tensor};
use crate::kernels::cpu::matmul::tests::Random;

/// Numbers of a dense tensor, and its rows.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    F32(&'a [f32], usize),
    U32(&'a [u32]),
}
pub use Input::{F32, U32};

/// Uniform in -1 to 1.
pub fn noise(seed: u64, len: usize) -> Vec<f32> {
    Random(seed).floats(len)
}

/// Runs one recording on the twins; what every 32-bit float tensor then holds, and nothing for
/// the others.
pub fn on_twin(inputs: &[Input], record: impl Fn(&mut Recording, &[Tensor])) -> Vec<Vec<f32>> {
    let device = Device::cpu(2);
    let tensors: Vec<Tensor> = inputs
        .iter()
        .map(|input| match *input {
            F32(values, rows) => device
                .tensor_of(DType::F32, values, "a test")
                .unwrap()
                .reshape(rows, values.len() / rows.max(1)),
            U32(values) => device.tensor_of(DType::U32, values, "a test").unwrap(),
        })
        .collect();
    let mut recording = Recording::new();
    record(&mut recording, &tensors);
    let program = device.prepare(recording, &mut Arena::new()).unwrap();
    device.run(&program, &RunOptions::default()).unwrap();
    let read = |tensor: &Tensor| match tensor.dtype {
        DType::F32 => device.read(tensor).unwrap(),
        _ => Vec::new(),
    };
    tensors.iter().map(read).collect()
}

/// The gradient of `f` by central differences, of two widths so that the cubic term cancels.
pub fn gradient(at: &[f32], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut point: Vec<f64> = at.iter().map(|&v| f64::from(v)).collect();
    (0..point.len())
        .map(|i| {
            let (middle, step) = (point[i], 1e-3);
            let mut slope = |steps: f64| {
                point[i] = middle + steps * step;
                let above = f(&point);
                point[i] = middle - steps * step;
                let below = f(&point);
                point[i] = middle;
                (above - below) / (2.0 * steps * step)
            };
            (4.0 * slope(1.0) - slope(2.0)) / 3.0
        })
        .collect()
}

/// Each number within `tolerance` of the expected one, relative to the largest expected.
#[track_caller]
pub fn assert_near(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0f64, |most, e| most.max(e.abs()));
    for (i, (&f, &e)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(f) - e).abs();
        assert!(error <= tolerance * largest, "element {i} is {f}, not {e}");
    }
}
