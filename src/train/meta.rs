//! GradMem's meta-training (arXiv 2603.13875): a model learns to be written to by gradient steps
//! on its memory, through those steps.
//!
//! Writing takes `M_{k+1} = M_k - alpha g(M_k)` for each sample, `g` the gradient of the mean loss
//! of the context's tokens; reading gives the loss `R` of the answers after `M_K`. With
//! `v_K = dR/dM_K`, back through the steps
//!
//! `v_k = v_{k+1} - alpha H_MM(M_k) v_{k+1}`, `dR/dW = dR/dW|_{M_K} - alpha sum_k H_WM(M_k) v_{k+1}`.
//!
//! Both products are the difference of ordinary gradients at `M_k + e u` and `M_k - e u` over `2 e`
//! (u of length 1), which one pass over both makes: the losses of each are weighted by
//! `-+ alpha |v| / (2 e)`, so that gradients come out as they are to be added. `e` is a thousandth
//! of the length of each sample's own memory: in 32-bit floats the gradients are then off by 1e-4 to
//! 3e-4 as a rule, and by up to 3e-3 where the writing loss is strongly curved.
//! Memory does not grow with the number of steps.

use serde::{Deserialize, Serialize};

use crate::engine::RunOptions;
use crate::kernels::cross_entropy::{STATE_COLS, finish};
use crate::model::error::ModelError;
use crate::train::episode::{Rows, Sample};
use crate::train::net::{Goal, Learn, Net, Scores, Sequences, Shape, Use, names};

/// Added to a length that is divided by, as PyTorch's clipping adds it.
const CLIP_EPS: f64 = 1e-6;

/// How a memory is written while a net is trained, and what is learned of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inner {
    /// Gradient steps on the memory (K).
    pub steps: usize,
    /// Their rate; where the net learns it, what it starts from.
    pub alpha: f32,
    /// Length that each sample's gradient is scaled down to, if any.
    pub clip: Option<f32>,
    /// Whether gradients pass through the steps; without, memories are taken as given (an ablation).
    pub second_order: bool,
    /// Weight of the last writing loss beside that of the answers.
    pub add_inner: f32,
    /// How far apart the two gradients are whose difference stands for a product with second
    /// derivatives: half the distance, over the length of each sample's memory.
    pub perturbation: f32,
}

impl Default for Inner {
    fn default() -> Self {
        Inner {
            steps: 2,
            alpha: 0.4,
            clip: None,
            second_order: true,
            add_inner: 0.0,
            perturbation: 1e-3,
        }
    }
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// Mean over the answers' tokens of `-log P`.
    pub loss: f64,
    /// Share of questions whose counted tokens were all the most likely ones, of those that have
    /// any.
    pub exact: f64,
    /// Share of right tokens at each counted place.
    pub by_place: Vec<f64>,
    /// Questions that have each of these places.
    pub of_place: Vec<usize>,
    /// Number of questions.
    pub questions: usize,
}

/// Memories on their way through the steps of writing.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// M_0 to M_K, each all samples' memories.
    pub memories: Vec<Vec<f32>>,
    /// Gradients at M_0 to M_{K-1}, before they are clipped.
    pub gradients: Vec<Vec<f32>>,
    /// Mean writing loss of each sample before each step.
    pub losses: Vec<Vec<f64>>,
}

/// A training step's gradients, and what it saw.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    pub answers: Answers,
    /// Mean writing loss over samples before each step on the memory.
    pub writing: Vec<f64>,
}

/// The rate of writing that a net has learned, or `inner`'s.
pub fn rate(net: &Net, inner: &Inner) -> Result<f32, ModelError> {
    let log = net.numbers(names::LOG_ALPHA)?;
    Ok(log.first().map_or(inner.alpha, |log| log.exp()))
}

