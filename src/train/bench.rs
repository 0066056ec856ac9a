//! Writing some key-value pairs into a trained model's memory one gradient step at a time, with
//! everything that there is to see after each.

use thiserror::Error;

use super::episode::{Rows, Sample};
use super::error::TrainError;
use super::meta;
use super::net::{Learn, Net, Use, names};
use super::saved::Saved;
use super::task::{Task as _, kv::KeyValue};
use crate::engine::{Device, RunOptions};
use crate::kernels::cross_entropy::{STATE_COLS, finish};
use crate::model::draws::generator;
use crate::model::error::ModelError;

/// The most pairs that are written.
pub const MOST_PAIRS: usize = 32;

/// A key of two letters or digits, and a value of two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    pub key: String,
    pub value: String,
}

/// Why some pairs cannot be written. Pairs are counted from 0 here, and from 1 in words.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    #[error("{0} pairs; 1 to {MOST_PAIRS} can be written")]
    Count(usize),
    #[error("pair {}: the key '{text}' is not two letters or digits (a-z, A-Z, 0-9)", pair + 1)]
    Key { pair: usize, text: String },
    #[error("pair {}: the value '{text}' is not two letters or digits (a-z, A-Z, 0-9)", pair + 1)]
    Value { pair: usize, text: String },
    #[error("pairs {} and {} have the same key '{key}'", first + 1, second + 1)]
    Twice {
        first: usize,
        second: usize,
        key: String,
    },
}

impl Fault {
    /// The pair that is to be changed.
    pub fn pair(&self) -> Option<usize> {
        match self {
            Fault::Count(_) => None,
            Fault::Key { pair, .. } | Fault::Value { pair, .. } => Some(*pair),
            Fault::Twice { second, .. } => Some(*second),
        }
    }
}

/// What a step has made of the memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Gradient steps taken so far.
    pub step: usize,
    /// Each character of the context.
    pub context: Vec<Read>,
    /// Mean loss of the context's characters, which the next step takes down.
    pub loss: f64,
    /// What is answered for each key, in the order of the pairs.
    pub answers: Vec<Answer>,
    /// The memory, row by row.
    pub memory: Vec<f32>,
}

/// A character as the model reads it from memory and from what stands before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Read {
    pub character: char,
    /// `-log P`, in nats.
    pub loss: f32,
}

/// What is answered for a key, from memory alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Each character of the value. The second is asked for after the right first one.
    pub said: [Said; 2],
}

impl Answer {
    pub fn is_right(&self) -> bool {
        self.said.iter().all(Said::is_right)
    }

    /// The characters that are most likely.
    pub fn text(&self) -> String {
        self.said.iter().map(|said| said.character).collect()
    }

