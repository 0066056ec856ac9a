//! What the tests share: tiny models, devices, random numbers.

use std::path::PathBuf;

use inscribe::engine::Device;
use inscribe::engine::gpu::{Choice, OpenOptions};
use inscribe::model::transformer::Transformer;
use inscribe::model::weights::WeightFile;

pub const MODELS: [&str; 4] = ["llama", "qwen2", "qwen3", "gemma3"];

pub fn cpu() -> Device {
    Device::cpu(2)
}

/// The adapter that `INSCRIBE_TEST_ADAPTER` names, else the first, software rasterisers included.
pub fn gpu() -> Device {
    gpu_with(None)
}

/// The same, with weights and caches in parts of so many bytes.
pub fn gpu_with(max_binding_bytes: Option<u64>) -> Device {
    let choice = match std::env::var("INSCRIBE_TEST_ADAPTER") {
        Ok(name) => name
            .parse()
            .map_or_else(|_| Choice::Name(name.clone()), Choice::Index),
        Err(_) => Choice::Index(0),
    };
    let options = OpenOptions {
        choice,
        checked: true,
        max_binding_bytes,
        ..OpenOptions::default()
    };
    Device::open_gpu(&options).unwrap_or_else(|e| {
        panic!("these tests need an adapter, if only llvmpipe (Debian: mesa-vulkan-drivers): {e}")
    })
}

pub fn load(device: &Device, name: &str) -> Transformer {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/golden/tiny", name]
        .iter()
        .collect();
    let file = WeightFile::open(&path).expect("a model");
    let config = file.config().expect("a config");
    Transformer::load(device, &file, config, &mut |_| Ok(())).expect("weights")
}

/// Even numbers within `bound` of 0 (xorshift64, Marsaglia 2003).
pub struct Random(pub u64);

impl Random {
    pub fn within(&mut self, bound: f32) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        bound * ((self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
    }

    pub fn floats(&mut self, count: usize, bound: f32) -> Vec<f32> {
        (0..count).map(|_| self.within(bound)).collect()
    }

    pub fn ids(&mut self, count: usize, vocab: usize) -> Vec<u32> {
        (0..count)
            .map(|_| ((self.within(0.5) + 0.5) * vocab as f32) as u32 % vocab as u32)
            .collect()
    }
}
