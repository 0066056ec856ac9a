//! Lines that say how a run goes: drawn again in place on a terminal, one now and then elsewhere.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use inscribe::words;

use crate::cli::Context;
use crate::cli::out::errln;

/// Time between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);
/// Time between two drawings on a terminal.
const REDRAW: Duration = Duration::from_millis(250);

/// What is said of a run on standard error.
pub struct Lines {
    quiet: bool,
    bar: Option<ProgressBar>,
    told: Cell<Option<Instant>>,
}

impl Lines {
    pub fn new(app: &Context) -> Lines {
        Lines {
            quiet: app.global.quiet,
            bar: None,
            told: Cell::new(None),
        }
    }

    /// Says what is trained, and takes a place to draw in where there is a terminal.
    pub fn begin(&mut self, text: &str) {
        if self.quiet {
            return;
        }
        errln!("{text}");
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            self.bar = Some(bar);
        }
    }

    /// Takes what is drawn in place away and leaves `last`.
    pub fn end(&mut self, last: Option<String>) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if let Some(last) = last.filter(|_| !self.quiet) {
            errln!("{last}");
        }
    }

    /// A line that stays.
    pub fn line(&self, text: &str) {
        match &self.bar {
            _ if self.quiet => {}
            Some(bar) => bar.suspend(|| errln!("{text}")),
            None => errln!("{text}"),
        }
    }

    /// How it goes, if it is time to say so: a summary and, on a terminal, `more` below it.
    pub fn tell(&self, told: impl FnOnce() -> (String, String)) {
        let due = if self.bar.is_some() { REDRAW } else { EVERY };
        if self.quiet || self.told.get().is_some_and(|told| told.elapsed() < due) {
            return;
        }
        self.told.set(Some(Instant::now()));
        let (summary, more) = told();
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!("{summary}\n{more}"));
                bar.tick();
            }
            None => errln!("{summary}"),
        }
    }
}

/// How much is left of a run, by the steps or the seconds that it is to take.
pub fn left(steps: Option<u64>, seconds: Option<f64>, step: u64, spent: f64, pace: f64) -> String {
    let by_steps = steps.map(|all| all.saturating_sub(step) as f64 * pace);
    let by_time = seconds.map(|all| (all - spent).max(0.0));
    let left = match (by_steps, by_time) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    left.map_or(String::new(), |left| {
        format!(", at most {} left", words::rough_duration(left))
    })
}
