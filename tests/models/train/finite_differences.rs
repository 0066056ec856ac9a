//! Gradients against the losses themselves: along a random direction `d`, the change of the loss
//! from `p - h d` to `p + h d` is `2 h` times the gradient's component along `d`.

use super::rig::{MODELS, Random};
use crate::common::load;
use crate::devices::on_every_device;
use inscribe::engine::Device;
use inscribe::model::adapter::{AdapterLayout, Projection};
use inscribe::model::session::{Session, SessionOptions};
use inscribe::model::train::{Batch, BatchKind, Trained, Trainer};
use inscribe::model::transformer::{Recompute, Transformer};

const TOKENS: usize = 45;

/// A sequence over which every row but the last is scored, some of them more than others.
fn sequence(random: &mut Random, vocab: usize, prefix: usize) -> Batch {
    let ids = random.ids(TOKENS, vocab);
    let rows = TOKENS + prefix;
    let mut targets = random.ids(prefix, vocab);
    targets.extend(&ids[1..]);
    targets.push(0);
    let mut weights: Vec<f32> = (0..rows).map(|_| 0.1 + random.within(0.05)).collect();
    weights[rows - 1] = 0.0;
    Batch {
        kind: BatchKind::Sequence,
        ids,
        positions: Vec::new(),
        targets,
        weights,
    }
}

/// Spans at scattered places of a document of `TOKENS` tokens.
fn spans(random: &mut Random, document: &[u32]) -> Batch {
    let places: Vec<usize> = [30..38, 3..11, 20..21, 36..44]
        .into_iter()
        .flatten()
        .collect();
    Batch {
        kind: BatchKind::Frozen,
        ids: places.iter().map(|&p| document[p]).collect(),
        positions: places.iter().map(|&p| p as u32).collect(),
        targets: places.iter().map(|&p| document[p + 1]).collect(),
        weights: places.iter().map(|_| 0.1 + random.within(0.05)).collect(),
    }
}

fn loss(trainer: &mut Trainer, batch: &Batch) -> f64 {
    let logprobs = trainer.evaluate(batch).expect("an evaluation");
    let weighted = logprobs.iter().zip(&batch.weights);
    weighted.map(|(l, &w)| -l * f64::from(w)).sum()
}

/// Compares both sides along several directions, each of which moves one tenth of the numbers.
fn check(what: &str, trainer: &mut Trainer, batch: &Batch, random: &mut Random) {
    trainer.zero_gradients().expect("zeros");
    trainer.accumulate(batch).expect("gradients");
    let grads = trainer.gradients().expect("gradients");
    let state = trainer.state().expect("a state");
    for direction in 0..4 {
        let step: Vec<f32> = grads
            .iter()
            .map(|_| {
                if random.within(1.0) > 0.8 {
                    random.within(2e-3)
                } else {
                    0.0
                }
            })
            .collect();
        let mut at = |sign: f32| {
            let mut moved = state.clone();
            for (p, s) in moved.params.iter_mut().zip(&step) {
                *p += sign * s;
            }
            trainer.restore(&moved).expect("numbers");
            loss(trainer, batch)
        };
        let measured = (at(1.0) - at(-1.0)) / 2.0;
        let along: f64 = grads
            .iter()
            .zip(&step)
            .map(|(&g, &s)| f64::from(g) * f64::from(s))
            .sum();
        // Random directions make the parts cancel: the error is held against their size.
        let size: f64 = grads
            .iter()
            .zip(&step)
            .map(|(&g, &s)| f64::from(g * s).powi(2))
            .sum();
        let error = (measured - along).abs() / size.sqrt();
        assert!(
            error < 2e-2,
            "{what}, direction {direction}: {measured} is not {along}"
        );
    }
    trainer.restore(&state).expect("numbers");
}

fn lora(model: &Transformer, targets: &[Projection], random: &mut Random) -> (Trained, Vec<f32>) {
    let layout = AdapterLayout::new(&model.config, 4, targets);
    let initial = random.floats(layout.len, 0.1);
    (Trained::Adapter { layout, scale: 2.0 }, initial)
}

fn check_model(device: &Device, name: &str) {
    let model = load(device, name);
    let vocab = model.config.vocab;
    let mut random = Random(7);
    let options = SessionOptions::default();
    let both = [Projection::Q, Projection::O];
    for recompute in [Recompute::Nothing, Recompute::Layers] {
        for targets in [&Projection::ALL[..], &both, &[Projection::Down]] {
            let (trained, initial) = lora(&model, targets, &mut random);
            let batch = sequence(&mut random, vocab, 0);
            let mut trainer = Trainer::new(
                device,
                &model,
                trained,
                &initial,
                None,
                Some(recompute),
                options.clone(),
            )
            .expect("a trainer");
            let what = format!("{name}, {targets:?}, {recompute:?}");
            check(&what, &mut trainer, &batch, &mut random);
        }
        let rows = 5;
        let initial = random.floats(rows * model.config.hidden, 0.5);
        let batch = sequence(&mut random, vocab, rows);
        let trained = Trained::prefix(rows);
        let mut trainer = Trainer::new(
            device,
            &model,
            trained,
            &initial,
            None,
            Some(recompute),
            options.clone(),
        )
        .expect("a trainer");
        check(
            &format!("{name}, prefix"),
            &mut trainer,
            &batch,
            &mut random,
        );

        let document = random.ids(TOKENS, vocab);
        let mut session = Session::new(device, &model, TOKENS, options.clone()).expect("memory");
        session.prefill(&document, &mut |_, _| {}).expect("a cache");
        let (trained, initial) = lora(&model, &both, &mut random);
        let cache = Some(session.cache().clone());
        let mut trainer = Trainer::new(
            device,
            &model,
            trained,
            &initial,
            cache,
            Some(recompute),
            options.clone(),
        )
        .expect("a trainer");
        let batch = spans(&mut random, &document);
        check(
            &format!("{name}, frozen cache"),
            &mut trainer,
            &batch,
            &mut random,
        );
    }
}

on_every_device! {
    gradients_follow_the_loss: |device| MODELS.iter().for_each(|name| check_model(device, name));
}
