//! Questions in words, and samples of which a part is kept from training.

use std::collections::HashMap;
use std::path::Path;

use rand_pcg::Pcg64Mcg;
use sha2::{Digest, Sha256};

use crate::memory::fingerprint::hex;
use crate::model::ModelError;
use crate::model::draws::{below, generator, shuffle};
use crate::model::model_file::Model;
use crate::model::tokenizer::Tokenizer;
use crate::train::episode::{Question, Sample};
use crate::train::error::TrainError;
use crate::train::settings::Data;

/// The stream of a seed that says what is kept from training, and the part that is.
const HELD: u64 = 1 << 60;
const HELD_PART: usize = 10;

/// Lines and questions as tokens, each worked out once.
pub struct Words<'a> {
    tokenizer: &'a Tokenizer,
    lines: HashMap<String, Vec<u32>>,
    asked: HashMap<(String, String), Question>,
}

impl<'a> Words<'a> {
    pub fn new(model: &'a Model) -> Words<'a> {
        Words {
            tokenizer: &model.tokenizer,
            lines: HashMap::new(),
            asked: HashMap::new(),
        }
    }

    /// The tokens of a line and of its end.
    pub fn line(&mut self, text: &str) -> Result<&[u32], TrainError> {
        if !self.lines.contains_key(text) {
            let ids = self.tokenizer.encode(&format!("{text}\n"), false, false);
            let ids = ids.map_err(ModelError::from)?;
            self.lines.insert(text.to_owned(), ids);
        }
        Ok(&self.lines[text])
    }

    /// A question whose answer's own tokens count; the end of its line is learned, too.
    pub fn asked(&mut self, question: &str, answer: &str) -> Result<Question, TrainError> {
        let key = (question.to_owned(), answer.to_owned());
        if let Some(known) = self.asked.get(&key) {
            return Ok(known.clone());
        }
        let before = format!("Question: {question}\nAnswer:");
        let answered = format!("{before} {answer}");
        let spans = self
            .tokenizer
            .encode_with_offsets(&format!("{answered}\n"), false, false)
            .map_err(ModelError::from)?;
        let (mut prompt, mut own, mut counted) = (Vec::new(), Vec::new(), 0);
        for span in spans {
            if span.bytes.end <= before.len() && own.is_empty() {
                prompt.push(span.id);
                continue;
            }
            own.push(span.id);
            counted += usize::from(span.bytes.start < answered.len());
        }
        let question = Question {
            prompt,
            answer: own,
            counted,
        };
        self.asked.insert(key, question.clone());
        Ok(question)
    }
}

/// Samples to train on and those kept for tests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pool {
    pub train: Vec<Sample>,
    pub test: Vec<Sample>,
}

impl Pool {
    /// A tenth of the groups, by the seed, is kept from training.
    pub fn split(groups: Vec<Vec<Sample>>, seed: u64) -> Pool {
        let mut order: Vec<usize> = (0..groups.len()).collect();
        shuffle(&mut generator(seed, HELD), &mut order);
        order.truncate(groups.len().div_ceil(HELD_PART));
        let mut pool = Pool::default();
        for (number, group) in groups.into_iter().enumerate() {
            let side = if order.contains(&number) {
                &mut pool.test
            } else {
                &mut pool.train
            };
            side.extend(group);
        }
        pool
    }

    /// Whether there is something to train on and something to test with.
    pub fn is_whole(&self) -> bool {
        !self.train.is_empty() && !self.test.is_empty()
    }
}

/// One of some samples, with at most so many of its questions.
pub fn drawn(random: &mut Pcg64Mcg, samples: &[Sample], questions: usize) -> Sample {
    let at = below(random, samples.len() as u64) as usize;
    let mut sample = samples.get(at).cloned().unwrap_or_default();
    if sample.questions.len() > questions {
        shuffle(random, &mut sample.questions);
        sample.questions.truncate(questions);
    }
    sample
}

/// Where samples came from, and what they are.
pub fn data_of<'a>(path: &Path, pools: impl Iterator<Item = &'a Pool>) -> Data {
    let mut hash = Sha256::new();
    let mut add = |ids: &[u32]| {
        hash.update((ids.len() as u64).to_le_bytes());
        ids.iter().for_each(|id| hash.update(id.to_le_bytes()));
    };
    for pool in pools {
        for sample in pool.train.iter().chain(&pool.test) {
            add(&sample.context);
            for question in &sample.questions {
                add(&question.prompt);
                add(&question.answer);
            }
        }
    }
    Data {
        paths: vec![path.to_owned()],
        sha256: hex(&hash.finalize()),
    }
}