/// Writes each sample's context into a memory of its own.
pub fn write(
    net: &mut Net,
    inner: &Inner,
    samples: &[Sample],
    options: &RunOptions<'_>,
) -> Result<Written, ModelError> {
    let rows = Rows::of_contexts(net, samples);
    let start = net.numbers(names::MEMORY)?;
    let mut memory = start.repeat(samples.len());
    let mut written = Written::default();
    let alpha = rate(net, inner)?;
    for _ in 0..inner.steps {
        let scores = pass(net, &rows, &memory, Use::Write, Learn::Memory, options)?;
        written.losses.push(losses(&rows, &scores));
        let next = memory
            .iter()
            .zip(clipped(&scores.d_memory, start.len(), inner.clip));
        let next = next.map(|(m, g)| m - alpha * g).collect();
        written.memories.push(std::mem::replace(&mut memory, next));
        written.gradients.push(scores.d_memory);
    }
    written.memories.push(memory);
    Ok(written)
}

/// Answers the questions of each sample from its memory.
pub fn read(
    net: &mut Net,
    memory: &[f32],
    samples: &[Sample],
    options: &RunOptions<'_>,
) -> Result<Answers, ModelError> {
    let rows = Rows::of_questions(net, samples);
    let memory = for_each_question(memory, samples);
    let scores = pass(net, &rows, &memory, Use::Read, Learn::Nothing, options)?;
    Ok(answers(&rows, samples, &scores))
}

/// Adds the gradients of a training step to those of `net`.
pub fn learn(
    net: &mut Net,
    inner: &Inner,
    samples: &[Sample],
    options: &RunOptions<'_>,
) -> Result<Learned, ModelError> {
    let written = write(net, inner, samples, options)?;
    let last = written.memories.last().map_or(&[][..], |m| m);
    let (answers, mut v) = learn_answers(net, last, samples, options)?;
    if inner.second_order || inner.add_inner > 0.0 {
        back(net, inner, samples, &written, &mut v, options)?;
    }
    add_to_start(net, &v)?;
    let mean = |losses: &Vec<f64>| losses.iter().sum::<f64>() / losses.len().max(1) as f64;
    Ok(Learned {
        answers,
        writing: written.losses.iter().map(mean).collect(),
    })
}

/// Adds the gradients of the answers' loss; gives the answers, and the gradient of each sample's
/// memory.
pub(super) fn learn_answers(
    net: &mut Net,
    memory: &[f32],
    samples: &[Sample],
    options: &RunOptions<'_>,
) -> Result<(Answers, Vec<f32>), ModelError> {
    let questions = Rows::of_questions(net, samples);
    let each = 1.0 / questions.sequences.max(1) as f32;
    let weighted = questions.clone().scaled(|_| each);
    let asked = for_each_question(memory, samples);
    let scores = pass(net, &weighted, &asked, Use::Read, Learn::All, options)?;
    let answers = answers(&questions, samples, &scores);
    let sums = sums_over_questions(&scores.d_memory, samples, memory.len());
    Ok((answers, sums))
}

/// Adds the gradients of the samples' first memories to that of the one they all start from.
pub(super) fn add_to_start(net: &Net, d_memory: &[f32]) -> Result<(), ModelError> {
    let len = net.memory_rows * net.config.hidden;
    let mut sum = vec![0f32; len];
    for own in d_memory.chunks_exact(len.max(1)) {
        sum.iter_mut().zip(own).for_each(|(sum, d)| *sum += d);
    }
    net.add_gradient(names::MEMORY, &sum)
}

/// Takes `v`, the gradient of each sample's last memory, back to its first, and adds to the
/// gradients of the weights on the way.
fn back(
    net: &mut Net,
    inner: &Inner,
    samples: &[Sample],
    written: &Written,
    v: &mut [f32],
    options: &RunOptions<'_>,
) -> Result<(), ModelError> {
    let len = net.memory_rows * net.config.hidden;
    let alpha = rate(net, inner)?;
    let twice = Rows::of_contexts(net, samples).twice();
    let mut d_alpha = 0.0;
    for k in (0..inner.steps).rev() {
        let (memory, gradient) = (&written.memories[k], &written.gradients[k]);
        let step = clipped(gradient, len, inner.clip);
        d_alpha -= dot(&step, v);
        let added = if k + 1 == inner.steps {
            inner.add_inner
        } else {
            0.0
        };
        let through = if inner.second_order {
            v.to_vec()
        } else {
            vec![0.0; v.len()]
        };
        let apart = Apart::new(memory, gradient, &through, len, inner);
        let added = added / samples.len() as f32;
        let rows = twice.clone().scaled(|i| {
            let (sample, sign) = (
                i % samples.len(),
                if i < samples.len() { -1.0 } else { 1.0 },
            );
            sign * alpha * apart.weights[sample] + added / 2.0
        });
        let scores = pass(net, &rows, &apart.memories, Use::Write, Learn::All, options)?;
        let (plus, minus) = scores.d_memory.split_at(v.len());
        for ((v, plus), minus) in v.iter_mut().zip(plus).zip(minus) {
            *v += plus + minus;
        }
        if !inner.second_order {
            break;
        }
    }
    net.add_gradient(names::LOG_ALPHA, &[alpha * d_alpha as f32])
}

