//! Writing by forward passes alone, as recurrent memory transformers do (Bulatov et al., arXiv
//! 2207.06881): the memory stands before the context and after it, and what the model makes of the
//! rows after it, behind the output norm, is the new memory. Read again, the context replaces it
//! once more. It is the baseline that GradMem is held against: the same net, data and curriculum.

use super::episode::Sample;
use super::error::TrainError;
use super::meta::{self, Learned};
use super::net::{Goal, Learn, Net, Scores, Sequences, Shape, Use, names};
use crate::engine::RunOptions;
use crate::model::error::ModelError;

/// The memories of all samples before the first pass over their contexts and after each.
pub fn write(
    net: &mut Net,
    passes: usize,
    samples: &[Sample],
    options: &RunOptions<'_>,
) -> Result<Vec<Vec<f32>>, ModelError> {
    let contexts = Contexts::of(samples);
    let start = net.numbers(names::MEMORY)?;
    let mut memories = vec![start.repeat(samples.len())];
    for k in 0..passes {
        let scores = contexts.pass(net, &memories[k], &[], Learn::Nothing, options)?;
        memories.push(scores.rows);
    }
    Ok(memories)
}

/// Adds the gradients of a training step to those of `net`.
pub fn learn(
    net: &mut Net,
    passes: usize,
    samples: &[Sample],
    options: &RunOptions<'_>,
) -> Result<Learned, ModelError> {
    let memories = write(net, passes, samples, options)?;
    let last = memories.last().map_or(&[][..], |memory| memory);
    let (answers, mut d_memory) = meta::learn_answers(net, last, samples, options)?;
    let contexts = Contexts::of(samples);
    for memory in memories[..passes].iter().rev() {
        let scores = contexts.pass(net, memory, &d_memory, Learn::All, options)?;
        d_memory = scores.d_memory;
    }
    meta::add_to_start(net, &d_memory)?;
    Ok(Learned {
        answers,
        writing: Vec::new(),
    })
}

/// Refuses contexts of different lengths: a shorter one would be padded, and the memory after it
/// would see the padding.
pub fn check(samples: &[Sample]) -> Result<(), TrainError> {
    let mut lengths = samples.iter().map(|sample| sample.context.len());
    let first = lengths.next();
    if lengths.all(|length| Some(length) == first) {
        return Ok(());
    }
    let detail = "has contexts of different lengths, which rmt cannot be trained on";
    Err(TrainError::setting("task", detail))
}

/// The contexts of a step.
struct Contexts {
    ids: Vec<u32>,
    sequences: usize,
}

impl Contexts {
    fn of(samples: &[Sample]) -> Contexts {
        Contexts {
            ids: samples.iter().flat_map(|s| &s.context).copied().collect(),
            sequences: samples.len(),
        }
    }

    fn pass(
        &self,
        net: &mut Net,
        memory: &[f32],
        d_rows: &[f32],
        learn: Learn,
        options: &RunOptions<'_>,
    ) -> Result<Scores, ModelError> {
        let shape = Shape {
            sequences: self.sequences,
            tokens: self.ids.len() / self.sequences.max(1),
            of: Use::Write,
            goal: Goal::Memory,
            learn,
        };
        let sequences = Sequences {
            ids: &self.ids,
            targets: &[],
            weights: &[],
            memory,
            d_rows,
        };
        net.run(shape, sequences, options)
    }
}
