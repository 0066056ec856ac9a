//! Gradients of what is trained beside a model that stays as it is, through the steps of writing,
//! against the losses of the whole loop: write, then answer.

use super::rig::Random;
use crate::common::load;
use crate::devices::on_every_device;
use inscribe::engine::{Device, RunOptions};
use inscribe::model::adapter::{AdapterLayout, Projection};
use inscribe::model::flat::FlatLayout;
use inscribe::model::train::TrainerState;
use inscribe::train::episode::{Question, Sample};
use inscribe::train::meta::{self, Inner};
use inscribe::train::net::{Net, names};

const MEMORY: usize = 3;
const OPTIONS: RunOptions<'static> = RunOptions {
    cancel: None,
    profile: None,
};

/// A net of all that can be trained beside a frozen model, its adapter not at zero.
fn net(device: &Device, model: &str, random: &mut Random) -> (Net, Vec<f32>) {
    let model = load(device, model);
    let hidden = model.config.hidden;
    let adapter = AdapterLayout::new(&model.config, 8, &Projection::ALL);
    let mut layout = FlatLayout::default();
    layout.push(names::MEMORY, MEMORY, hidden);
    layout.push(names::PROJECTION, hidden, hidden);
    layout.push(names::PROJECTION_BIAS, 1, hidden);
    for name in names::AROUND.into_iter().flatten() {
        layout.push(name, 1, hidden);
    }
    layout.push(names::LOG_ALPHA, 1, 1);
    layout.push(names::WRITE_LORA, 1, adapter.len);
    let mut flat = vec![0.0; layout.len];
    for entry in &layout.entries {
        let bound = match entry.name.as_str() {
            names::PROJECTION | names::WRITE_LORA => 0.1,
            _ => 0.5,
        };
        flat[entry.range.clone()].copy_from_slice(&random.floats(entry.range.len(), bound));
        if entry.name == names::PROJECTION {
            let diagonal = flat[entry.range.clone()].iter_mut().step_by(hidden + 1);
            diagonal.for_each(|v| *v += 1.0);
        }
    }
    let net = Net::frozen(device, &model, Some((adapter, 2.0)), layout, &flat).expect("room");
    (net, flat)
}

/// Contexts and questions of different lengths.
fn samples(random: &mut Random, vocab: usize) -> Vec<Sample> {
    let lengths = [(21, 6), (21, 4), (13, 5)];
    let sample = |&(context, prompt): &(usize, usize)| Sample {
        context: random.ids(context, vocab),
        questions: (0..2)
            .map(|more| Question {
                prompt: random.ids(prompt, vocab),
                answer: random.ids(2 + more, vocab),
                counted: 2,
            })
            .collect(),
    };
    lengths.iter().map(sample).collect()
}

/// The loss of the answers after writing.
fn loss(net: &mut Net, inner: &Inner, samples: &[Sample]) -> f64 {
    let written = meta::write(net, inner, samples, &OPTIONS).expect("memories");
    let memory = written.memories.last().expect("a memory");
    meta::read(net, memory, samples, &OPTIONS)
        .expect("answers")
        .loss
}

fn follow_the_loss_of_the_whole_loop(device: &Device) {
    // One in 32-bit floats, one in quantised blocks.
    for (model, steps) in [("llama", 1), ("llama-mixed.gguf", 1), ("llama", 2)] {
        let mut random = Random(5);
        let (mut net, flat) = net(device, model, &mut random);
        let samples = samples(&mut random, net.config.vocab);
        let inner = Inner {
            steps,
            clip: (steps > 1).then_some(0.5),
            ..Inner::default()
        };
        net.zero_gradients().expect("zeros");
        meta::learn(&mut net, &inner, &samples, &OPTIONS).expect("gradients");
        let grads = net.gradients().expect("gradients");
        let entries = net.layout.entries.clone();
        for entry in &entries {
            // Along the gradient itself, of a length that changes the loss well above rounding.
            let own = entry.numbers(&grads);
            let size = own
                .iter()
                .map(|g| f64::from(*g).powi(2))
                .sum::<f64>()
                .sqrt();
            assert!(size > 0.0, "{model}: nothing is learned of {}", entry.name);
            let length = 2e-3 / size.max(0.02);
            let mut at = |sign: f64| {
                let mut params = flat.clone();
                for (p, g) in params[entry.range.clone()].iter_mut().zip(own) {
                    *p += (sign * length * f64::from(*g) / size) as f32;
                }
                let zeros = vec![0.0; params.len()];
                let state = TrainerState {
                    params,
                    m: zeros.clone(),
                    v: zeros,
                    steps: 0,
                };
                net.restore(&state).expect("numbers");
                loss(&mut net, &inner, &samples)
            };
            let measured = (at(1.0) - at(-1.0)) / (2.0 * length);
            let error = (measured - size).abs() / size;
            let name = &entry.name;
            assert!(
                error < 2e-2,
                "{model}, K={steps}, {name}: {measured} is not {size}"
            );
        }
    }
}

/// What is read is read by the plain model: without a memory the net says what the model says, and
/// the adapter changes writing alone.
fn reading_is_the_plain_model_s(device: &Device) {
    let mut random = Random(9);
    let (mut net, flat) = net(device, "llama", &mut random);
    let samples = samples(&mut random, net.config.vocab);
    let memory = random.floats(samples.len() * MEMORY * net.config.hidden, 0.5);
    let read = |net: &mut Net| meta::read(net, &memory, &samples, &OPTIONS).expect("answers");
    let wrote = |net: &mut Net| {
        let inner = Inner::default();
        meta::write(net, &inner, &samples, &OPTIONS).expect("memories")
    };
    let (before, written) = (read(&mut net), wrote(&mut net));
    let mut params = flat;
    let adapter = net.layout.entry(names::WRITE_LORA).expect("an adapter");
    params[adapter.range.clone()].fill(0.0);
    let zeros = vec![0.0; params.len()];
    let state = TrainerState {
        params,
        m: zeros.clone(),
        v: zeros,
        steps: 0,
    };
    net.restore(&state).expect("numbers");
    assert_eq!(read(&mut net), before);
    assert_ne!(wrote(&mut net).losses, written.losses);
}

on_every_device! {
    gradients_beside_a_frozen_model_follow_the_loss: follow_the_loss_of_the_whole_loop;
    reading_leaves_the_adapter_out: reading_is_the_plain_model_s;
}
