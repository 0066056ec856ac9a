//! A LoRA step, over a whole sequence and over spans of it against its frozen keys and values: how
//! long it takes, and every kernel's part of it, the backward ones among them.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;

use inscribe::engine::{CancelToken, Device, Profile};
use inscribe::memory::{Lora, LoraConfig};
use inscribe::model::session::{Session, SessionOptions};
use inscribe::model::train::{Batch, BatchKind, Optimizer, OptimizerKind, Trained, Trainer};
use inscribe::model::transformer::{Cache, Transformer};

/// All launches of one kernel in one step.
#[derive(Serialize)]
pub struct KernelTime {
    pub kernel: String,
    pub calls: u64,
    pub secs: f64,
    pub gflops: f64,
    pub gbytes: f64,
}

/// What a step learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every token, with gradients through keys and values.
    Whole,
    /// Spans that are spread over the tokens, whose keys and values stay as they were read.
    Frozen,
}

/// Spans of a frozen step, and the tokens of each.
const SPANS: usize = 32;
const SPAN: usize = 8;

impl Kind {
    /// The tokens, of `tokens` in all, whose successors are predicted.
    fn positions(self, tokens: usize) -> Vec<u32> {
        let all = 0..tokens as u32;
        let spans = SPANS.min(tokens / SPAN);
        if self == Kind::Whole || spans == 0 {
            return all.collect();
        }
        let start = |span: usize| (span * tokens / spans) as u32;
        let spans = (0..spans).flat_map(|span| start(span)..start(span) + SPAN as u32);
        spans.collect()
    }
}

/// What was measured.
pub struct Steps {
    /// Number of tokens that a step learns to predict.
    pub tokens: usize,
    pub seconds: Vec<f64>,
    /// Arithmetic of a step, in units of 1e9 operations.
    pub gflop: f64,
    pub kernels: Vec<KernelTime>,
    /// The times of the kernels as a table for people.
    pub table: String,
}

/// Takes `rounds` steps over `tokens` tokens (rank 16 on q and o), and one more in which each
/// kernel is timed.
pub fn measure(
    kind: Kind,
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
    let ids: Vec<u32> = (0..=tokens)
        .map(|i| (i * 7919 % model.config.vocab) as u32)
        .collect();
    let options = || SessionOptions::stopped_by(cancel);
    let mut cache = None;
    if kind == Kind::Frozen {
        let mut session = Session::new(device, model, tokens, options())?;
        session.prefill(&ids[..tokens], &mut |_, _| {})?;
        cache = Some(session.cache().clone());
    }
    let batch = batch(kind, &ids);
    let seconds = take(device, model, &batch, cache.clone(), rounds, options())?;
    let profile = Arc::new(Profile::default());
    let profiled = SessionOptions {
        profile: Some(profile.clone()),
        ..options()
    };
    take(device, model, &batch, cache, 0, profiled)?;
    let rate = |amount: u64, secs: f64| amount as f64 / secs.max(1e-12) / 1e9;
    let kernels = profile.rows().into_iter().map(|(_, kernel, e)| KernelTime {
        kernel,
        calls: e.calls,
        secs: e.secs,
        gflops: rate(e.flops, e.secs),
        gbytes: rate(e.bytes, e.secs),
    });
    let flops: u64 = profile.rows().iter().map(|(_, _, e)| e.flops).sum();
    Ok(Steps {
        tokens: batch.targets.len(),
        seconds,
        gflop: flops as f64 / 1e9,
        kernels: kernels.collect(),
        table: profile.table(),
    })
}

/// All but the last of `ids` are read.
fn batch(kind: Kind, ids: &[u32]) -> Batch {
    let positions = kind.positions(ids.len().saturating_sub(1));
    let at = |position: &u32| *position as usize;
    let weight = 1.0 / positions.len().max(1) as f32;
    Batch {
        ids: positions.iter().map(|p| ids[at(p)]).collect(),
        targets: positions.iter().map(|p| ids[at(p) + 1]).collect(),
        weights: vec![weight; positions.len()],
        kind: match kind {
            Kind::Whole => BatchKind::Sequence,
            Kind::Frozen => BatchKind::Frozen,
        },
        positions: match kind {
            Kind::Whole => Vec::new(),
            Kind::Frozen => positions,
        },
    }
}

/// The seconds of each step but the first, which also prepares the pass.
fn take(
    device: &Device,
    model: &Transformer,
    batch: &Batch,
    cache: Option<Cache>,
    rounds: usize,
    options: SessionOptions,
) -> Result<Vec<f64>> {
    let lora = Lora::new(&model.config, LoraConfig::default(), 1);
    let (layout, scale) = (lora.layout(&model.config), lora.config.scale());
    let initial = lora.pack(&layout);
    let trained = Trained::Adapter { layout, scale };
    let mut trainer = Trainer::new(device, model, trained, &initial, cache, None, options)?;
    let optimizer = Optimizer {
        kind: OptimizerKind::ADAMW,
        lr: 1e-4,
        clip: Some(1.0),
    };
    let mut seconds = Vec::with_capacity(rounds);
    for round in 0..=rounds {
        let started = Instant::now();
        trainer.zero_gradients()?;
        trainer.accumulate(batch)?;
        trainer.apply(&optimizer)?;
        device.wait()?;
        if round > 0 {
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    Ok(seconds)
}
