//! Tiny random models of every architecture against what transformers says about them.

use std::path::{Path, PathBuf};

use inscribe::engine::Device;
use inscribe::engine::cpu::CpuDevice;
use inscribe::model::session::{Session, SessionOptions};
use inscribe::model::transformer::Transformer;
use inscribe::model::weights::WeightFile;
use safetensors::SafeTensors;
use serde_json::Value;

const MODELS: [&str; 11] = [
    "llama",
    "llama.gguf",
    "llama3",
    "llama3.gguf",
    "qwen2",
    "qwen2.gguf",
    "qwen3",
    "qwen3.gguf",
    "gemma3",
    "gemma3.gguf",
    "llama-mixed.gguf",
];

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny")
}

fn ids(golden: &Value, key: &str) -> Vec<u32> {
    golden[key]
        .as_array()
        .expect("ids")
        .iter()
        .map(|v| v.as_u64().expect("an id") as u32)
        .collect()
}

fn check(name: &str, device: &Device) {
    let stem = name.strip_suffix(".gguf").unwrap_or(name);
    let text = std::fs::read_to_string(tiny().join(format!("{stem}.golden.json"))).expect("golden");
    let golden: Value = serde_json::from_str(&text).expect("JSON");
    let file = WeightFile::open(&tiny().join(name)).expect("a model");
    let config = file.config().expect("a config");
    let model = Transformer::load(device, &file, config, &mut |_| {}).expect("weights");
    let tokens = ids(&golden, "ids");
    let bytes = std::fs::read(tiny().join(format!("{stem}.logits.safetensors"))).expect("golden");
    let logits = SafeTensors::deserialize(&bytes).expect("safetensors");
    let logits: Vec<f32> =
        bytemuck::pod_collect_to_vec(logits.tensor("logits").expect("logits").data());
    let vocab = model.config.vocab;
    let mut session = Session::new(device, &model, 64, SessionOptions::default()).expect("memory");
    let mut worst = 0f32;
    for (i, &token) in tokens.iter().enumerate() {
        let found = session.prefill(&[token], &mut |_, _| {}).expect("logits");
        let expected = &logits[i * vocab..][..vocab];
        for (a, b) in found.iter().zip(expected) {
            worst = worst.max((a - b).abs());
        }
    }
    assert!(worst < 2e-4, "{name}: logits differ by {worst}");
}

#[test]
fn logits_agree_on_the_cpu() {
    let device = Device::Cpu(CpuDevice::new(2));
    for name in MODELS {
        check(name, &device);
    }
}