/// Memories a little apart along the directions that gradients are wanted along.
struct Apart {
    /// Those on one side, and then those on the other.
    memories: Vec<f32>,
    /// Of each sample, the length of its direction over the distance between the two.
    weights: Vec<f32>,
}

impl Apart {
    fn new(memory: &[f32], gradient: &[f32], v: &[f32], len: usize, inner: &Inner) -> Apart {
        let samples = memory.len() / len.max(1);
        let mut apart = Apart {
            memories: [memory, memory].concat(),
            weights: Vec::with_capacity(samples),
        };
        let (plus, minus) = apart.memories.split_at_mut(memory.len());
        for i in 0..samples {
            let own = i * len..(i + 1) * len;
            let u = through_clip(&gradient[own.clone()], &v[own.clone()], inner.clip);
            let (size, distance) = (
                norm(&u),
                f64::from(inner.perturbation) * norm(&memory[own.clone()]),
            );
            if !(size > f64::from(f32::MIN_POSITIVE) && distance > 0.0) {
                apart.weights.push(0.0);
                continue;
            }
            apart.weights.push((size / (2.0 * distance)) as f32);
            let factor = distance / size;
            let sides = plus[own.clone()].iter_mut().zip(&mut minus[own]).zip(&u);
            for ((plus, minus), &u) in sides {
                let aside = (factor * f64::from(u)) as f32;
                *plus += aside;
                *minus -= aside;
            }
        }
        apart
    }
}

/// `v` times the derivative of clipping at gradient `g`: `s v - c g (g v) / (|g| (|g| + eps)^2)`
/// where `|g|` is above `c`, `s = c / (|g| + eps)`.
fn through_clip(g: &[f32], v: &[f32], clip: Option<f32>) -> Vec<f32> {
    let size = norm(g);
    let Some(most) = clip.map(f64::from).filter(|most| size > *most) else {
        return v.to_vec();
    };
    let scale = most / (size + CLIP_EPS);
    let radial = most * dot(g, v) / (size * (size + CLIP_EPS).powi(2));
    let pairs = g.iter().zip(v);
    pairs
        .map(|(&g, &v)| (scale * f64::from(v) - radial * f64::from(g)) as f32)
        .collect()
}

/// Each sample's gradient, scaled down where it is longer than `clip`.
pub(super) fn clipped(gradient: &[f32], len: usize, clip: Option<f32>) -> Vec<f32> {
    let mut out = gradient.to_vec();
    for own in out.chunks_exact_mut(len.max(1)) {
        let size = norm(own);
        if let Some(most) = clip.map(f64::from).filter(|most| size > *most) {
            let scale = (most / (size + CLIP_EPS)) as f32;
            own.iter_mut().for_each(|g| *g *= scale);
        }
    }
    out
}

/// Runs a pass, some sequences at a time: what they leave for the way back then stays in the
/// processor's cache.
pub(super) fn pass(
    net: &mut Net,
    rows: &Rows,
    memory: &[f32],
    of: Use,
    learn: Learn,
    options: &RunOptions<'_>,
) -> Result<Scores, ModelError> {
    let together = net.together(rows.each());
    if rows.sequences <= together {
        return part(net, rows, memory, of, learn, options);
    }
    let len = memory.len() / rows.sequences;
    let mut all = Scores::default();
    for first in (0..rows.sequences).step_by(together) {
        let some = first..rows.sequences.min(first + together);
        let own = &memory[some.start * len..some.end * len];
        let scores = part(net, &rows.part(some), own, of, learn, options)?;
        all.states.extend(scores.states);
        all.d_memory.extend(scores.d_memory);
    }
    Ok(all)
}

