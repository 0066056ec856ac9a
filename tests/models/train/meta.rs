//! Gradients of all weights, through the steps of writing, against PyTorch's double backward; see
//! tests/oracle/meta_goldens.py.

use std::collections::HashMap;

use inscribe::engine::{Device, RunOptions};
use inscribe::model::flat::FlatLayout;
use inscribe::model::weights::WeightFile;
use inscribe::train::episode::{Question, Sample};
use inscribe::train::meta::{self, Inner};
use inscribe::train::net::{Net, names};
use inscribe::train::rmt;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use crate::common;
use crate::devices::on_every_device;

const MODELS: [&str; 2] = ["llama", "qwen3"];
const PROMPT: usize = 5;
const ALPHA: f32 = 0.4;
const CLIP: f32 = 0.15;
const ADDED: f32 = 0.5;

/// Everything that a golden file holds.
struct Golden {
    ids: HashMap<String, Vec<u32>>,
    numbers: HashMap<String, Vec<f32>>,
}

impl Golden {
    fn load(model: &str) -> Golden {
        let path = common::golden("meta")
            .join(model)
            .join("golden.safetensors");
        let bytes = std::fs::read(path).expect("golden");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let mut golden = Golden {
            ids: HashMap::new(),
            numbers: HashMap::new(),
        };
        for (name, view) in file.tensors() {
            match view.dtype() {
                Dtype::I32 => {
                    golden
                        .ids
                        .insert(name, bytemuck::pod_collect_to_vec(view.data()));
                }
                Dtype::F16 => {
                    let halves: Vec<half::f16> = bytemuck::pod_collect_to_vec(view.data());
                    let wide = halves.into_iter().map(f32::from).collect();
                    golden.numbers.insert(name, wide);
                }
                _ => {
                    golden
                        .numbers
                        .insert(name, bytemuck::pod_collect_to_vec(view.data()));
                }
            }
        }
        golden
    }

    fn samples(&self) -> Vec<Sample> {
        (0..)
            .map_while(|i| {
                self.ids
                    .get(&format!("context.{i}"))
                    .map(|context| (i, context))
            })
            .map(|(i, context)| {
                let asked = (0..).map_while(|j| self.ids.get(&format!("question.{i}.{j}")));
                let questions = asked.map(|ids| Question {
                    prompt: ids[..PROMPT].to_vec(),
                    answer: ids[PROMPT..].to_vec(),
                    counted: ids.len() - PROMPT,
                });
                Sample {
                    context: context.clone(),
                    questions: questions.collect(),
                }
            })
            .collect()
    }
}

const PROJECTED: [&str; 3] = [names::MEMORY, names::PROJECTION, names::PROJECTION_BIAS];

/// Everything that a golden model can carry beside its weights.
fn all_parts() -> Vec<&'static str> {
    let around = names::AROUND.into_iter().flatten();
    let parts = PROJECTED
        .into_iter()
        .chain([names::WRITE_HEAD])
        .chain(around);
    parts.collect()
}

/// The model of a golden folder, with some parts.
fn net(device: &Device, model: &str, parts: &[&str], learned_rate: bool) -> Net {
    let file = WeightFile::open(&common::golden("meta").join(model)).expect("a model");
    let config = file.config().expect("a config");
    let mut layout = FlatLayout::of_model(&config);
    for name in parts {
        let tensor = file.tensor(name).expect(name);
        layout.push(name, tensor.rows, tensor.cols);
    }
    if learned_rate {
        layout.push(names::LOG_ALPHA, 1, 1);
    }
    let mut flat = vec![0.0; layout.len];
    layout.read(&file, &config, &mut flat).expect("its weights");
    if let Some(rate) = layout.entry(names::LOG_ALPHA) {
        flat[rate.range.clone()].fill(ALPHA.ln());
    }
    Net::new(device, &config, layout, &flat).expect("room")
}

fn check(device: &Device, model: &str, case: &str, inner: Inner, full: bool) {
    let golden = Golden::load(model);
    let parts = if full {
        all_parts()
    } else {
        vec![names::MEMORY]
    };
    let mut net = net(device, model, &parts, full);
    net.zero_gradients().expect("zeros");
    let options = RunOptions::default();
    let learned = meta::learn(&mut net, &inner, &golden.samples(), &options).expect("gradients");
    golden.hold(&net, model, case, learned.answers.loss);
}

impl Golden {
    fn hold(&self, net: &Net, model: &str, case: &str, loss: f64) {
        let expected = f64::from(self.numbers[&format!("{case}.loss")][0]);
        let off = (loss - expected).abs();
        assert!(off < 1e-4, "{model} {case}: loss {loss} not {expected}");
        let found = net.gradients().expect("gradients");
        for entry in &net.layout.entries {
            let expected = &self.numbers[&format!("{case}.grad.{}", entry.name)];
            let pairs = entry.numbers(&found).iter().zip(expected);
            let pairs = || pairs.clone().map(|(&f, &e)| (f64::from(f), f64::from(e)));
            let norm = pairs().map(|(_, e)| e * e).sum::<f64>().sqrt();
            let error = pairs().map(|(f, e)| (f - e).powi(2)).sum::<f64>().sqrt();
            let name = &entry.name;
            assert!(
                error <= 1e-3 * norm,
                "{model} {case} {name}: off by {:.2e}",
                error / norm
            );
        }
    }
}

fn through_forward_passes(device: &Device) {
    for model in MODELS {
        let golden = Golden::load(model);
        let mut samples = golden.samples();
        let longest = samples[0].context.len();
        samples.retain(|sample| sample.context.len() == longest);
        let mut net = net(device, model, &PROJECTED, false);
        net.reads_projected = false;
        net.zero_gradients().expect("zeros");
        let options = RunOptions::default();
        let learned = rmt::learn(&mut net, 2, &samples, &options).expect("gradients");
        golden.hold(&net, model, "rmt", learned.answers.loss);
    }
}

fn inner(steps: usize) -> Inner {
    Inner {
        steps,
        alpha: ALPHA,
        ..Inner::default()
    }
}

fn through_the_steps_of_writing(device: &Device) {
    for model in MODELS {
        for (case, steps) in [("k1", 1), ("k2", 2), ("k5", 5)] {
            check(device, model, case, inner(steps), false);
        }
    }
}

fn with_clipping_and_with_every_part(device: &Device) {
    for model in MODELS {
        let clipped = Inner {
            clip: Some(CLIP),
            ..inner(2)
        };
        check(device, model, "clipped", clipped, false);
        let full = Inner {
            add_inner: ADDED,
            ..clipped
        };
        check(device, model, "full", full, true);
    }
}

/// Biases and a head of its own; norms after blocks, gains less one and a sliding window.
fn of_other_architectures(device: &Device) {
    for model in ["qwen2", "gemma3"] {
        check(device, model, "k1", inner(1), false);
    }
}

on_every_device! {
    those_of_other_architectures_are_autograd_s: of_other_architectures;
    gradients_through_the_steps_of_writing_are_autograd_s: through_the_steps_of_writing;
    those_through_forward_passes_are_too: through_forward_passes;
    so_they_are_with_clipping_and_with_every_part: with_clipping_and_with_every_part;
}
