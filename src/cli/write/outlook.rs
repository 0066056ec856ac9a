//! What a person should know of a run before it is over.

use std::time::{Duration, Instant};

use inscribe::words;
use inscribe::write::event::{Event, Phase};
use inscribe::write::record::RunRecord;

/// Remarks early on a document that takes very long to read, and on how the steps were shared out.
#[derive(Default)]
pub struct Outlook {
    document: String,
    tokens: usize,
    from: Option<(Instant, usize)>,
    told: bool,
    /// The record of the events that remarks are about.
    record: RunRecord,
    remarked: bool,
}

impl Outlook {
    /// Time for which a reading is watched before it is judged.
    const WATCHED: Duration = Duration::from_secs(5);
    /// Time within which a reading may end without a remark.
    const LONG_SECS: f64 = 900.0;

    /// What to say now that `event` came.
    pub fn event(&mut self, event: &Event, now: Instant) -> Vec<String> {
        match event {
            Event::Started(_)
            | Event::SegmentStarted { .. }
            | Event::Utility { .. }
            | Event::Allocated { .. } => self.record.fold(event),
            _ => {}
        }
        match event {
            Event::Allocated { .. } if !self.remarked => {
                let remarks = self.record.remarks();
                self.remarked = !remarks.is_empty();
                remarks
            }
            _ => self.reading(event, now).into_iter().collect(),
        }
    }

    fn reading(&mut self, event: &Event, now: Instant) -> Option<String> {
        match event {
            Event::Started(started) => {
                self.document.clone_from(&started.document.name);
                self.tokens = started.document.tokens;
                None
            }
            Event::Progress {
                phase: Phase::Prefill,
                done,
                ..
            } if !self.told => {
                let (began, from) = *self.from.get_or_insert((now, *done));
                let passed = now.duration_since(began);
                let read = done.saturating_sub(from);
                if passed < Self::WATCHED || read == 0 {
                    return None;
                }
                self.told = true;
                let rate = read as f64 / passed.as_secs_f64();
                let secs = self.tokens as f64 / rate;
                (secs > Self::LONG_SECS).then(|| {
                    format!(
                        "{}: {} at {rate:.0} a second take {} or more to read before the \
                         first step; Ctrl-C stops, and a part of the document takes less",
                        self.document,
                        words::counted(self.tokens, "token"),
                        words::duration(secs)
                    )
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use inscribe::write::event::{ChunkSteps, ChunkUtility};
    use inscribe::write::synthetic::{Invented, events};

    use super::*;

    #[test]
    fn a_reading_of_hours_is_told_after_seconds() {
        let reading = |tokens: usize, done: usize, seconds: u64| {
            let mut outlook = Outlook {
                document: "library.txt".to_owned(),
                tokens,
                ..Outlook::default()
            };
            let progress = |done| Event::Progress {
                phase: Phase::Prefill,
                done,
                total: 8000,
            };
            let began = Instant::now();
            assert!(outlook.event(&progress(0), began).is_empty());
            let told = outlook.event(&progress(done), began + Duration::from_secs(seconds));
            if !told.is_empty() {
                let later = began + Duration::from_secs(seconds + 60);
                let again = outlook.event(&progress(done + 1), later);
                assert!(again.is_empty(), "it is told once");
            }
            told
        };
        assert!(reading(15_000_000, 400, 2).is_empty(), "too early to tell");
        let told = reading(15_000_000, 1200, 6).join("");
        assert!(told.contains("15,000,000 tokens at 200 a second"), "{told}");
        assert!(reading(6_000, 1200, 6).is_empty());
    }

    #[test]
    fn what_a_budget_leaves_out_is_told_once() {
        let two_parts = Invented {
            tokens: 2000,
            context: 1000,
            budget: 1,
            ..Invented::default()
        };
        let mut outlook = Outlook::default();
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
