//! Any texts: a window of them is written, and asked for are the window itself after its first
//! token, and what follows it. Only the window counts as an answer: nobody knows what follows.

use std::path::Path;

use rand_pcg::Pcg64Mcg;

use super::{OwnTokenizer, Task};
use crate::model::model_file::Model;
use crate::train::corpus::{Corpus, longest, stretch};
use crate::train::episode::{Question, Sample};
use crate::train::error::TrainError;
use crate::train::settings::{Data, doubling};
use crate::words::counted;

/// Tokens of a window where no number is asked for.
const USUAL: usize = 32;
/// Tokens that are learned of what follows a window, and those that it is told by.
const FOLLOWING: usize = 32;
const TAIL: usize = 4;

pub struct Texts {
    corpus: Corpus,
    vocab: usize,
    lead: Vec<u32>,
}

impl Texts {
    /// The texts of a file or folder.
    pub fn open(model: &Model, path: &Path, seed: u64) -> Result<Texts, TrainError> {
        Ok(Texts {
            corpus: Corpus::read(&[path.to_owned()], &model.tokenizer, seed)?,
            vocab: model.config.vocab,
            lead: super::lead(model),
        })
    }
}

fn sample(random: &mut Pcg64Mcg, runs: &[Vec<u32>], level: usize, questions: usize) -> Sample {
    let Some(all) = stretch(random, runs, level + FOLLOWING) else {
        return Sample::default();
    };
    let (window, following) = all.split_at(level);
    let again = Question {
        prompt: window[..1].to_vec(),
        answer: window[1..].to_vec(),
        counted: level - 1,
    };
    let goes_on = Question {
        prompt: window[level.saturating_sub(TAIL)..].to_vec(),
        answer: following.to_vec(),
        counted: 0,
    };
    Sample {
        context: window.to_vec(),
        questions: [again, goes_on].into_iter().take(questions).collect(),
    }
}

impl Task for Texts {
    fn name(&self) -> &'static str {
        "text"
    }

    fn vocab(&self) -> usize {
        self.vocab
    }

    fn sample(&self, random: &mut Pcg64Mcg, level: usize, questions: usize) -> Sample {
        sample(random, &self.corpus.train, level, questions)
    }

    fn test_sample(&self, random: &mut Pcg64Mcg, level: usize, questions: usize) -> Sample {
        sample(random, &self.corpus.held, level, questions)
    }

    fn check_level(&self, level: usize) -> Result<(), String> {
        let most = longest(&self.corpus.train).min(longest(&self.corpus.held));
        match most.checked_sub(FOLLOWING).filter(|most| *most >= 2) {
            Some(most) if (2..=most).contains(&level) => Ok(()),
            Some(most) => Err(format!(
                "is {level}; windows of 2 to {most} tokens can be drawn"
            )),
            None => Err(format!(
                "is {level}, and the texts are too short to draw from; add more of them"
            )),
        }
    }

    fn levels(&self, last: Option<usize>) -> Vec<usize> {
        let stages = doubling(last.unwrap_or(USUAL), 0);
        stages.iter().map(|stage| stage.level).collect()
    }

    fn level_words(&self, level: usize) -> String {
        counted(level, "token")
    }

    fn lead(&self) -> &[u32] {
        &self.lead
    }

    fn data(&self) -> Option<&Data> {
        Some(&self.corpus.data)
    }

    fn tokenizer(&self) -> Option<OwnTokenizer> {
        None
    }
}
