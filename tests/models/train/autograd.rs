//! Gradients and steps against PyTorch's autograd and PEFT.

use super::golden::{Golden, Order, key, reorder};
use super::steps::{
    adamw, after_prefix, assert_losses, assert_near, frozen, frozen_cache, learn, lora_trainer,
    sequence, trainer,
};
use crate::common::{load, open};
use crate::devices::on_every_device;
use inscribe::engine::Device;
use inscribe::engine::gpu::{OpenOptions, TierCap};
use inscribe::memory::lora::Lora;
use inscribe::model::adapter::Projection;
use inscribe::model::config::ModelConfig;
use inscribe::model::train::{Optimizer, OptimizerKind, Trained};
use inscribe::model::transformer::Recompute;

/// Every architecture; the GGUF for its rotation of neighbours.
const MODELS: [&str; 6] = ["llama", "llama.gguf", "llama3", "qwen2", "qwen3", "gemma3"];
const Q_AND_O: [Projection; 2] = [Projection::Q, Projection::O];
const PREFIX_ROWS: usize = 4;

/// Holds the gradients of every A and B against the golden's.
fn assert_gradients(what: &str, golden: &Golden, kind: &str, model: &ModelConfig, grads: &Lora) {
    let mut worst = 0.0f64;
    let mut held = 0;
    for matrix in &grads.matrices {
        let (projection, rank) = (matrix.projection, grads.config.rank);
        let b = reorder(model, projection, rank, &matrix.b, Order::FromModel);
        for (side, found) in [("A", &matrix.a), ("B", &b)] {
            let name = key(&format!("{kind}.grad"), matrix.layer, projection, side);
            let off = assert_near(&format!("{what}: {name}"), found, golden.tensor(&name));
            worst = worst.max(off);
            held += 1;
        }
    }
    let prefix = format!("{kind}.grad.");
    assert_eq!(held, golden.count(&prefix), "{what}: gradients of {kind}");
    println!("{what}: {held} gradients of {kind} off by at most {worst:.1e} of their norm");
}

/// LoRA over the whole sequence: gradients, then ten steps of AdamW.
fn check_lora(device: &Device, name: &str, kind: &str, targets: &[Projection]) {
    let golden = Golden::load(name);
    let model = load(device, name);
    let lora = golden.lora(&model.config, targets, 4);
    let batch = sequence(&golden.ids);
    let mut trainer = lora_trainer(device, &model, &lora, None, None);
    let (_, grads) = learn(&mut trainer, &batch);
    let layout = lora.layout(&model.config);
    let grads = Lora::unpack(lora.config.clone(), &layout, &grads);
    assert_gradients(name, &golden, kind, &model.config, &grads);
    let what = format!("{name}, {kind}");
    assert_losses(
        &what,
        &mut trainer,
        &batch,
        &adamw(&golden),
        golden.losses(kind),
    );
}

/// LoRA against a frozen cache, with a rank that fills no vector.
fn check_frozen(device: &Device, name: &str) {
    let golden = Golden::load(name);
    let model = load(device, name);
    let lora = golden.lora(&model.config, &Q_AND_O, 3);
    let cache = frozen_cache(device, &model, &golden.ids);
    let batch = frozen(&golden.ids, &golden.positions);
    let mut trainer = lora_trainer(device, &model, &lora, Some(cache), None);
    let (_, grads) = learn(&mut trainer, &batch);
    let layout = lora.layout(&model.config);
    let grads = Lora::unpack(lora.config.clone(), &layout, &grads);
    assert_gradients(name, &golden, "frozen", &model.config, &grads);
    let what = format!("{name}, frozen");
    assert_losses(
        &what,
        &mut trainer,
        &batch,
        &adamw(&golden),
        golden.losses("frozen"),
    );
}

/// Embeddings before the sequence: their gradient, then five clipped steps down.
fn check_prefix(device: &Device, name: &str) {
    let golden = Golden::load(name);
    let model = load(device, name);
    let trained = Trained::prefix(PREFIX_ROWS);
    let start = golden.tensor("prefix.start");
    let batch = after_prefix(&golden.ids, PREFIX_ROWS);
    let mut trainer = trainer(device, &model, trained, start, None, None);
    let (_, grads) = learn(&mut trainer, &batch);
    let what = format!("{name}, prefix");
    let off = assert_near(&what, &grads, golden.tensor("prefix.grad"));
    println!("{what}: the gradient is off by {off:.1e} of its norm");
    let sgd = Optimizer {
        kind: OptimizerKind::Sgd,
        lr: golden.prefix_lr,
        clip: Some(golden.max_norm),
    };
    let losses = golden.losses("prefix");
    let (last, steps) = losses.split_last().expect("losses");
    assert_losses(&what, &mut trainer, &batch, &sgd, steps);
    let after = trainer.parameters().expect("the prefix");
    assert_near(&what, &after, golden.tensor("prefix.after"));
    assert_losses(&what, &mut trainer, &batch, &sgd, &[*last]);
}

