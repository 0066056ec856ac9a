//! Texts to learn from, as tokens: a part of them is kept from training.

use std::fs;
use std::path::{Path, PathBuf};

use rand_pcg::Pcg64Mcg;
use sha2::{Digest, Sha256};

use super::error::TrainError;
use super::settings::Data;
use crate::memory::fingerprint::hex;
use crate::model::ModelError;
use crate::model::draws::{below, generator, shuffle};
use crate::model::tokenizer::Tokenizer;

/// Endings of the files that are read of a folder.
const TEXTS: [&str; 3] = ["txt", "md", "text"];
/// Texts are cut into blocks of at most so many tokens, and every twentieth is kept from training.
const BLOCK: usize = 1024;
const HELD_PART: usize = 20;
/// The stream of a seed that blocks are drawn from.
const HELD: u64 = (1 << 60) + 1;

/// Runs of tokens: each of them hangs together.
#[derive(Clone, Debug, PartialEq)]
pub struct Corpus {
    pub train: Vec<Vec<u32>>,
    pub held: Vec<Vec<u32>>,
    pub data: Data,
}

/// The texts of a file, or of all files of a folder and of those in it, in the order of their
/// paths.
pub fn read_texts(path: &Path) -> Result<Vec<(PathBuf, String)>, TrainError> {
    let meta = fs::metadata(path).map_err(|e| ModelError::open(path, &e))?;
    let mut files = Vec::new();
    if meta.is_dir() {
        collect(path, &mut files)?;
        files.sort();
        if files.is_empty() {
            let detail = "holds no texts; put .txt or .md files there, or name a file";
            return Err(TrainError::file(path, detail));
        }
    } else {
        files.push(path.to_owned());
    }
    files.into_iter().map(read_text).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), TrainError> {
    let cannot = |e: std::io::Error| TrainError::file(folder, format!("cannot be listed: {e}"));
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(cannot)?);
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if hidden {
            continue;
        }
        // Links to folders may go round in circles.
        if kind.is_dir() {
            collect(&path, files)?;
        } else if path.is_file()
            && path
                .extension()
                .is_some_and(|e| TEXTS.iter().any(|t| e == *t))
        {
            files.push(path);
        }
    }
    Ok(())
}

fn read_text(path: PathBuf) -> Result<(PathBuf, String), TrainError> {
    let bytes = fs::read(&path).map_err(|e| ModelError::open(&path, &e))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let detail = format!(
            "is not UTF-8 text (the first invalid byte is at {at}); convert it first, for example \
             with iconv -f latin1 -t utf-8"
        );
        TrainError::file(&path, detail)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok((path, text.replace("\r\n", "\n")))
}

impl Corpus {
    /// The texts of files and folders. Which blocks are kept from training depends on the seed
    /// alone.
    pub fn read(paths: &[PathBuf], tokenizer: &Tokenizer, seed: u64) -> Result<Corpus, TrainError> {
        let mut texts = Vec::new();
        for path in paths {
            for (_, text) in read_texts(path)? {
                let ids = tokenizer.encode(&text, false, false);
                texts.push(ids.map_err(ModelError::from)?);
            }
        }
        if texts.iter().all(Vec::is_empty) {
            let detail = "holds no text at all";
            return Err(match paths.first() {
                Some(path) => TrainError::file(path, detail),
                None => TrainError::setting("data", detail),
            });
        }
        Ok(Corpus::of(paths, texts, seed))
    }

    fn of(paths: &[PathBuf], texts: Vec<Vec<u32>>, seed: u64) -> Corpus {
        let mut hash = Sha256::new();
        for text in &texts {
            hash.update((text.len() as u64).to_le_bytes());
            text.iter().for_each(|id| hash.update(id.to_le_bytes()));
        }
        let total: usize = texts.iter().map(Vec::len).sum();
        let block = (total / HELD_PART).clamp(1, BLOCK);
        let count: usize = texts.iter().map(|text| text.len().div_ceil(block)).sum();
        let mut order: Vec<usize> = (0..count).collect();
        shuffle(&mut generator(seed, HELD), &mut order);
        order.truncate(count.div_ceil(HELD_PART));
        order.sort_unstable();
        let mut corpus = Corpus {
            train: Vec::new(),
            held: Vec::new(),
            data: Data {
                paths: paths.to_vec(),
                sha256: hex(&hash.finalize()),
            },
        };
        let mut number = 0;
        for text in &texts {
            // Whether the last block of this text was kept from training.
            let mut before = None;
            for tokens in text.chunks(block) {
                let is_held = order.binary_search(&number).is_ok();
                number += 1;
                let runs = if is_held {
                    &mut corpus.held
                } else {
                    &mut corpus.train
                };
                match runs.last_mut().filter(|_| before == Some(is_held)) {
                    Some(run) => run.extend(tokens),
                    None => runs.push(tokens.to_vec()),
                }
                before = Some(is_held);
            }
        }
        corpus
    }

