//! SQuAD in short (Rajpurkar et al., arXiv 1606.05250; in short as in GradMem): the sentence that
//! holds an answer is written, and the question is asked. From a file in SQuAD's own JSON.
//!
//! An answer is learned as it stands in the text but for what SQuAD's own measure leaves out at its
//! ends: an article before it, and signs around it. Its case stays: tokens are compared.

use std::fs;
use std::ops::Range;
use std::path::Path;

use rand_pcg::Pcg64Mcg;
use serde::Deserialize;

use super::asked::{Pool, Words, data_of, drawn};
use super::{OwnTokenizer, Task};
use crate::model::ModelError;
use crate::model::model_file::Model;
use crate::train::episode::Sample;
use crate::train::error::TrainError;
use crate::train::settings::Data;

const WHERE: &str = "give a file in SQuAD's format, such as train-v1.1.json";
/// Words that end in a full stop and not their sentence.
const SHORT: [&str; 22] = [
    "Mr", "Mrs", "Ms", "Dr", "St", "Jr", "Sr", "vs", "No", "Prof", "Gen", "Col", "Lt", "Capt",
    "Rev", "Inc", "Ltd", "Co", "Corp", "ca", "etc", "Vol",
];

#[derive(Deserialize)]
struct File {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    question: String,
    #[serde(default)]
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    text: String,
    /// In characters.
    answer_start: usize,
}

pub struct SquadShort {
    pool: Pool,
    data: Data,
    vocab: usize,
    lead: Vec<u32>,
}

impl SquadShort {
    /// The questions of a file. A tenth of its paragraphs, by the seed, is kept from training.
    pub fn open(model: &Model, path: &Path, seed: u64) -> Result<SquadShort, TrainError> {
        if path.is_dir() {
            return Err(TrainError::file(path, format!("is a folder; {WHERE}")));
        }
        let text = fs::read_to_string(path).map_err(|e| ModelError::open(path, &e))?;
        let file: File = serde_json::from_str(&text).map_err(|e| {
            let detail = format!("is not in SQuAD's format: {e}; {WHERE}");
            TrainError::file(path, detail)
        })?;
        let mut words = Words::new(model);
        let paragraphs = file.data.iter().flat_map(|article| &article.paragraphs);
        let groups = paragraphs.map(|paragraph| samples(paragraph, &mut words));
        let groups = groups.collect::<Result<Vec<_>, _>>()?;
        let pool = Pool::split(groups, seed);
        if !pool.is_whole() {
            let detail = format!(
                "has too few questions whose answers stand where it says, to train on some and \
                 test with others; {WHERE}"
            );
            return Err(TrainError::file(path, detail));
        }
        Ok(SquadShort {
            data: data_of(path, std::iter::once(&pool)),
            pool,
            vocab: model.config.vocab,
            lead: super::lead(model),
        })
    }
}

/// A sample for each sentence of a paragraph that something is asked about. Questions without an
/// answer, or whose answer is not where it should be, are left out.
fn samples(paragraph: &Paragraph, words: &mut Words<'_>) -> Result<Vec<Sample>, TrainError> {
    let text = &paragraph.context;
    let mut found: Vec<(Range<usize>, Sample)> = Vec::new();
    for asked in &paragraph.qas {
        let Some(place) = asked.answers.first().and_then(|answer| place(text, answer)) else {
            continue;
        };
        let answer = bare(&text[place.clone()]);
        let sentence = sentence(text, place);
        let question = words.asked(asked.question.trim(), &answer)?;
        match found.iter_mut().find(|(range, _)| *range == sentence) {
            Some((_, sample)) => sample.questions.push(question),
            None => {
                let context = words.line(text[sentence.clone()].trim())?.to_vec();
                let questions = vec![question];
                found.push((sentence, Sample { context, questions }));
            }
        }
    }
    Ok(found.into_iter().map(|(_, sample)| sample).collect())
}

/// Where an answer stands, in bytes, if it stands there.
fn place(text: &str, answer: &Answer) -> Option<Range<usize>> {
    let start = text.char_indices().nth(answer.answer_start)?.0;
    let stands = !answer.text.trim().is_empty() && text[start..].starts_with(&answer.text);
    stands.then(|| start..start + answer.text.len())
}

/// The sentence around a place, or the sentences where it reaches across.
fn sentence(text: &str, place: Range<usize>) -> Range<usize> {
    let starts = starts(text);
    let start = starts.iter().rev().find(|start| **start <= place.start);
    let end = starts.iter().find(|start| **start >= place.end);
    start.copied().unwrap_or(0)..end.copied().unwrap_or(text.len())
}

