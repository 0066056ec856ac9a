//! A run that trains a model to be written to, as it goes.

use inscribe::train::event::{Event, Step, TestRow, Tested};
use inscribe::train::run::{Limits, Trainer};
use inscribe::train::settings::{Stage, TrainSettings};
use inscribe::train::task::Task;
use inscribe::words;

use super::lines::{Lines, left};
use crate::cli::Context;

/// Columns of the curve.
const COLUMNS: usize = 60;
/// Places of an answer that are told one by one.
const MOST_PLACES: usize = 6;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What is shown of a run.
pub struct Shown {
    lines: Lines,
    settings: TrainSettings,
    /// The stages in words.
    stages: Vec<String>,
    limits: Limits,
    /// Exact shares of all steps of this sitting.
    exact: Vec<f32>,
    last: Option<Step>,
    /// Steps and seconds at the beginning of this sitting.
    from: (u64, f64),
}

impl Shown {
    pub fn new(app: &Context, limits: Limits) -> Shown {
        Shown {
            lines: Lines::new(app),
            settings: TrainSettings::default(),
            stages: Vec::new(),
            limits,
            exact: Vec::new(),
            last: None,
            from: (0, 0.0),
        }
    }

    /// Says what is trained.
    pub fn begin(&mut self, trainer: &Trainer) {
        self.settings = trainer.settings.clone();
        let stages = self.settings.stages.iter();
        self.stages = stages
            .map(|stage| told_stage(stage, trainer.task()))
            .collect();
        self.from = (trainer.progress.step, trainer.progress.seconds);
        let parameters = trainer
            .net
            .layout
            .entries
            .iter()
            .map(|e| e.range.len())
            .sum();
        let base = self.settings.base.as_ref();
        let beside = base.map_or_else(String::new, |base| {
            format!(" beside {}", words::shown_line(&base.model.info.name))
        });
        self.lines.begin(&format!(
            "training {}{beside} on {} with {}",
            words::counted(parameters, "parameter"),
            self.settings.task,
            words::counted(trainer.net.memory_rows, "memory row")
        ));
    }

    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Step(step) => {
                self.exact.push(step.exact as f32);
                self.last = Some(step.clone());
                self.lines
                    .tell(|| (self.summary(step), curve(&self.exact, COLUMNS)));
            }
            Event::Advanced { step, stage } => {
                let next = self.stages.get(*stage).map_or("", |stage| stage);
                self.lines.line(&format!("step {step}: on to {next}"));
            }
            Event::Resumed { step } => {
                self.lines.line(&format!("going on after step {step}"));
            }
            _ => {}
        }
    }

    /// Takes what is drawn in place away, and leaves its last state.
    pub fn end(&mut self) {
        let last = self.last.take().map(|step| self.summary(&step));
        self.lines.end(last);
    }

    /// One line about a step.
    fn summary(&self, step: &Step) -> String {
        let stages = self.settings.stages.len();
        let stage = self.stages.get(step.stage).map_or("", |stage| stage);
        let (steps, seconds) = (step.step - self.from.0, step.seconds - self.from.1);
        let pace = seconds / steps.max(1) as f64;
        let (all, most) = (self.settings.steps, self.limits.seconds);
        let left = left(all, most, step.step, step.seconds, pace);
        format!(
            "step {}  {} ({} of {stages})  loss {:.3}  exact {} (running {})  {}  \
             rate {:.1e}  {:.2} s a step  {}{left}",
            step.step,
            stage,
            step.stage + 1,
            step.loss,
            percent(step.exact),
            percent(step.running),
            told_places(&step.by_place),
            step.lr,
            pace,
            words::duration(step.seconds),
        )
    }

    /// What tests found: a row for each stage, a column for each number of steps on the memory.
    pub fn table(all: &[Tested], task: &dyn Task) -> Vec<String> {
        let Some(first) = all.first() else {
            return Vec::new();
        };
        let steps = first
            .rows
            .iter()
            .map(|row| format!("{:>7}", format!("K={}", row.inner_steps)));
        let plain = all.iter().any(|tested| tested.no_memory.is_some());
        let ends = if plain {
            ["no memory", "whole text"]
        } else {
            [""; 2]
        };
        let [none, whole] = ends.map(|end| end.len() + 2 * usize::from(plain));
        let head = format!(
            "{:>12}{}{:>none$}{:>whole$}",
            "",
            steps.collect::<String>(),
            ends[0],
            ends[1]
        );
        let rows = all.iter().map(|tested| {
            let cells = tested.rows.iter().map(|row| {
                let mark = if row.inner_steps == tested.stage.inner_steps {
                    "*"
                } else {
                    ""
                };
                format!("{:>7}", format!("{:.1}{mark}", 100.0 * row.exact))
            });
            let end = |row: &Option<TestRow>| match row {
                Some(row) => format!("{:.1}", 100.0 * row.exact),
                None if plain => "–".to_owned(),
                None => String::new(),
            };
            format!(
                "{:>12}{}{:>none$}{:>whole$}",
                task.level_words(tested.stage.level),
                cells.collect::<String>(),
                end(&tested.no_memory),
                end(&tested.whole_context)
            )
        });
        let count = first.samples;
        let foot = format!(
            "exact answers in percent, {count} new contexts each, after K gradient steps on the \
             memory; * as trained"
        );
        std::iter::once(head).chain(rows).chain([foot]).collect()
    }
}

fn told_stage(stage: &Stage, task: &dyn Task) -> String {
    format!("{}, K={}", task.level_words(stage.level), stage.inner_steps)
}

/// Shares of right tokens by their place in the answer, or in all where the places are many.
fn told_places(shares: &[f64]) -> String {
    if shares.len() <= MOST_PLACES {
        let places: Vec<String> = shares.iter().map(|p| percent(*p)).collect();
        return format!("by place {}", places.join(" "));
    }
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    format!("tokens {}", percent(mean))
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