    /// Tokens that are learned from.
    pub fn tokens(&self) -> usize {
        self.train.iter().map(Vec::len).sum()
    }
}

/// The length of the longest run.
pub fn longest(runs: &[Vec<u32>]) -> usize {
    runs.iter().map(Vec::len).max().unwrap_or(0)
}

/// A stretch of so many tokens, each with the same chance; `None` where no run is as long.
pub fn stretch<'a>(
    random: &mut Pcg64Mcg,
    runs: &'a [Vec<u32>],
    tokens: usize,
) -> Option<&'a [u32]> {
    let places = |run: &Vec<u32>| (run.len() + 1).saturating_sub(tokens);
    let total: usize = runs.iter().map(places).sum();
    if total == 0 {
        return None;
    }
    let mut at = below(random, total as u64) as usize;
    for run in runs {
        match at.checked_sub(places(run)) {
            Some(rest) => at = rest,
            None => return run.get(at..at + tokens),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(lengths: &[usize], seed: u64) -> Corpus {
        let mut next = 0u32;
        let texts = lengths.iter().map(|&length| {
            let first = next;
            next += length as u32;
            (first..next).collect()
        });
        Corpus::of(&["x".into()], texts.collect(), seed)
    }

    #[test]
    fn every_token_is_on_one_side_and_the_seed_says_which() {
        for lengths in [&[5000, 1, 300][..], &[10], &[1], &[60_000]] {
            let own = corpus(lengths, 1);
            let total: usize = lengths.iter().sum();
            let mut all: Vec<u32> = own
                .train
                .iter()
                .chain(&own.held)
                .flatten()
                .copied()
                .collect();
            all.sort_unstable();
            assert_eq!(all, (0..total as u32).collect::<Vec<_>>());
            let held: usize = own.held.iter().map(Vec::len).sum();
            assert!(
                held > 0 && (total < 40 || held * 10 < total),
                "{held} of {total}"
            );
            assert_eq!(corpus(lengths, 1), own);
        }
        assert_ne!(corpus(&[60_000], 2).held, corpus(&[60_000], 1).held);
        assert_ne!(corpus(&[60_001], 1).data, corpus(&[60_000], 1).data);
    }

    #[test]
    fn stretches_hang_together_and_reach_every_place() {
        let runs = [vec![0, 1, 2], vec![10], vec![20, 21, 22, 23]];
        let mut random = generator(1, 0);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let drawn = stretch(&mut random, &runs, 3).unwrap();
            assert!(drawn.windows(2).all(|pair| pair[1] == pair[0] + 1));
            seen.insert(drawn[0]);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 20, 21]);
        assert_eq!(stretch(&mut random, &runs, 5), None);
    }

    #[test]
    fn folders_without_texts_and_files_that_are_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let said = |path: &Path| read_texts(path).unwrap_err().to_string();
        assert!(said(folder.path()).contains("put .txt"));
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::write(folder.path().join("in/b.md"), "b\r\n").unwrap();
        fs::write(folder.path().join("a.txt"), "\u{feff}a").unwrap();
        fs::write(folder.path().join("c.bin"), [0xff]).unwrap();
        let texts: Vec<String> = read_texts(folder.path())
            .unwrap()
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert_eq!(texts, ["a", "b\n"]);
        fs::write(folder.path().join("d.txt"), [b'a', 0xff]).unwrap();
        assert!(said(folder.path()).contains("d.txt") && said(folder.path()).contains("at 1"));
        assert!(said(&folder.path().join("none")).contains("does not exist"));
    }
}