/// Where sentences begin.
fn starts(text: &str) -> Vec<usize> {
    let mut starts = vec![0];
    for (at, sign) in text.char_indices() {
        let after = &text[at + sign.len_utf8()..];
        let closed = after.trim_start_matches(['"', '\'', ')', ']', '\u{201d}', '\u{2019}']);
        let next = closed.trim_start();
        let is_end = match sign {
            '.' => !is_short(&text[..at]),
            '!' | '?' => true,
            _ => false,
        };
        let begins = next.chars().next().is_some_and(|c| !c.is_lowercase());
        let ends_sentence = is_end && begins && next.len() < closed.len();
        if ends_sentence || (sign == '\n' && !next.is_empty()) {
            starts.push(text.len() - next.len());
        }
    }
    starts.dedup();
    starts
}

/// Whether a text ends in a word that is often cut short, or in an initial.
fn is_short(before: &str) -> bool {
    let start = before.rfind(|c: char| !c.is_alphabetic());
    let word = &before[start.map_or(0, |at| {
        at + before[at..].chars().next().map_or(0, char::len_utf8)
    })..];
    word.chars().count() == 1 || SHORT.contains(&word)
}

/// An answer without an article before it and signs around it.
fn bare(answer: &str) -> String {
    let edge = |c: char| c.is_ascii_punctuation() && !matches!(c, '%' | '$' | '#' | '&' | '+');
    let words: Vec<&str> = answer.split_whitespace().collect();
    let rest = match words[..] {
        [first, _, ..] if ["the", "a", "an"].contains(&first.to_lowercase().as_str()) => {
            &words[1..]
        }
        _ => &words[..],
    };
    let joined = rest.join(" ");
    let trimmed = joined.trim_matches(edge).trim();
    if trimmed.is_empty() {
        joined
    } else {
        trimmed.to_owned()
    }
}

impl Task for SquadShort {
    fn name(&self) -> &'static str {
        "squad-short"
    }

    fn vocab(&self) -> usize {
        self.vocab
    }

    fn sample(&self, random: &mut Pcg64Mcg, _level: usize, questions: usize) -> Sample {
        drawn(random, &self.pool.train, questions)
    }

    fn test_sample(&self, random: &mut Pcg64Mcg, _level: usize, questions: usize) -> Sample {
        drawn(random, &self.pool.test, questions)
    }

    fn check_level(&self, level: usize) -> Result<(), String> {
        if level == 1 {
            return Ok(());
        }
        Err(format!("is {level}; sentences have one difficulty, 1"))
    }

    fn levels(&self, last: Option<usize>) -> Vec<usize> {
        vec![last.unwrap_or(1)]
    }

    fn level_words(&self, _level: usize) -> String {
        "sentences".to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_within_their_sentences() {
        let text = "Dr. J. Smith won in 1999. \u{201c}Was it the U.S. title?\u{201d} Yes! It was 6½ sacks.\nNext";
        let of = |answer: &str| {
            let at = text.find(answer).unwrap();
            text[sentence(text, at..at + answer.len())].trim()
        };
        assert_eq!(of("1999"), "Dr. J. Smith won in 1999.");
        assert_eq!(of("U.S."), "\u{201c}Was it the U.S. title?\u{201d}");
        assert_eq!(of("6½"), "It was 6½ sacks.");
        assert_eq!(of("Next"), "Next");
        assert_eq!(of("Yes! It"), "Yes! It was 6½ sacks.");
        // Places are counted in characters.
        let start = text.chars().position(|c| c == '6').unwrap();
        let answer = |text: &str, answer_start| Answer {
            text: text.to_owned(),
            answer_start,
        };
        let found = place(text, &answer("6½", start)).unwrap();
        assert_eq!(&text[found], "6½");
        assert_eq!(place(text, &answer("6½", start + 1)), None);
        assert_eq!(place(text, &answer("6½", 10_000)), None);
    }

    #[test]
    fn articles_and_signs_around_an_answer_are_left_out() {
        for (answer, expected) in [
            ("the Denver Broncos", "Denver Broncos"),
            ("\"A  Tale\"", "A Tale"),
            ("24.", "24"),
            ("7%", "7%"),
            ("The", "The"),
            ("...", "..."),
        ] {
            assert_eq!(bare(answer), expected);
        }
    }
}
