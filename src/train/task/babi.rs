//! The bAbI tasks (Weston et al., arXiv 1502.05698), the first five: a story of short sentences is
//! written, and where somebody or something is, was or went is asked; the answer is one word.
//!
//! Read from the published text files: `1 Mary moved to the bathroom.` is a line of a story, which
//! begins anew at 1, and `3 Where is Mary? <tab>bathroom<tab>1` asks about the lines before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand_pcg::Pcg64Mcg;

use super::asked::{Pool, Words, data_of, drawn};
use super::{OwnTokenizer, Task};
use crate::model::ModelError;
use crate::model::model_file::Model;
use crate::train::episode::{Question, Sample};
use crate::train::error::TrainError;
use crate::train::settings::Data;

/// Tasks whose answers are places and names.
const TASKS: std::ops::RangeInclusive<usize> = 1..=5;
const WHERE: &str = "give the folder 'en' or 'en-10k' of the archive tasks_1-20_v1-2";

pub struct Babi {
    tasks: BTreeMap<usize, Pool>,
    data: Data,
    vocab: usize,
    lead: Vec<u32>,
}

impl Babi {
    /// The tasks whose files a folder holds. Where the file of tests is missing, a tenth of the
    /// stories, by the seed, is kept from training.
    pub fn open(model: &Model, folder: &Path, seed: u64) -> Result<Babi, TrainError> {
        let files = listed(folder)?;
        let mut words = Words::new(model);
        let mut tasks = BTreeMap::new();
        for task in TASKS {
            let find = |part: &str| {
                let start = format!("qa{task}_");
                let is_it = |name: &str| name.starts_with(&start) && name.ends_with(part);
                files
                    .iter()
                    .find(|(name, _)| is_it(name))
                    .map(|(_, path)| path)
            };
            let Some(train) = find("_train.txt") else {
                continue;
            };
            let stories = read(train, &mut words)?;
            let pool = match find("_test.txt") {
                Some(test) => Pool {
                    train: stories.concat(),
                    test: read(test, &mut words)?.concat(),
                },
                None => Pool::split(stories, seed),
            };
            if !pool.is_whole() {
                let detail = "has too few stories to train on some and test with others";
                return Err(TrainError::file(train, detail));
            }
            tasks.insert(task, pool);
        }
        if tasks.is_empty() {
            let detail =
                format!("holds no file like qa1_single-supporting-fact_train.txt; {WHERE}");
            return Err(TrainError::file(folder, detail));
        }
        Ok(Babi {
            data: data_of(folder, tasks.values()),
            tasks,
            vocab: model.config.vocab,
            lead: super::lead(model),
        })
    }

    fn draw(&self, random: &mut Pcg64Mcg, task: usize, questions: usize, test: bool) -> Sample {
        self.tasks.get(&task).map_or_else(Sample::default, |pool| {
            let side = if test { &pool.test } else { &pool.train };
            drawn(random, side, questions)
        })
    }
}

/// The files of a folder by their names.
fn listed(folder: &Path) -> Result<BTreeMap<String, PathBuf>, TrainError> {
    let entries = fs::read_dir(folder).map_err(|e| {
        let detail = format!("cannot be listed: {e}; {WHERE}");
        TrainError::file(folder, detail)
    })?;
    let paths = entries.flatten().map(|entry| entry.path());
    let named = paths.filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        Some((name, path))
    });
    Ok(named.collect())
}

/// The stories of a file: a sample for each place of a story at which something is asked.
fn read(path: &Path, words: &mut Words<'_>) -> Result<Vec<Vec<Sample>>, TrainError> {
    let text = fs::read_to_string(path).map_err(|e| ModelError::open(path, &e))?;
    let mut stories: Vec<Vec<Sample>> = Vec::new();
    let mut context: Vec<u32> = Vec::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, l)| !l.trim().is_empty())
    {
        let wrong = || {
            let detail = format!(
                "line {}: is neither '1 a sentence.' nor '3 a question?<tab>answer<tab>1'; {WHERE}",
                number + 1
            );
            TrainError::file(path, detail)
        };
        let (place, rest) = line.trim().split_once(' ').ok_or_else(wrong)?;
        let place: usize = place.parse().map_err(|_| wrong())?;
        if place == 1 {
            stories.push(Vec::new());
            context.clear();
        }
        let story = stories.last_mut().ok_or_else(wrong)?;
        let mut parts = rest.split('\t');
        let first = parts.next().unwrap_or_default().trim();
        let Some(answer) = parts.next().map(str::trim) else {
            context.extend(words.line(first)?);
            continue;
        };
        if context.is_empty() || first.is_empty() || answer.is_empty() {
            return Err(wrong());
        }
        let asked = words.asked(first, answer)?;
        add(story, &context, asked);
    }
    Ok(stories)
}

/// Adds a question to the sample whose context is all that was told so far.
fn add(story: &mut Vec<Sample>, context: &[u32], question: Question) {
    match story.last_mut().filter(|last| last.context == context) {
        Some(last) => last.questions.push(question),
        None => story.push(Sample {
            context: context.to_vec(),
            questions: vec![question],
        }),
    }
}

impl Task for Babi {
    fn name(&self) -> &'static str {
        "babi"
    }

    fn vocab(&self) -> usize {
        self.vocab
    }

    fn sample(&self, random: &mut Pcg64Mcg, level: usize, questions: usize) -> Sample {
        self.draw(random, level, questions, false)
    }

    fn test_sample(&self, random: &mut Pcg64Mcg, level: usize, questions: usize) -> Sample {
        self.draw(random, level, questions, true)
    }

    fn check_level(&self, level: usize) -> Result<(), String> {
        if self.tasks.contains_key(&level) {
            return Ok(());
        }
        let there: Vec<String> = self.tasks.keys().map(|task| format!("qa{task}")).collect();
        Err(format!(
            "is {level}; the folder has {} of the tasks qa1 to qa5",
            there.join(", ")
        ))
    }

    fn levels(&self, last: Option<usize>) -> Vec<usize> {
        let first = self.tasks.keys().next().copied();
        vec![last.or(first).unwrap_or(1)]
    }

    fn level_words(&self, level: usize) -> String {
        format!("qa{level}")
    }

    fn lead(&self) -> &[u32] {
        &self.lead
    }

    fn data(&self) -> Option<&Data> {
        Some(&self.data)
    }

    fn tokenizer(&self) -> Option<OwnTokenizer> {
        None
    }
}
