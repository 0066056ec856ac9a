//! Damaged and hostile inputs: files of every kind that the program reads, changed at random and
//! opened. Whatever they hold, reading them ends, within bounds of time and memory, with what is
//! there or with an error.
//!
//! The changes are the same for the same seed. The suite runs a few of each kind; a long run, and
//! one case again, are asked for like this (docs/fuzzing.md):
//!
//! ```sh
//! INSCRIBE_FUZZ_COUNT=100000 cargo test --test fuzz -- --nocapture
//! INSCRIBE_FUZZ_ONLY=pdf:123 cargo test --test fuzz -- --nocapture
//! ```

mod documents;
mod guard;
mod memories;
mod models;
mod mutate;
mod runs;

use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::{Duration, Instant};

use guard::Counting;
use mutate::Random;

#[global_allocator]
static MEMORY: Counting = Counting;

/// Cases of all kinds that the suite runs.
const FEW: usize = 4000;
/// The most memory that one case may take, in bytes.
const MOST_BYTES: usize = 1 << 30;
/// As threads of windows and servers have.
const STACK_BYTES: usize = 2 << 20;

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Opened,
    Refused,
}

impl Outcome {
    pub fn of<T, E>(result: Result<T, E>) -> Outcome {
        match result {
            Ok(_) => Outcome::Opened,
            Err(_) => Outcome::Refused,
        }
    }
}

/// Inputs of one kind. The call makes one and opens it.
pub struct Kind {
    pub name: &'static str,
    /// How many of its cases there are for one of the others.
    pub share: usize,
    pub run: Box<dyn FnMut(&mut Random) -> Outcome + Send>,
}

#[derive(Default)]
struct Figures {
    cases: usize,
    opened: usize,
    refused: usize,
    failed: Vec<String>,
    most_bytes: usize,
    slowest: Duration,
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Option<u64> {
    variable(name).map(|value| value.parse().expect(name))
}

#[test]
fn mutated_inputs_are_opened_or_refused() {
    let seed = number("INSCRIBE_FUZZ_SEED").unwrap_or(1);
    let count = number("INSCRIBE_FUZZ_COUNT").map_or(FEW, |count| count as usize);
    let only = variable("INSCRIBE_FUZZ_ONLY");
    let work = thread::Builder::new().stack_size(STACK_BYTES);
    let all = work.spawn(move || run_all(seed, count, only.as_deref()));
    let all = all.expect("a thread").join().expect("figures");
    println!(
        "\n{:<14}{:>8}{:>8}{:>9}{:>8}{:>11}{:>9}",
        "kind", "cases", "opened", "refused", "failed", "most MiB", "slowest"
    );
    for (name, of) in &all {
        println!(
            "{name:<14}{:>8}{:>8}{:>9}{:>8}{:>11.1}{:>8.2}s",
            of.cases,
            of.opened,
            of.refused,
            of.failed.len(),
            of.most_bytes as f64 / f64::from(1 << 20),
            of.slowest.as_secs_f64()
        );
    }
    let sum = |of: fn(&Figures) -> usize| all.iter().map(|(_, figures)| of(figures)).sum::<usize>();
    println!(
        "{:<14}{:>8}{:>8}{:>9}{:>8}   seed {seed}",
        "all",
        sum(|f| f.cases),
        sum(|f| f.opened),
        sum(|f| f.refused),
        sum(|f| f.failed.len())
    );
    let failed = all.iter().flat_map(|(_, of)| &of.failed);
    let failed: Vec<&str> = failed.map(String::as_str).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn run_all(seed: u64, count: usize, only: Option<&str>) -> Vec<(&'static str, Figures)> {
    guard::remember_panics();
    guard::watch();
    let mut kinds = documents::kinds();
    kinds.extend(models::kinds());
    kinds.extend(memories::kinds());
    kinds.extend(runs::kinds());
    let shares: usize = kinds.iter().map(|kind| kind.share).sum();
    let mut all = Vec::new();
    for mut kind in kinds {
        let wanted = only.map(|only| only.split_once(':').unwrap_or((only, "")));
        if wanted.is_some_and(|(name, _)| name != kind.name) {
            continue;
        }
        let single = wanted.and_then(|(_, case)| case.parse::<usize>().ok());
        let cases = (count * kind.share).div_ceil(shares);
        let cases = single.map_or(0..cases, |case| case..case + 1);
        all.push((kind.name, run_kind(&mut kind, seed, cases)));
    }
    all
}

fn run_kind(kind: &mut Kind, seed: u64, cases: std::ops::Range<usize>) -> Figures {
    let mut figures = Figures::default();
    for case in cases {
        let mut random = Random::of(seed, kind.name, case);
        let started = Instant::now();
        let before = guard::begin(kind.name, case);
        let result = panic::catch_unwind(AssertUnwindSafe(|| (kind.run)(&mut random)));
        let took = guard::end(before);
        figures.cases += 1;
        figures.most_bytes = figures.most_bytes.max(took);
        figures.slowest = figures.slowest.max(started.elapsed());
        let failed = |what: String| format!("{}:{case} {what}", kind.name);
        match result {
            Ok(Outcome::Opened) => figures.opened += 1,
            Ok(Outcome::Refused) => figures.refused += 1,
            Err(_) => figures.failed.push(failed(guard::last_panic())),
        }
        if took > MOST_BYTES {
            figures
                .failed
                .push(failed(format!("took {} MiB", took >> 20)));
        }
    }
    figures
}
