//! One LoRA step (rank 16 on q and o) over 1024 tokens on the CPU executor, for
//! `bench_lora_torch.py --against`: the median of some steps, as JSON.

use std::path::PathBuf;
use std::time::Instant;

use inscribe::engine::Device;
use inscribe::engine::cpu::CpuDevice;
use inscribe::memory::{Lora, LoraConfig};
use inscribe::model::bundle::Model;
use inscribe::model::session::SessionOptions;
use inscribe::model::train::{Batch, BatchKind, Optimizer, OptimizerKind, Trained, Trainer};
use inscribe::model::transformer::Transformer;

const TOKENS: usize = 1024;
const STEPS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: lora_step MODEL.gguf")?;
    let model = Model::open(&PathBuf::from(path))?;
    let device = Device::Cpu(CpuDevice::new(2));
    let transformer =
        Transformer::load(&device, &model.file, model.config.clone(), &mut |_| Ok(()))?;
    let lora = Lora::new(&model.config, LoraConfig::default(), 1);
    let (layout, scale) = (lora.layout(&model.config), lora.config.scale());
    let initial = lora.pack(&layout);
    let trained = Trained::Adapter { layout, scale };
    let options = SessionOptions::default();
    let mut trainer = Trainer::new(
        &device,
        &transformer,
        trained,
        &initial,
        None,
        None,
        options,
    )?;
    let vocab = model.config.vocab as u32;
    let ids: Vec<u32> = (0..=TOKENS as u32)
        .map(|i| 10 + i * 7919 % (vocab - 20))
        .collect();
    let batch = Batch {
        kind: BatchKind::Sequence,
        ids: ids[..TOKENS].to_vec(),
        positions: Vec::new(),
        targets: ids[1..].to_vec(),
        weights: vec![1.0 / TOKENS as f32; TOKENS],
    };
    let optimizer = Optimizer {
        kind: OptimizerKind::ADAMW,
        lr: 1e-4,
        clip: Some(1.0),
    };
    // The first step also prepares the pass.
    let mut seconds = Vec::new();
    for step in 0..=STEPS {
        let started = Instant::now();
        trainer.zero_gradients()?;
        trainer.accumulate(&batch)?;
        trainer.apply(&optimizer)?;
        if step > 0 {
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    println!(
        "{{\"seconds\": {}, \"peak_rss_bytes\": {}}}",
        seconds[STEPS / 2],
        peak_rss_bytes()
    );
    Ok(())
}

/// The most memory the process ever held, as Linux counts it; 0 elsewhere.
fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
