//! What nets are trained on.

mod asked;
pub mod babi;
pub mod kv;
pub mod squad;
#[cfg(test)]
mod tests;
pub mod text;

use std::path::Path;

use rand_pcg::Pcg64Mcg;

use super::episode::Sample;
use super::error::TrainError;
use super::settings::Data;
use crate::model::model_file::Model;

/// Source of samples for training and for tests.
pub trait Task: Send + Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// Number of token ids.
    fn vocab(&self) -> usize;

    /// A sample of a difficulty (pairs of a context, say) with so many questions, or as many as it
    /// has.
    fn sample(&self, random: &mut Pcg64Mcg, level: usize, questions: usize) -> Sample;

    /// As [`Task::sample`], of what is kept from training where the task does not make up its
    /// samples.
    fn test_sample(&self, random: &mut Pcg64Mcg, level: usize, questions: usize) -> Sample {
        self.sample(random, level, questions)
    }

    /// Refuses a difficulty that there is not, with what there is.
    fn check_level(&self, level: usize) -> Result<(), String>;

    /// The difficulties that training goes through up to the one asked for, or to the usual one.
    fn levels(&self, last: Option<usize>) -> Vec<usize>;

    /// A difficulty in words.
    fn level_words(&self, level: usize) -> String;

    /// Tokens that open a text which is read without a memory.
    fn lead(&self) -> &[u32] {
        &[]
    }

    /// The files that the task is made of.
    fn data(&self) -> Option<&Data> {
        None
    }

    /// The tokenizer of a model that is trained on it from nothing; `None` where the task is in the
    /// tokens of a base model.
    fn tokenizer(&self) -> Option<OwnTokenizer>;
}

/// The files of a tokenizer.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnTokenizer {
    /// `tokenizer.json`.
    pub tokenizer: String,
    /// `tokenizer_config.json`.
    pub config: String,
}

/// The task of a name, where it needs neither files nor a model.
pub fn named(name: &str) -> Option<Box<dyn Task>> {
    match name {
        "kv" => Some(Box::new(kv::KeyValue)),
        _ => None,
    }
}

/// Names of the tasks that are in the tokens of a base model alone, and what each is made of.
const OF_FILES: [(&str, &str); 3] = [
    ("babi", "a folder of the bAbI tasks' text files"),
    ("squad-short", "a file in SQuAD's format"),
    ("text", "a text file or a folder of them"),
];

/// Whether a task needs a base model.
pub fn needs_base(name: &str) -> bool {
    OF_FILES.iter().any(|(own, _)| *own == name)
}

/// The task of a name in the tokens of a base model, made of `data` where it is made of files.
pub fn on_base(
    name: &str,
    model: &Model,
    data: Option<&Path>,
    seed: u64,
) -> Result<Box<dyn Task>, TrainError> {
    let Some((_, made_of)) = OF_FILES.iter().find(|(own, _)| *own == name) else {
        return match name {
            "kv" => Ok(Box::new(kv::InTokensOf::new(model)?)),
            _ => Err(TrainError::setting("task", format!("there is no '{name}'"))),
        };
    };
    let Some(data) = data else {
        let detail = format!("is needed for the task {name}: {made_of}");
        return Err(TrainError::setting("data", detail));
    };
    Ok(match name {
        "babi" => Box::new(babi::Babi::open(model, data, seed)?),
        "squad-short" => Box::new(squad::SquadShort::open(model, data, seed)?),
        _ => Box::new(text::Texts::open(model, data, seed)?),
    })
}

/// What opens a text that the model reads from its beginning.
fn lead(model: &Model) -> Vec<u32> {
    let tokenizer = &model.tokenizer;
    let bos = tokenizer.bos().filter(|_| tokenizer.add_bos());
    bos.into_iter().collect()
}
