//! A LoRA step over one sequence: how long it takes, and every kernel's part of it, the backward ones
//! among them.

use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;

use inscribe::engine::{CancelToken, Device, Profile};
use inscribe::memory::{Lora, LoraConfig};
use inscribe::model::session::SessionOptions;
use inscribe::model::train::{Batch, BatchKind, Optimizer, OptimizerKind, Trained, Trainer};
use inscribe::model::transformer::Transformer;

/// All launches of one kernel in one step.
#[derive(Serialize)]
pub struct KernelTime {
    pub kernel: String,
    pub calls: u64,
    pub secs: f64,
    pub gflops: f64,
    pub gbytes: f64,
}

/// What was measured.
pub struct Steps {
    pub seconds: Vec<f64>,
    pub kernels: Vec<KernelTime>,
    /// The same for people.
    pub table: String,
}

/// Takes `rounds` steps over `tokens` tokens (rank 16 on q and o, gradients through keys and
/// values), and one more in which each kernel is timed.
pub fn measure(
    device: &Device,
    model: &Transformer,
    tokens: usize,
    rounds: usize,
    cancel: &CancelToken,
) -> Result<Steps> {
    let context = model.config.context;
    if tokens >= context {
        bail!("--step {tokens} does not fit the model's context of {context} tokens; ask for less");
    }
    let seconds = take(device, model, tokens, rounds, cancel, None)?;
    let profile = Profile::default();
    take(device, model, tokens, 0, cancel, Some(&profile))?;
    let rate = |amount: u64, secs: f64| amount as f64 / secs.max(1e-12) / 1e9;
    let kernels = profile.rows().into_iter().map(|(_, kernel, e)| KernelTime {
        kernel,
        calls: e.calls,
        secs: e.secs,
        gflops: rate(e.flops, e.secs),
        gbytes: rate(e.bytes, e.secs),
    });
    Ok(Steps {
        seconds,
        kernels: kernels.collect(),
        table: profile.table(),
    })
}

/// The seconds of each step but the first, which also prepares the pass.
fn take(
    device: &Device,
    model: &Transformer,
    tokens: usize,
    rounds: usize,
    cancel: &CancelToken,
    profile: Option<&Profile>,
) -> Result<Vec<f64>> {
    let lora = Lora::new(&model.config, LoraConfig::default(), 1);
    let (layout, scale) = (lora.layout(&model.config), lora.config.scale());
    let initial = lora.pack(&layout);
    let trained = Trained::Adapter { layout, scale };
    let options = SessionOptions {
        cancel: Some(cancel),
        profile,
    };
    let mut trainer = Trainer::new(device, model, trained, &initial, None, None, options)?;
    let ids: Vec<u32> = (0..=tokens)
        .map(|i| (i * 7919 % model.config.vocab) as u32)
        .collect();
    let batch = Batch {
        kind: BatchKind::Sequence,
        ids: ids[..tokens].to_vec(),
        positions: Vec::new(),
        targets: ids[1..].to_vec(),
        weights: vec![1.0 / tokens as f32; tokens],
    };
    let optimizer = Optimizer {
        kind: OptimizerKind::ADAMW,
        lr: 1e-4,
        clip: Some(1.0),
    };
    let mut seconds = Vec::with_capacity(rounds);
    for round in 0..=rounds {
        let started = Instant::now();
        trainer.zero_gradients()?;
        trainer.accumulate(&batch)?;
        trainer.apply(&optimizer)?;
        device.wait()?;
        if round > 0 {
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    Ok(seconds)
}
