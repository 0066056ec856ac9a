//! What a person should know of a run before it is over.

use std::time::{Duration, Instant};

use inscribe::words;
use inscribe::write::event::{Event, Phase};
use inscribe::write::forecast::{Extent, Forecast, Speeds};
use inscribe::write::record::RunRecord;
use inscribe::write::settings::WriteSettings;

/// How long a run will take, told once where it takes long or where nothing else shows it, and remarks
/// on how the steps were shared out.
pub struct Outlook {
    settings: WriteSettings,
    extent: Extent,
    /// Whether nothing but lines shows the run.
    in_lines: bool,
    /// When the part that is read now was begun.
    began: Instant,
    expected: Option<f64>,
    told: bool,
    record: RunRecord,
    remarked: bool,
}

impl Outlook {
    /// Time for which a reading is watched before it is judged, unless it ends before.
    const WATCHED: Duration = Duration::from_secs(2);
    /// A run of so many seconds is told of where nothing else shows it.
    const NOT_SHORT: f64 = 10.0;
    /// A run of so many seconds is warned of.
    const LONG: f64 = 3600.0;

    pub fn new(settings: WriteSettings, extent: Extent, in_lines: bool) -> Outlook {
        Outlook {
            settings,
            extent,
            in_lines,
            began: Instant::now(),
            expected: None,
            told: false,
            record: RunRecord::default(),
            remarked: false,
        }
    }

    /// Seconds that the whole run is expected to take, once its reading has shown how fast that goes.
    pub fn expected(&self) -> Option<f64> {
        self.expected
    }

    /// The run as its events told it.
    pub fn record(self) -> RunRecord {
        self.record
    }

    /// What to say now that `event` came.
    pub fn event(&mut self, event: &Event, now: Instant) -> Vec<String> {
        if !matches!(event, Event::Progress { .. }) {
            self.record.fold(event);
        }
        match event {
            Event::SegmentStarted { .. } => {
                self.began = now;
                Vec::new()
            }
            Event::Progress {
                phase: Phase::Prefill,
                done,
                total,
            } => self.reading(*done, *total, now).into_iter().collect(),
            Event::LocallyRead { .. } => {
                self.expected = self.forecast(None).map(|(time, _)| time.total());
                Vec::new()
            }
            Event::Allocated { .. } if !self.remarked => {
                let remarks = self.record.remarks();
                self.remarked = !remarks.is_empty();
                remarks
            }
            _ => Vec::new(),
        }
    }

    fn reading(&mut self, done: usize, total: usize, now: Instant) -> Option<String> {
        let passed = now.duration_since(self.began);
        if done == 0 || passed.is_zero() {
            return None;
        }
        let (time, rate) = self.forecast(Some(done as f64 / passed.as_secs_f64()))?;
        self.expected = Some(time.total());
        if self.told || (passed < Self::WATCHED && done < total) {
            return None;
        }
        self.told = true;
        let (read, all) = (time.read + time.local, time.total());
        let (read, in_all) = (words::rough_duration(read), words::rough_duration(all));
        if all > Self::LONG {
            let name = self
                .record
                .document
                .as_ref()
                .map_or("", |d| d.name.as_str());
            return Some(format!(
                "{name}: {} at {} a second take about {read} to read and {in_all} in all; Ctrl-C stops, and \
                 a part of the document takes less",
                words::counted(self.extent.tokens, "token"),
                words::count(rate.round() as usize)
            ));
        }
        (self.in_lines && all > Self::NOT_SHORT)
            .then(|| format!("reading, about {read}; about {in_all} in all"))
    }

    /// The time of the whole run, and the speed that it is reckoned from.
    fn forecast(&self, rate: Option<f64>) -> Option<(Forecast, f64)> {
        let rate = self.record.prefill_rate().or(rate)?;
        let speeds = Speeds::from_reading(rate).corrected(&self.record);
        Some((Forecast::of(&self.settings, self.extent, speeds), rate))
    }
}

#[cfg(test)]
mod tests {
    use inscribe::write::event::{ChunkSteps, ChunkUtility};
    use inscribe::write::synthetic::{Invented, events};

    use super::*;

    fn outlook(tokens: usize, parts: usize, in_lines: bool) -> Outlook {
        let extent = Extent {
            tokens,
            parts,
            kept_parts: parts,
        };
        let mut outlook = Outlook::new(WriteSettings::default(), extent, in_lines);
        let invented = Invented {
            name: "library.txt".to_owned(),
            ..Invented::default()
        };
        let started = events(&invented).swap_remove(0);
        assert!(outlook.event(&started, Instant::now()).is_empty());
        outlook
    }

    /// What is told of a document that is read at 200 tokens a second, after so many tokens.
    fn told(tokens: usize, in_lines: bool, done: usize) -> String {
        let mut outlook = outlook(tokens, tokens.div_ceil(8000), in_lines);
        let began = Instant::now();
        let part = Event::SegmentStarted {
            segment: 0,
            tokens: tokens.min(8000),
            from: 0,
            lengths: Vec::new(),
        };
        assert!(outlook.event(&part, began).is_empty());
        let after = |done: usize| began + Duration::from_millis(done as u64 * 5);
        let progress = |done| Event::Progress {
            phase: Phase::Prefill,
            done,
            total: tokens.min(8000),
        };
        let said = outlook.event(&progress(done), after(done));
        assert!(
            outlook
                .expected()
                .is_some_and(|all| all > tokens as f64 / 200.0)
        );
        let again = outlook.event(&progress(done + 1000), after(done + 1000));
        assert!(said.is_empty() || again.is_empty(), "it is told once");
        said.join("\n")
    }

    #[test]
    fn a_run_of_hours_is_told_after_seconds() {
        assert_eq!(told(15_000_000, false, 256), "", "too early to tell");
        for in_lines in [false, true] {
            let hours = told(15_000_000, in_lines, 512);
            assert!(
                hours.contains("library.txt: 15,000,000 tokens at 200 a second"),
                "{hours}"
            );
            assert!(hours.contains(" h in all"), "{hours}");
        }
        assert_eq!(told(6_000, false, 512), "", "the view shows it");
    }

    #[test]
    fn lines_tell_how_long_it_will_take() {
        let minutes = told(6_000, true, 512);
        assert!(minutes.starts_with("reading, about "), "{minutes}");
        assert!(minutes.ends_with(" in all"), "{minutes}");
    }

    #[test]
    fn what_a_budget_leaves_out_is_told_once() {
        let two_parts = Invented {
            tokens: 2000,
            context: 1000,
            budget: 1,
            ..Invented::default()
        };
        let mut outlook = outlook(2000, 2, false);
        let mut told = |event| outlook.event(&event, Instant::now());
        let started = events(&two_parts).swap_remove(0);
        assert!(matches!(&started, Event::Started(s) if s.segments == 2));
        told(started);
        for segment in [0, 1] {
            let chunks = vec![ChunkUtility {
                tokens: 0..1000,
                text: 0..4000,
                title: None,
                utility: 0.5,
                signed: 0.5,
                surprisal: 3.0,
            }];
            assert!(told(Event::Utility { segment, chunks }).is_empty());
        }
        let allocated = |segment, utility| Event::Allocated {
            segment,
            steps: vec![ChunkSteps {
                coverage: 0,
                utility,
            }],
        };
        assert_eq!(told(allocated(0, 1)).len(), 1);
        assert!(told(allocated(1, 0)).is_empty());
    }
}
