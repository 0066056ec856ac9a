//! Batches, trainers and steps, and how far what they give may be off.

use inscribe::engine::Device;
use inscribe::memory::lora::Lora;
use inscribe::model::session::{Session, SessionOptions};
use inscribe::model::train::{Batch, BatchKind, Optimizer, OptimizerKind, Trained, Trainer};
use inscribe::model::transformer::{Cache, Recompute, Transformer};

use super::golden::Golden;

/// Of losses, and of each gradient relative to its norm.
pub const TOLERANCE: f64 = 1e-3;

/// The cache of a whole sequence, read without an adapter.
pub fn frozen_cache(device: &Device, model: &Transformer, ids: &[u32]) -> Cache {
    let options = SessionOptions::default();
    let mut session = Session::new(device, model, ids.len(), options).expect("memory");
    session.prefill(ids, &mut |_, _| {}).expect("a prefill");
    session.cache().clone()
}

/// All tokens from the second on, each predicted by the one before it.
pub fn sequence(ids: &[u32]) -> Batch {
    let rows = ids.len() - 1;
    Batch {
        kind: BatchKind::Sequence,
        ids: ids[..rows].to_vec(),
        positions: Vec::new(),
        targets: ids[1..].to_vec(),
        weights: vec![1.0 / rows as f32; rows],
    }
}

/// All tokens, the first predicted by the last row of the prefix.
pub fn after_prefix(ids: &[u32], prefix_rows: usize) -> Batch {
    let mut batch = sequence(ids);
    let unscored = prefix_rows - 1;
    batch.targets = [&vec![0; unscored], ids].concat();
    batch.weights = vec![0.0; unscored];
    batch
        .weights
        .resize(unscored + ids.len(), 1.0 / ids.len() as f32);
    batch
}

/// The tokens at `positions` against a frozen cache, each predicting the next.
pub fn frozen(ids: &[u32], positions: &[u32]) -> Batch {
    let at = |offset: usize| positions.iter().map(move |&p| ids[p as usize + offset]);
    Batch {
        kind: BatchKind::Frozen,
        ids: at(0).collect(),
        positions: positions.to_vec(),
        targets: at(1).collect(),
        weights: vec![1.0 / positions.len() as f32; positions.len()],
    }
}

/// A trainer that starts from an adapter.
pub fn lora_trainer<'m>(
    device: &'m Device,
    model: &'m Transformer,
    lora: &Lora,
    cache: Option<Cache>,
    recompute: Option<Recompute>,
) -> Trainer {
    let layout = lora.layout(&model.config);
    let initial = lora.pack(&layout);
    let scale = lora.config.scale();
    let trained = Trained::Adapter { layout, scale };
    trainer(device, model, trained, &initial, cache, recompute)
}

pub fn trainer<'m>(
    device: &'m Device,
    model: &'m Transformer,
    trained: Trained,
    initial: &[f32],
    cache: Option<Cache>,
    recompute: Option<Recompute>,
) -> Trainer {
    let options = SessionOptions::default();
    Trainer::new(device, model, trained, initial, cache, recompute, options).expect("memory")
}

pub fn loss(batch: &Batch, logprobs: &[f64]) -> f64 {
    let scored = batch.weights.iter().zip(logprobs);
    scored
        .filter(|(weight, _)| **weight != 0.0)
        .map(|(&weight, logprob)| -f64::from(weight) * logprob)
        .sum()
}

/// The gradients of one batch and its loss.
pub fn learn(trainer: &mut Trainer, batch: &Batch) -> (f64, Vec<f32>) {
    trainer.zero_gradients().expect("zeros");
    let logprobs = trainer.accumulate(batch).expect("gradients");
    let grads = trainer.gradients().expect("gradients");
    (loss(batch, &logprobs), grads)
}

/// Takes steps and holds the loss before each against what is expected.
pub fn assert_losses(
    what: &str,
    trainer: &mut Trainer,
    batch: &Batch,
    optimizer: &Optimizer,
    expected: &[f32],
) {
    let mut worst = 0.0f64;
    for (step, &expected) in expected.iter().enumerate() {
        trainer.zero_gradients().expect("zeros");
        let logprobs = trainer.accumulate(batch).expect("gradients");
        let found = loss(batch, &logprobs);
        let off = (found - f64::from(expected)).abs();
        assert!(
            off < TOLERANCE,
            "{what}, after {step} steps: {found}, not {expected}"
        );
        worst = worst.max(off);
        trainer.apply(optimizer).expect("a step");
    }
    println!("{what}: losses off by at most {worst:.1e}");
}

/// Relative to the expected tensor's norm.
pub fn distance(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let wide = |v: &f32| f64::from(*v);
    let norm = expected.iter().map(wide).map(|e| e * e).sum::<f64>().sqrt();
    let off = found.iter().zip(expected).map(|(f, e)| wide(f) - wide(e));
    off.map(|d| d * d).sum::<f64>().sqrt() / norm
}

pub fn assert_near(what: &str, found: &[f32], expected: &[f32]) -> f64 {
    let off = distance(found, expected);
    // NaN is not below the tolerance either.
    assert!(off < TOLERANCE, "{what} is off by {off:.1e} of its norm");
    off
}

/// The clipping and AdamW of a golden.
pub fn adamw(golden: &Golden) -> Optimizer {
    Optimizer {
        kind: OptimizerKind::AdamW {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: golden.weight_decay,
        },
        lr: golden.lr,
        clip: Some(golden.max_norm),
    }
}
