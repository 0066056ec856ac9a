//! How long a run will take: before it begins, from the speeds that a model has shown on a device, and
//! while it goes on.

use serde::{Deserialize, Serialize};

use super::record::RunRecord;
use super::settings::WriteSettings;

/// Speeds of a model on a device, in tokens a second; 0 where one was not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Speeds {
    /// Reading a document as a whole.
    pub prefill: f64,
    /// Reading it with nearby context only.
    pub local: f64,
    /// Learning in steps.
    pub step: f64,
}

impl Speeds {
    /// The speeds of a model that was only seen to read `prefill` tokens a second: the local pass reads
    /// every token twice, and a step goes forwards once and back for about twice as long.
    pub fn from_reading(prefill: f64) -> Speeds {
        Speeds {
            prefill,
            local: prefill / 2.0,
            step: prefill / 3.0,
        }
    }

    /// The same, with what a run has shown in the place of what is only derived.
    pub fn corrected(self, run: &RunRecord) -> Speeds {
        let read = run.segments.iter().filter(|s| s.local_secs > 0.0);
        let (tokens, secs) = read.fold((0, 0.0), |(t, s), part| {
            (t + part.tokens, s + part.local_secs)
        });
        Speeds {
            prefill: run.prefill_rate().unwrap_or(self.prefill),
            local: if secs > 0.0 {
                tokens as f64 / secs
            } else {
                self.local
            },
            step: run.mean_step_rate().unwrap_or(self.step),
        }
    }
}

/// What is to be written: a document of so many tokens, and the parts it is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Tokens of the document.
    pub tokens: usize,
    /// Number of parts.
    pub parts: usize,
    /// Number of parts whose keys and values are kept from their reading to their steps.
    pub kept_parts: usize,
}

/// Seconds that a run will take, by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Forecast {
    /// Reading the whole document.
    pub read: f64,
    /// Reading it with nearby context only.
    pub local: f64,
    /// Reading parts again whose keys and values could not be kept.
    pub again: f64,
    /// Gradient steps.
    pub steps: f64,
    /// Measuring losses.
    pub evaluate: f64,
}

impl Forecast {
    /// The time of a run of this extent with these settings at these speeds. Parts are taken to have
    /// steps as long as there are steps to give.
    pub fn of(settings: &WriteSettings, extent: Extent, speeds: Speeds) -> Forecast {
        let reads = settings.method.reads_document();
        let parts = extent.parts.max(1);
        let with_steps = if reads {
            parts.min(settings.budget)
        } else {
            parts
        };
        let tokens = extent.tokens as f64;
        let of_parts = |count: usize| tokens * count as f64 / parts as f64;
        let whole = tokens / speeds.prefill;
        let (mut local, mut again) = (0.0, 0.0);
        if settings.allocate.needs_utility() {
            local = tokens / speeds.local;
            if reads {
                again = of_parts(with_steps.saturating_sub(extent.kept_parts)) / speeds.prefill;
            }
        }
        let learned = settings.budget as f64 * (settings.batch * settings.span) as f64;
        let measured = if reads {
            usize::from(settings.evaluate)
        } else {
            // Before the first step in any case.
            1 + usize::from(settings.evaluate)
        };
        Forecast {
            read: whole,
            local,
            again,
            steps: learned / speeds.step,
            evaluate: measured as f64 * of_parts(with_steps) / speeds.prefill,
        }
    }

    /// All phases together, in seconds.
    pub fn total(&self) -> f64 {
        self.read + self.local + self.again + self.steps + self.evaluate
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Allocate;
    use super::*;

    const SPEEDS: Speeds = Speeds {
        prefill: 100.0,
        local: 50.0,
        step: 32.0,
    };

    fn forecast(change: impl FnOnce(&mut WriteSettings), parts: usize, kept: usize) -> Forecast {
        let mut settings = WriteSettings {
            budget: 8,
            batch: 4,
            span: 8,
            ..WriteSettings::default()
        };
        change(&mut settings);
        let extent = Extent {
            tokens: 10_000,
            parts,
            kept_parts: kept,
        };
        Forecast::of(&settings, extent, SPEEDS)
    }

    #[test]
    fn every_phase_has_its_time() {
        let whole = forecast(|_| {}, 1, 1);
        let expected = Forecast {
            read: 100.0,
            local: 200.0,
            again: 0.0,
            steps: 8.0,
            evaluate: 100.0,
        };
        assert_eq!(whole, expected);
        assert_eq!(forecast(|s| s.evaluate = false, 1, 1).total(), 308.0);
        assert_eq!(
            forecast(|s| s.allocate = Allocate::Uniform, 1, 1).local,
            0.0
        );
    }

    #[test]
    fn parts_that_cannot_be_kept_are_read_again_if_they_get_steps() {
        assert_eq!(forecast(|_| {}, 10, 6).again, 20.0);
        let few = forecast(|s| s.budget = 2, 10, 6);
        assert_eq!((few.again, few.evaluate), (0.0, 20.0));
    }
}