    /// The probability of the whole right value.
    pub fn right_part(&self) -> f32 {
        self.said.iter().map(|said| said.right_part).product()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Said {
    /// The most likely character, and its probability.
    pub character: char,
    pub part: f32,
    /// The right one, and its probability.
    pub right: char,
    pub right_part: f32,
}

impl Said {
    pub fn is_right(&self) -> bool {
        self.character == self.right
    }
}

/// A trained model, some pairs, and every stage of writing them so far.
pub struct Bench {
    saved: Saved,
    device: Device,
    /// The model with as many memory rows as were asked for last.
    net: Option<Net>,
    sample: Sample,
    stages: Vec<Stage>,
    /// The gradient at the last stage's memory.
    gradient: Vec<f32>,
}

impl Bench {
    pub fn new(saved: Saved, device: Device) -> Bench {
        Bench {
            saved,
            device,
            net: None,
            sample: Sample::default(),
            stages: Vec::new(),
            gradient: Vec::new(),
        }
    }

    /// Memory rows that the model was trained with.
    pub fn most_rows(&self) -> usize {
        let memory = self.saved.layout.entry(names::MEMORY);
        memory.map_or(0, |memory| memory.rows)
    }

    /// Numbers of a memory row.
    pub fn width(&self) -> usize {
        self.saved.config.hidden
    }

    /// Gradient steps that the model was trained with.
    pub fn trained_steps(&self) -> usize {
        self.saved.inner.steps
    }

    /// All stages so far, from the memory before any step on.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Begins to write these pairs into so many memory rows; gives the stage before any step.
    pub fn write(&mut self, pairs: &[Pair], memory_rows: usize) -> Result<Stage, TrainError> {
        let ids = ids(pairs).map_err(|fault| TrainError::setting("pairs", fault.to_string()))?;
        let most = self.most_rows();
        if memory_rows == 0 || memory_rows > most {
            let detail = format!("are {memory_rows}; this model has 1 to {most}");
            return Err(TrainError::setting("memory rows", detail));
        }
        self.stages.clear();
        self.sample = KeyValue::of_pairs(&ids, 0..ids.len());
        let fits = |net: &Net| net.memory_rows == memory_rows;
        let mut net = match self.net.take().filter(fits) {
            Some(net) => net,
            None => self.saved.with_memory(memory_rows).net(&self.device)?,
        };
        let memory = net.numbers(names::MEMORY)?;
        let seen = self.see(&mut net, memory);
        self.net = Some(net);
        Ok(seen?)
    }

    /// Takes the next gradient step on the memory.
    pub fn step(&mut self) -> Result<Stage, TrainError> {
        let (Some(mut net), Some(last)) = (self.net.take(), self.stages.last()) else {
            return Err(TrainError::setting("pairs", "are to be given first"));
        };
        let inner = self.saved.inner;
        let next = meta::rate(&net, &inner).map(|alpha| {
            let step = meta::clipped(&self.gradient, last.memory.len(), inner.clip);
            let pairs = last.memory.iter().zip(step);
            pairs.map(|(m, g)| m - alpha * g).collect()
        });
        let seen = next.and_then(|memory| self.see(&mut net, memory));
        self.net = Some(net);
        Ok(seen?)
    }

    /// Everything that there is to see of a memory.
    fn see(&mut self, net: &mut Net, memory: Vec<f32>) -> Result<Stage, ModelError> {
        let samples = std::slice::from_ref(&self.sample);
        let options = RunOptions::default();
        let rows = Rows::of_contexts(net, samples);
        let scores = meta::pass(net, &rows, &memory, Use::Write, Learn::Memory, &options)?;
        // The row before a token predicts it.
        let states = scores.states.chunks_exact(STATE_COLS);
        let states = states.skip(rows.before.saturating_sub(1));
        let context = KeyValue::text(&self.sample.context);
        let context = context.chars().zip(states).map(|(character, state)| Read {
            character,
            loss: -finish(state).0 as f32,
        });
        let context: Vec<Read> = context.collect();
        let sum: f64 = context.iter().map(|read| f64::from(read.loss)).sum();
        let stage = Stage {
            step: self.stages.len(),
            loss: sum / context.len().max(1) as f64,
            context,
            answers: answers(net, &self.sample, &memory)?,
            memory,
        };
        self.gradient = scores.d_memory;
        self.stages.push(stage.clone());
        Ok(stage)
    }
}

/// Asks for every key, from memory alone.
fn answers(net: &mut Net, sample: &Sample, memory: &[f32]) -> Result<Vec<Answer>, ModelError> {
    let samples = std::slice::from_ref(sample);
    let rows = Rows::of_questions(net, samples);
    let memories = memory.repeat(sample.questions.len());
    let options = RunOptions::default();
    let scores = meta::pass(net, &rows, &memories, Use::Read, Learn::Nothing, &options)?;
    let each = scores.states.chunks_exact(STATE_COLS * rows.each().max(1));
    let answered = each.zip(&sample.questions).map(|(states, question)| {
        let first = (rows.before + question.prompt.len()).saturating_sub(1);
        let mut states = states.chunks_exact(STATE_COLS).skip(first);
        let mut right = KeyValue::text(&question.answer).chars().collect::<Vec<_>>();
        right.truncate(2);
        let mut right = right.into_iter();
        let mut next = || -> Option<Said> {
            let (state, right) = (states.next()?, right.next()?);
            let (log_right, likely) = finish(state);
            Some(Said {
                character: KeyValue::text(&[likely]).chars().next()?,
                // The largest logit is what the sum of exponentials is taken from.
                part: 1.0 / state[1],
                right,
                right_part: log_right.exp() as f32,
            })
        };
        Some(Answer {
            said: [next()?, next()?],
        })
    });
    Ok(answered.flatten().collect())
}

/// The token ids of some pairs.
fn ids(pairs: &[Pair]) -> Result<Vec<[[u32; 2]; 2]>, Fault> {
    if pairs.is_empty() || pairs.len() > MOST_PAIRS {
        return Err(Fault::Count(pairs.len()));
    }
    let two = |text: &str| -> Option<[u32; 2]> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        KeyValue::ids(text).filter(|_| plain)?.try_into().ok()
    };
    let ids = pairs.iter().enumerate().map(|(pair, of)| {
        let key = two(&of.key).ok_or_else(|| Fault::Key {
            pair,
            text: of.key.clone(),
        })?;
        let value = two(&of.value).ok_or_else(|| Fault::Value {
            pair,
            text: of.value.clone(),
        })?;
        if let Some(first) = pairs[..pair].iter().position(|p| p.key == of.key) {
            return Err(Fault::Twice {
                first,
                second: pair,
                key: of.key.clone(),
            });
        }
        Ok([key, value])
    });
    ids.collect()
}

/// Refuses pairs that cannot be written.
pub fn check(pairs: &[Pair]) -> Result<(), Fault> {
    ids(pairs).map(|_| ())
}

/// Pairs drawn at random, their keys apart.
pub fn draw(count: usize, seed: u64) -> Vec<Pair> {
    let count = count.clamp(1, MOST_PAIRS);
    let sample = KeyValue.sample(&mut generator(seed, 0), count, 0);
    let text = KeyValue::text(&sample.context);
    let halves = text.split('!').filter_map(|pair| pair.split_once(':'));
    let pairs = halves.map(|(key, value)| Pair {
        key: key.to_owned(),
        value: value.to_owned(),
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::meta::Inner;
    use crate::train::settings::NetShape;

    fn small(clip: Option<f32>) -> Saved {
        let shape = NetShape {
            layers: 2,
            hidden: 16,
            heads: 2,
            ffn: 32,
            memory: 4,
            projection: true,
            write_head: true,
            control: 1,
            learned_rate: true,
        };
        let inner = Inner {
            alpha: 0.3,
            clip,
            ..Inner::default()
        };
        let config = shape.config(KeyValue.vocab());
        let layout = shape.layout(&config);
        let mut numbers = shape.initial(&layout, &inner, 7);
        // A new model knows nothing: what it answers is all alike.
        numbers.iter_mut().for_each(|v| *v *= 4.0);
        Saved {
            config,
            layout,
            numbers,
            inner,
        }
    }

    #[test]
    fn stages_are_what_training_makes_of_the_same_pairs() {
        for clip in [None, Some(0.05)] {
            let saved = small(clip);
            let mut bench = Bench::new(saved.clone(), Device::cpu(2));
            let pairs = draw(3, 11);
            bench.write(&pairs, 2).unwrap();
            for _ in 0..3 {
                bench.step().unwrap();
            }
            let mut net = saved.with_memory(2).net(&Device::cpu(2)).unwrap();
            let ids = ids(&pairs).unwrap();
            let samples = [KeyValue::of_pairs(&ids, 0..3)];
            let inner = Inner {
                steps: 3,
                ..saved.inner
            };
            let options = RunOptions::default();
            let written = meta::write(&mut net, &inner, &samples, &options).unwrap();
            assert_eq!(bench.stages().len(), 4);
            for (k, stage) in bench.stages().iter().enumerate() {
                assert_eq!(stage.step, k);
                assert_eq!(stage.memory, written.memories[k], "step {k}");
                if let Some(losses) = written.losses.get(k) {
                    assert!((stage.loss - losses[0]).abs() < 1e-5, "step {k}");
                }
                let read = meta::read(&mut net, &stage.memory, &samples, &options).unwrap();
                let share = |right: usize| right as f64 / 3.0;
                let exact = stage.answers.iter().filter(|a| a.is_right()).count();
                assert!((share(exact) - read.exact).abs() < 1e-9);
                for place in 0..2 {
                    let hits = stage.answers.iter().filter(|a| a.said[place].is_right());
                    assert!((share(hits.count()) - read.by_place[place]).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn a_stage_says_what_was_written_and_what_is_said() {
        let mut bench = Bench::new(small(None), Device::cpu(1));
        let pairs = draw(2, 5);
        let stage = bench.write(&pairs, bench.most_rows()).unwrap();
        let text: String = stage.context.iter().map(|read| read.character).collect();
        let [a, b] = &pairs[..] else {
            panic!("two pairs")
        };
        let expected = format!("!{}:{}!!{}:{}!|", a.key, a.value, b.key, b.value);
        assert_eq!(text, expected);
        assert_eq!(stage.memory.len(), 4 * bench.width());
        for (answer, pair) in stage.answers.iter().zip(&pairs) {
            let right: String = answer.said.iter().map(|said| said.right).collect();
            assert_eq!(right, pair.value);
            for said in answer.said {
                assert!(said.part >= said.right_part && said.right_part > 0.0);
                assert!(said.part <= 1.0 && (said.part > said.right_part) != said.is_right());
            }
        }
        // The same pairs once more, with another memory between.
        let first = bench.step().unwrap();
        bench.write(&draw(5, 6), 1).unwrap();
        assert_eq!(bench.stages().len(), 1);
        bench.write(&pairs, 4).unwrap();
        assert_eq!(bench.step().unwrap(), first);
    }

    #[test]
    fn pairs_that_cannot_be_written_are_refused() {
        let pair = |key: &str, value: &str| Pair {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let good = pair("ab", "X7");
        let told = |pairs: &[Pair]| check(pairs).unwrap_err().to_string();
        assert_eq!(check(std::slice::from_ref(&good)), Ok(()));
        assert!(told(&[]).contains("1 to 32"));
        assert!(told(&vec![good.clone(); 33]).contains("33 pairs"));
        assert!(told(&[good.clone(), pair("a", "bc")]).starts_with("pair 2: the key 'a'"));
        assert!(told(&[pair("ab", "é")]).contains("value 'é'"));
        assert!(told(&[pair("!:", "ab")]).contains("key '!:'"));
        let twice = check(&[good.clone(), good.clone()]).unwrap_err();
        assert_eq!(
            (twice.pair(), twice.to_string().contains("same key")),
            (Some(1), true)
        );
        let mut bench = Bench::new(small(None), Device::cpu(1));
        assert!(bench.step().is_err(), "nothing is written yet");
        assert!(bench.write(&[pair("a", "b")], 1).is_err());
        assert!(bench.write(std::slice::from_ref(&good), 5).is_err());
        assert!(bench.write(std::slice::from_ref(&good), 0).is_err());
        for count in [1, 8, 32] {
            let drawn = draw(count, 3);
            assert_eq!((drawn.len(), check(&drawn)), (count, Ok(())));
        }
    }
}
