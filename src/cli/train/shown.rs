//! A training run as it goes: some lines that are drawn again in place on a terminal, a line now
//! and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use inscribe::train::event::{Event, Step, Tested};
use inscribe::train::run::{Limits, Trainer};
use inscribe::train::settings::{Stage, TrainSettings};
use inscribe::words;

use crate::cli::Context;
use crate::cli::out::errln;

/// Time between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);
/// Time between two drawings on a terminal.
const REDRAW: Duration = Duration::from_millis(250);
/// Columns of the curve.
const CURVE: usize = 60;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What is shown of a run.
pub struct Shown {
    quiet: bool,
    bar: Option<ProgressBar>,
    settings: TrainSettings,
    limits: Limits,
    /// Exact shares of all steps of this sitting.
    exact: Vec<f32>,
    last: Option<Step>,
    told: Option<Instant>,
    /// Steps and seconds at the beginning of this sitting.
    from: (u64, f64),
}

impl Shown {
    pub fn new(app: &Context, limits: Limits) -> Shown {
        Shown {
            quiet: app.global.quiet,
            bar: None,
            settings: TrainSettings::default(),
            limits,
            exact: Vec::new(),
            last: None,
            told: None,
            from: (0, 0.0),
        }
    }

    /// Says what is trained.
    pub fn begin(&mut self, trainer: &Trainer) {
        self.settings = trainer.settings.clone();
        self.from = (trainer.progress.step, trainer.progress.seconds);
        if self.quiet {
            return;
        }
        let parameters = trainer
            .net
            .layout
            .entries
            .iter()
            .map(|e| e.range.len())
            .sum();
        errln!(
            "training {} on {} with {}",
            words::counted(parameters, "parameter"),
            self.settings.task,
            words::counted(trainer.net.memory_rows, "memory row")
        );
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            self.bar = Some(bar);
        }
    }

    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Step(step) => {
                self.exact.push(step.exact as f32);
                let due = if self.bar.is_some() { REDRAW } else { EVERY };
                self.last = Some(step.clone());
                if self.told.is_none_or(|told| told.elapsed() >= due) {
                    self.tell(step);
                }
            }
            Event::Advanced { step, stage } if !self.quiet => {
                let next = self.settings.stages.get(*stage).map(told_stage);
                self.line(&format!("step {step}: on to {}", next.unwrap_or_default()));
            }
            Event::Resumed { step } if !self.quiet => {
                self.line(&format!("going on after step {step}"))
            }
            _ => {}
        }
    }

    /// Takes what is drawn in place away, and leaves its last state.
    pub fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if let Some(step) = self.last.take().filter(|_| !self.quiet) {
            errln!("{}", self.summary(&step));
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| errln!("{text}")),
            None => errln!("{text}"),
        }
    }

    fn tell(&mut self, step: &Step) {
        self.told = Some(Instant::now());
        if self.quiet {
            return;
        }
        let summary = self.summary(step);
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!("{summary}\n{}", curve(&self.exact, CURVE)));
                bar.tick();
            }
            None => errln!("{summary}"),
        }
    }

    /// One line about a step.
    fn summary(&self, step: &Step) -> String {
        let stages = self.settings.stages.len();
        let stage = self.settings.stages.get(step.stage).map(told_stage);
        let places: Vec<String> = step.by_place.iter().map(|p| percent(*p)).collect();
        let (steps, seconds) = (step.step - self.from.0, step.seconds - self.from.1);
        let pace = seconds / steps.max(1) as f64;
        let left = self.left(step, pace);
        format!(
            "step {}  {} ({} of {stages})  loss {:.3}  exact {} (running {})  characters {}  \
             rate {:.1e}  {:.2} s a step  {}{left}",
            step.step,
            stage.unwrap_or_default(),
            step.stage + 1,
            step.loss,
            percent(step.exact),
            percent(step.running),
            places.join(" "),
            step.lr,
            pace,
            words::duration(step.seconds),
        )
    }

    fn left(&self, step: &Step, pace: f64) -> String {
        let by_steps = self
            .settings
            .steps
            .map(|all| all.saturating_sub(step.step) as f64 * pace);
        let by_time = self.limits.seconds.map(|all| (all - step.seconds).max(0.0));
        let left = match (by_steps, by_time) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        left.map_or(String::new(), |left| {
            format!(", at most {} left", words::rough_duration(left))
        })
    }

    /// What tests found: a row for each stage, a column for each number of steps on the memory.
    pub fn table(all: &[Tested]) -> Vec<String> {
        let Some(first) = all.first() else {
            return Vec::new();
        };
        let steps = first
            .rows
            .iter()
            .map(|row| format!("{:>7}", format!("K={}", row.inner_steps)));
        let head = format!("{:>8}{}", "pairs", steps.collect::<String>());
        let rows = all.iter().map(|tested| {
            let cells = tested.rows.iter().map(|row| {
                let mark = if row.inner_steps == tested.stage.inner_steps {
                    "*"
                } else {
                    ""
                };
                format!("{:>7}", format!("{:.1}{mark}", 100.0 * row.exact))
            });
            format!("{:>8}{}", tested.stage.level, cells.collect::<String>())
        });
        let count = first.samples;
        let foot = format!(
            "exact answers in percent, {count} new contexts each, after K gradient steps on the \
             memory; * as trained"
        );
        std::iter::once(head).chain(rows).chain([foot]).collect()
    }
}

fn told_stage(stage: &Stage) -> String {
    format!("{} pairs, K={}", stage.level, stage.inner_steps)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Shares from the first to the last as blocks, some of them to a column.
fn curve(shares: &[f32], columns: usize) -> String {
    let each = shares.len().div_ceil(columns).max(1);
    let blocks = shares.chunks(each).map(|some| {
        let mean = some.iter().sum::<f32>() / some.len() as f32;
        let level = (mean.clamp(0.0, 1.0) * (LEVELS.len() - 1) as f32).round() as usize;
        LEVELS[level.min(LEVELS.len() - 1)]
    });
    format!("exact {}", blocks.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_has_a_block_for_each_part() {
        assert_eq!(curve(&[0.0, 1.0], 60), "exact ▁█");
        let rising: Vec<f32> = (0..600).map(|i| i as f32 / 599.0).collect();
        let drawn = curve(&rising, 60);
        assert_eq!(drawn.chars().filter(|c| LEVELS.contains(c)).count(), 60);
        assert!(drawn.starts_with("exact ▁") && drawn.ends_with('█'));
    }
}