/// Batches that each score a part of the sequence add up to the whole sequence's gradients.
fn check_sums(device: &Device, name: &str) {
    let golden = Golden::load(name);
    let model = load(device, name);
    let lora = golden.lora(&model.config, &Q_AND_O, 4);
    let prefix = Trained::prefix(PREFIX_ROWS);
    let start = golden.tensor("prefix.start");
    let trainers = [
        (
            lora_trainer(device, &model, &lora, None, None),
            sequence(&golden.ids),
        ),
        (
            trainer(device, &model, prefix, start, None, None),
            after_prefix(&golden.ids, PREFIX_ROWS),
        ),
    ];
    for (mut trainer, batch) in trainers {
        let (_, whole) = learn(&mut trainer, &batch);
        trainer.zero_gradients().expect("zeros");
        for part in 0..3 {
            let mut batch = batch.clone();
            let others = batch.weights.iter_mut().enumerate();
            others
                .filter(|(row, _)| row % 3 != part)
                .for_each(|(_, w)| *w = 0.0);
            trainer.accumulate(&batch).expect("gradients");
        }
        let summed = trainer.gradients().expect("gradients");
        let what = format!("{name}, {:?}", trainer.trained());
        assert_near(&what, &summed, &whole);
    }
}

/// What is recomputed comes out the same, and so does everything when it runs again.
fn check_same_bits(device: &Device, name: &str) {
    let golden = Golden::load(name);
    let model = load(device, name);
    let lora = golden.lora(&model.config, &Projection::ALL, 4);
    let batch = sequence(&golden.ids);
    let state = |recompute| {
        let mut trainer = lora_trainer(device, &model, &lora, None, Some(recompute));
        for _ in 0..3 {
            learn(&mut trainer, &batch);
            trainer.apply(&adamw(&golden)).expect("a step");
        }
        trainer.state().expect("numbers")
    };
    let first = state(Recompute::Nothing);
    assert_eq!(first.steps, 3);
    assert!(
        first == state(Recompute::Nothing),
        "{name}: not the same bits twice"
    );
    assert!(
        first == state(Recompute::Layers),
        "{name}: recomputing changes the bits"
    );
}

/// Going on from a state is going on.
fn check_restored(device: &Device, name: &str) {
    let golden = Golden::load(name);
    let model = load(device, name);
    let lora = golden.lora(&model.config, &Q_AND_O, 4);
    let batch = sequence(&golden.ids);
    let step = |trainer: &mut inscribe::model::train::Trainer| {
        learn(trainer, &batch);
        trainer.apply(&adamw(&golden)).expect("a step");
    };
    let mut whole = lora_trainer(device, &model, &lora, None, None);
    step(&mut whole);
    let between = whole.state().expect("numbers");
    step(&mut whole);
    let mut resumed = lora_trainer(device, &model, &lora, None, None);
    resumed.restore(&between).expect("room");
    step(&mut resumed);
    let states = [whole, resumed].map(|trainer| trainer.state().expect("numbers"));
    assert!(states[0] == states[1], "{name}");
}

#[test]
fn lora_against_a_cache_in_parts() {
    let device = open(OpenOptions {
        cap: TierCap::Subgroups,
        max_binding_bytes: Some(1 << 10),
        ..OpenOptions::default()
    });
    MODELS.iter().for_each(|model| check_frozen(&device, model));
}

fn of_every_model(check: impl Fn(&Device, &str)) -> impl Fn(&Device) {
    move |device| MODELS.iter().for_each(|model| check(device, model))
}

on_every_device! {
    lora_on_queries_and_outputs: of_every_model(|d, model| check_lora(d, model, "qo", &Q_AND_O));
    lora_on_every_projection:
        of_every_model(|d, model| check_lora(d, model, "all", &Projection::ALL));
    lora_against_a_frozen_cache: of_every_model(check_frozen);
    prefix: of_every_model(check_prefix);
    sums_over_batches: of_every_model(check_sums);
    the_same_bits: of_every_model(check_same_bits);
    a_restored_state: of_every_model(check_restored);
}
