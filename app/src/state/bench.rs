//! Pairs that are written into the small model, and what came of it.

use std::path::PathBuf;

use inscribe::train::bench::{Fault, MOST_PAIRS, Pair, Stage, check, draw};

use crate::engine::{Benched, TrainedModel};
use crate::vocabulary::fresh_version;

/// Gradient steps that are taken.
pub const MOST_STEPS: usize = 10;
/// Memory rows of the model that comes with the program.
pub const MOST_ROWS: usize = 8;
/// Pairs to begin with.
const FIRST_PAIRS: usize = 8;

/// What the engine was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub number: u64,
    pub pairs: Vec<Pair>,
    pub memory_rows: usize,
    pub model: Option<TrainedModel>,
}

/// The stages of one request so far.
#[derive(Clone, Debug)]
pub struct Written {
    pub of: Asked,
    pub stages: Vec<Stage>,
    /// Seconds that each took.
    pub seconds: Vec<f64>,
}

#[derive(Clone, Debug)]
pub struct BenchState {
    /// As they stand in the fields.
    pub pairs: Vec<Pair>,
    pub memory_rows: usize,
    /// Memory rows that the model has.
    pub most_rows: usize,
    /// The model; the one that comes with the program where `None`.
    pub model: Option<TrainedModel>,
    /// The number of steps that is shown.
    pub step: usize,
    /// Since when it is shown, in the window's time, where the steps play.
    pub playing: Option<f64>,
    pub asked: Option<Asked>,
    /// What is shown: of the last request that something has come of.
    pub written: Option<Written>,
    /// What the next pairs are drawn by.
    seed: u64,
}

impl Default for BenchState {
    fn default() -> Self {
        BenchState {
            pairs: draw(FIRST_PAIRS, 0),
            memory_rows: MOST_ROWS,
            most_rows: MOST_ROWS,
            model: None,
            step: 0,
            playing: None,
            asked: None,
            written: None,
            seed: 1,
        }
    }
}

impl BenchState {
    /// Why the pairs cannot be written as they stand.
    pub fn fault(&self) -> Option<Fault> {
        check(&self.pairs).err()
    }

    /// Whether other pairs stand there than those that were asked for last, and can be written.
    pub fn is_fresh(&self) -> bool {
        let same = |asked: &Asked| {
            let (rows, pairs) = (asked.memory_rows, &asked.pairs);
            rows == self.memory_rows && *pairs == self.pairs && asked.model == self.model
        };
        !self.asked.as_ref().is_some_and(same) && self.fault().is_none()
    }

    /// What to ask for now.
    pub fn ask(&mut self) -> Asked {
        let asked = Asked {
            number: fresh_version(),
            pairs: self.pairs.clone(),
            memory_rows: self.memory_rows,
            model: self.model.clone(),
        };
        self.asked = Some(asked.clone());
        asked
    }

    /// Takes a model that was trained here, or the program's own.
    pub fn take_model(&mut self, model: Option<(PathBuf, usize)>) {
        self.most_rows = model.as_ref().map_or(MOST_ROWS, |(_, rows)| *rows);
        self.memory_rows = self.most_rows;
        self.model = model.map(|(folder, _)| (folder, fresh_version()));
        self.step = 0;
        self.playing = None;
    }

    /// Forgets what was asked for, so that it is asked for again.
    pub fn ask_again(&mut self) {
        self.asked = None;
    }

    pub fn take(&mut self, benched: Benched) {
        let Some(asked) = self.asked.as_ref().filter(|a| a.number == benched.request) else {
            return;
        };
        let shown = self.written.take().filter(|w| w.of.number == asked.number);
        let mut written = shown.unwrap_or_else(|| Written {
            of: asked.clone(),
            stages: Vec::new(),
            seconds: Vec::new(),
        });
        written.stages.push(benched.stage);
        written.seconds.push(benched.seconds);
        self.written = Some(written);
    }

    /// As many pairs; new ones are drawn.
    pub fn set_count(&mut self, count: usize) {
        let count = count.clamp(1, MOST_PAIRS);
        self.pairs.truncate(count);
        while self.pairs.len() < count {
            self.add();
        }
    }

    /// Adds a pair with a key that is not there yet.
    pub fn add(&mut self) {
        if self.pairs.len() >= MOST_PAIRS {
            return;
        }
        self.seed += 1;
        let drawn = draw(MOST_PAIRS, self.seed);
        let is_new = |pair: &Pair| self.pairs.iter().all(|other| other.key != pair.key);
        self.pairs.extend(drawn.into_iter().find(is_new));
    }

    /// Draws as many other pairs.
    pub fn draw(&mut self) {
        self.seed += 1;
        self.pairs = draw(self.pairs.len(), self.seed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn benched(request: u64, step: usize) -> Benched {
        Benched {
            request,
            stage: Stage {
                step,
                context: Vec::new(),
                loss: 0.0,
                answers: Vec::new(),
                memory: Vec::new(),
            },
            seconds: 0.01,
        }
    }

    #[test]
    fn stages_of_other_pairs_are_not_mixed() {
        let mut bench = BenchState::default();
        assert!(bench.is_fresh());
        let first = bench.ask();
        assert!(!bench.is_fresh());
        bench.take(benched(first.number, 0));
        bench.take(benched(first.number, 1));
        bench.draw();
        assert!(bench.is_fresh());
        let second = bench.ask();
        // The first pairs' stages stay until there are others; what still comes of them is dropped.
        bench.take(benched(first.number, 2));
        let stages = |bench: &BenchState| bench.written.as_ref().map_or(0, |w| w.stages.len());
        assert_eq!(stages(&bench), 2);
        bench.take(benched(second.number, 0));
        assert_eq!(stages(&bench), 1);
        assert_eq!(bench.written.as_ref().map(|w| &w.of), Some(&second));
    }

    #[test]
    fn pairs_are_added_and_taken_away() {
        let mut bench = BenchState::default();
        let first = bench.pairs.clone();
        bench.set_count(200);
        assert_eq!((bench.pairs.len(), bench.fault()), (MOST_PAIRS, None));
        assert_eq!(bench.pairs[..8], first);
        bench.set_count(0);
        assert_eq!(bench.pairs, first[..1]);
        bench.pairs[0].key = "?".to_owned();
        assert!(bench.fault().is_some() && !bench.is_fresh());
    }
}