fn part(
    net: &mut Net,
    rows: &Rows,
    memory: &[f32],
    of: Use,
    learn: Learn,
    options: &RunOptions<'_>,
) -> Result<Scores, ModelError> {
    let shape = Shape {
        sequences: rows.sequences,
        tokens: rows.tokens,
        of,
        goal: Goal::Tokens,
        learn,
    };
    let sequences = Sequences {
        ids: &rows.ids,
        targets: &rows.targets,
        weights: &rows.weights,
        memory,
        d_rows: &[],
    };
    net.run(shape, sequences, options)
}

/// Mean loss of each sequence's learned tokens.
pub(super) fn losses(rows: &Rows, scores: &Scores) -> Vec<f64> {
    let each = rows.each().max(1);
    let states = scores.states.chunks_exact(STATE_COLS * each);
    let weights = rows.weights.chunks_exact(each);
    states
        .zip(weights)
        .map(|(states, weights)| {
            let rows = states.chunks_exact(STATE_COLS).zip(weights);
            let learned = rows.filter(|(_, weight)| **weight != 0.0);
            learned
                .map(|(state, &weight)| -f64::from(weight) * finish(state).0)
                .sum()
        })
        .collect()
}

fn answers(rows: &Rows, samples: &[Sample], scores: &Scores) -> Answers {
    let per_question = losses(rows, scores);
    let questions: Vec<_> = samples.iter().flat_map(|s| &s.questions).collect();
    let each = rows.each();
    let places = questions.iter().map(|q| q.counted).max().unwrap_or(0);
    let mut right = vec![(0usize, 0usize); places];
    let mut exact = 0;
    for (i, question) in questions.iter().enumerate() {
        let first = i * each + rows.before + question.prompt.len();
        let mut all = true;
        for (j, &token) in question.answer.iter().take(question.counted).enumerate() {
            let state = (first + j)
                .checked_sub(1)
                .and_then(|row| scores.states.get(row * STATE_COLS..(row + 1) * STATE_COLS));
            let hit = state.is_some_and(|state| finish(state).1 == token);
            right[j].0 += usize::from(hit);
            right[j].1 += 1;
            all &= hit;
        }
        exact += usize::from(all && question.counted > 0);
    }
    let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
    Answers {
        loss: per_question.iter().sum::<f64>() / questions.len().max(1) as f64,
        exact: share(exact, questions.iter().filter(|q| q.counted > 0).count()),
        by_place: right.iter().map(|&(hits, of)| share(hits, of)).collect(),
        of_place: right.iter().map(|&(_, of)| of).collect(),
        questions: questions.len(),
    }
}

/// Each sample's memory, once for each of its questions.
fn for_each_question(memory: &[f32], samples: &[Sample]) -> Vec<f32> {
    let len = memory.len() / samples.len().max(1);
    let own = memory.chunks_exact(len.max(1)).zip(samples);
    own.flat_map(|(memory, sample)| memory.repeat(sample.questions.len()))
        .collect()
}

/// The gradients of each sample's questions, summed.
fn sums_over_questions(d_memory: &[f32], samples: &[Sample], total: usize) -> Vec<f32> {
    let len = total / samples.len().max(1);
    let mut sums = vec![0f32; total];
    let mut questions = d_memory.chunks_exact(len.max(1));
    for (sum, sample) in sums.chunks_exact_mut(len.max(1)).zip(samples) {
        for own in questions.by_ref().take(sample.questions.len()) {
            sum.iter_mut().zip(own).for_each(|(sum, d)| *sum += d);
        }
    }
    sums
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| f64::from(a) * f64::from(b))
        .sum()
}

fn norm(v: &[f32]) -> f64 {
    dot(v, v).sqrt()
}
