//! What a net is trained on: contexts that are written into memory, and questions that are
//! answered from memory alone. And how they are laid out in rows.

use crate::train::net::{Net, Use};

/// A context, and questions about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Tokens that are written.
    pub context: Vec<u32>,
    pub questions: Vec<Question>,
}

impl Sample {
    /// The sample's questions as they are asked without a memory: after what opens a text and, if
    /// asked for, all of the context.
    pub fn asked_after(&self, lead: &[u32], with_context: bool) -> Sample {
        let context = if with_context { &self.context[..] } else { &[] };
        let questions = self.questions.iter().map(|question| Question {
            prompt: [lead, context, &question.prompt].concat(),
            ..question.clone()
        });
        Sample {
            context: Vec::new(),
            questions: questions.collect(),
        }
    }
}

/// A question, and what should be answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Question {
    pub prompt: Vec<u32>,
    /// Tokens that follow the prompt and are learned.
    pub answer: Vec<u32>,
    /// How many of them, from the first on, count as the answer proper; none where the question is
    /// learned from and not tested.
    pub counted: usize,
}

/// Sequences of one padded length, for a pass.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub sequences: usize,
    /// Tokens that each sequence reads.
    pub tokens: usize,
    /// Rows before the tokens of each.
    pub before: usize,
    pub ids: Vec<u32>,
    pub targets: Vec<u32>,
    /// Weight of each row's loss where each sequence's weights sum to 1.
    pub weights: Vec<f32>,
}

/// Sequences of different lengths are padded to a multiple of this.
const STEP: usize = 16;

impl Rows {
    pub(super) fn of<'a>(
        sequences: impl ExactSizeIterator<Item = (&'a [u32], &'a [u32])> + Clone,
        before: usize,
    ) -> Rows {
        let lengths = || sequences.clone().map(|(a, b)| a.len() + b.len());
        let (longest, shortest) = (lengths().max(), lengths().min());
        // The last token of a sequence is predicted and never read.
        let mut tokens = longest.unwrap_or(0).saturating_sub(1);
        if longest != shortest {
            // Every length is a program of its own: few of them.
            tokens = tokens.next_multiple_of(STEP);
        }
        let mut rows = Rows {
            sequences: sequences.len(),
            tokens,
            before,
            ..Rows::default()
        };
        for (read, learned) in sequences {
            let all = || read.iter().chain(learned).copied();
            let len = read.len() + learned.len();
            let padding = |count: usize| std::iter::repeat_n(0u32, count);
            rows.ids.extend(
                all()
                    .take(tokens)
                    .chain(padding(tokens.saturating_sub(len))),
            );
            // The row before a token predicts it.
            let start = rows.targets.len();
            rows.targets.extend(padding(before + tokens));
            rows.weights
                .extend(std::iter::repeat_n(0f32, before + tokens));
            let weight = 1.0 / learned.len() as f32;
            let first = before + read.len();
            for (i, &token) in learned.iter().enumerate() {
                if let Some(row) = (start + first + i)
                    .checked_sub(1)
                    .filter(|row| *row >= start)
                {
                    rows.targets[row] = token;
                    rows.weights[row] = weight;
                }
            }
        }
        rows
    }

    /// Contexts as they are written: every token is learned.
    pub fn of_contexts(net: &Net, samples: &[Sample]) -> Rows {
        let contexts = samples.iter().map(|s| (&[][..], &s.context[..]));
        Rows::of(contexts, net.rows_before(Use::Write))
    }

    /// Questions as they are asked, those of one sample after the other.
    pub fn of_questions(net: &Net, samples: &[Sample]) -> Rows {
        let questions: Vec<&Question> = samples.iter().flat_map(|s| &s.questions).collect();
        let pairs = questions.iter().map(|q| (&q.prompt[..], &q.answer[..]));
        Rows::of(pairs, net.rows_before(Use::Read))
    }

    /// Rows of one sequence.
    pub fn each(&self) -> usize {
        self.before + self.tokens
    }

    /// Some of the sequences.
    pub fn part(&self, sequences: std::ops::Range<usize>) -> Rows {
        let of = |each: usize| sequences.start * each..sequences.end * each;
        Rows {
            sequences: sequences.len(),
            ids: self.ids[of(self.tokens)].to_vec(),
            targets: self.targets[of(self.each())].to_vec(),
            weights: self.weights[of(self.each())].to_vec(),
            ..*self
        }
    }

    /// The rows twice, one set after the other.
    pub fn twice(&self) -> Rows {
        let twice = |list: &[u32]| [list, list].concat();
        Rows {
            sequences: 2 * self.sequences,
            ids: twice(&self.ids),
            targets: twice(&self.targets),
            weights: [&self.weights[..], &self.weights].concat(),
            ..*self
        }
    }

    /// Multiplies the weights of each sequence by a factor of its own.
    pub fn scaled(mut self, factor: impl Fn(usize) -> f32) -> Rows {
        let each = self.each().max(1);
        for (i, weights) in self.weights.chunks_exact_mut(each).enumerate() {
            let factor = factor(i);
            weights.iter_mut().for_each(|weight| *weight *= factor);
        }
        self
    }
}
