//! The exact gradients against the losses themselves, and the engine's against them.

use inscribe::engine::RunOptions;
use inscribe::model::draws::{generator, normal};
use inscribe::train::episode::Rows;
use inscribe::train::net::{Goal, Learn, Net, Sequences, Shape, Use};

use super::cases::{Case, KINDS, all_parts, error, hold, hold_slopes, slope, tensors, wide};
use super::net::{Gradients, Text};
use super::rows::add_scaled;
use super::scalar::Dual;

fn random(count: usize, deviation: f32, stream: u64) -> Vec<f32> {
    let mut random = generator(3, stream);
    (0..count)
        .map(|_| deviation * normal(&mut random))
        .collect()
}

impl Case {
    fn texts(&self, of: Use) -> Vec<Text> {
        match of {
            Use::Write => self.samples.iter().map(Text::context).collect(),
            Use::Read => {
                let questions = self.samples.iter().flat_map(|s| &s.questions);
                questions.map(Text::question).collect()
            }
        }
    }

    /// Numbers of one memory.
    fn memory_len(&self, net: &Net) -> usize {
        net.memory_rows * self.config.hidden
    }
}

#[test]
fn exact_gradients_follow_the_loss() {
    for kind in KINDS {
        let case = Case::new(kind, &all_parts());
        let (net, params) = (case.exact(), case.wide());
        let memory = wide(&random(case.memory_len(&case.net()), 0.3, 0));
        for of in [Use::Write, Use::Read] {
            let text = &case.texts(of)[0];
            let found = net.gradients(&params, &memory, text);
            let what = format!("{kind:?} {of:?}");
            let all = vec![("memory".to_owned(), 0..memory.len())];
            let at_memory = |memory: &[f64]| net.loss(&params, memory, text);
            hold_slopes(&what, all, &memory, &found.memory, 1e-7, at_memory);
            let at_params = |params: &[f64]| net.loss(params, &memory, text);
            let tensors = tensors(&case.layout);
            hold_slopes(&what, tensors, &params, &found.params, 1e-7, at_params);
        }
    }
}

#[test]
fn tangents_of_gradients_are_their_slopes() {
    for kind in KINDS {
        let case = Case::new(kind, &all_parts());
        let (net, params) = (case.exact(), case.wide());
        let len = case.memory_len(&case.net());
        let memory = wide(&random(len, 0.3, 0));
        let direction = wide(&random(len, 0.1, 1));
        let text = &case.texts(Use::Write)[0];
        let found = net.along(&params, &memory, &direction, text);
        let at = |h: f64| {
            let mut moved = memory.clone();
            add_scaled(&mut moved, h, &direction);
            net.gradients(&params, &moved, text)
        };
        for (of, part) in [
            (
                &found.memory,
                (|g| g.memory) as fn(Gradients<f64>) -> Vec<f64>,
            ),
            (&found.params, |g| g.params),
        ] {
            let off = error(&slope(|h| part(at(h))), &Dual::tangents(of));
            assert!(off < 1e-7, "{kind:?}: off by {off:.2e}");
        }
    }
}

#[test]
fn gradients_of_the_engine_are_the_exact_ones() {
    for kind in KINDS {
        let case = Case::new(kind, &all_parts());
        for of in [Use::Write, Use::Read] {
            let texts = case.texts(of);
            let mut net = case.net();
            let len = case.memory_len(&net);
            let memories = random(len * texts.len(), 0.3, 2);
            let rows = match of {
                Use::Write => Rows::of_contexts(&net, &case.samples),
                Use::Read => Rows::of_questions(&net, &case.samples),
            };
            let d_memory = run(&mut net, &rows, &memories, of);
            let (params, mut sum) = (case.wide(), vec![0.0; case.flat.len()]);
            let what = format!("{kind:?} {of:?}");
            for (i, text) in texts.iter().enumerate() {
                let own = i * len..(i + 1) * len;
                let memory = wide(&memories[own.clone()]);
                let found = case.exact().gradients(&params, &memory, text);
                add_scaled(&mut sum, 1.0, &found.params);
                let off = error(&wide(&d_memory[own]), &found.memory);
                assert!(off <= 1e-5, "{what}, memory {i}: off by {off:.2e}");
            }
            let found = net.gradients().expect("gradients");
            hold(&what, tensors(&case.layout), &found, &sum, 1e-5);
        }
    }
}

/// Adds to the gradients of everything trained; gives those of the memories.
pub fn run(net: &mut Net, rows: &Rows, memory: &[f32], of: Use) -> Vec<f32> {
    let shape = Shape {
        sequences: rows.sequences,
        tokens: rows.tokens,
        of,
        goal: Goal::Tokens,
        learn: Learn::All,
    };
    let sequences = Sequences {
        ids: &rows.ids,
        targets: &rows.targets,
        weights: &rows.weights,
        memory,
        d_rows: &[],
    };
    let scores = net.run(shape, sequences, &RunOptions::default());
    scores.expect("gradients").d_memory
}
