//! Times that go on between the reports of a run: how long the phase still takes, and how fast it
//! is.

use std::time::Instant;

use inscribe::write::event::Phase;
use inscribe::write::record::{PhaseProgress, RunRecord, Status};

/// A rate is told from this part of a phase on: before, it says nothing yet.
const TELLING: f64 = 0.04;

/// When the phase that goes on began, and when it was heard of last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    phase: Option<(Phase, usize)>,
    /// The time, and the part that was done by then.
    began: Option<(Instant, f64)>,
    heard: Option<Instant>,
}

impl Clock {
    /// Takes in that the record has changed.
    pub fn hear(&mut self, record: &RunRecord, now: Instant) {
        self.heard = Some(now);
        let phase = record.progress.map(|p| (p.phase, p.segment));
        if self.phase != phase {
            self.phase = phase;
            self.began = record.progress.map(|p| (now, part(p)));
        }
    }

    /// Seconds until the phase ends; of the steps, until the last loss is measured. `None` where
    /// nothing goes on or too little is known.
    pub fn seconds_left(&self, record: &RunRecord, now: Instant) -> Option<f64> {
        let heard = self.heard?;
        let progress = record
            .progress
            .filter(|_| record.status == Status::Running)?;
        let since = now.saturating_duration_since(heard).as_secs_f64();
        let own = self.own_seconds_left(progress, heard);
        let (left, unit) = match progress.phase {
            Phase::Steps | Phase::Save => {
                let left = record.seconds_left()?;
                (left, record.steps.last().map_or(left, |s| s.step.seconds))
            }
            Phase::Evaluate => {
                let left = own.or_else(|| record.seconds_left())?;
                (
                    left,
                    left / (progress.total - progress.done.min(progress.total)).max(1) as f64,
                )
            }
            Phase::Prefill | Phase::Local => (own?, f64::INFINITY),
        };
        // What is late is not counted twice.
        Some((left - since.min(unit)).max(0.0))
    }

    fn own_seconds_left(&self, progress: PhaseProgress, heard: Instant) -> Option<f64> {
        let (began, before) = self.began?;
        let done = part(progress) - before;
        let taken = heard.saturating_duration_since(began).as_secs_f64();
        (done > TELLING).then(|| taken * (1.0 - part(progress)) / done)
    }

    /// Units of work a second in the phase that goes on, of so many in all.
    pub fn rate(&self, record: &RunRecord, total: usize) -> Option<f64> {
        let (began, before) = self.began?;
        let done = part(record.progress?) - before;
        let taken = self.heard?.saturating_duration_since(began).as_secs_f64();
        (done > TELLING && taken > 0.0).then(|| done * total as f64 / taken)
    }
}

fn part(progress: PhaseProgress) -> f64 {
    (progress.done as f64 / progress.total.max(1) as f64).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use inscribe::write::event::Event;
    use inscribe::write::synthetic::{Invented, events};
    use std::time::Duration;

    fn told(phase: Phase, done: usize, total: usize) -> Event {
        Event::Progress { phase, done, total }
    }

    #[test]
    fn reading_tells_its_own_rate_and_time() {
        let mut record = RunRecord::from_events(&events(&Invented::default())[..2]);
        let (mut clock, start) = (Clock::default(), Instant::now());
        let at = |secs| start + Duration::from_secs(secs);
        record.fold(&told(Phase::Prefill, 0, 100));
        clock.hear(&record, at(0));
        assert_eq!(clock.seconds_left(&record, at(0)), None);
        record.fold(&told(Phase::Prefill, 25, 100));
        clock.hear(&record, at(10));
        assert_eq!(clock.rate(&record, 4000), Some(100.0));
        assert_eq!(clock.seconds_left(&record, at(10)), Some(30.0));
        // It goes on between the reports.
        assert_eq!(clock.seconds_left(&record, at(14)), Some(26.0));
        record.fold(&told(Phase::Local, 0, 100));
        clock.hear(&record, at(40));
        assert_eq!(
            clock.rate(&record, 4000),
            None,
            "another phase, another rate"
        );
    }

    #[test]
    fn measuring_counts_down() {
        let all = events(&Invented::default());
        let steps = all.iter().rposition(|e| matches!(e, Event::Step(_)));
        let mut record = RunRecord::from_events(&all[..=steps.expect("steps")]);
        let (mut clock, start) = (Clock::default(), Instant::now());
        // About as fast as the losses before any step were measured.
        let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
        let mut last = f64::INFINITY;
        for done in 0..10 {
            record.fold(&told(Phase::Evaluate, done, 10));
            let now = 14 * done as u64;
            clock.hear(&record, at(now));
            for later in [0, 7] {
                let left = clock.seconds_left(&record, at(now + later));
                let left = left.expect("known");
                assert!(left < last, "{left} after {last}");
                last = left;
            }
        }
        record.status = Status::Paused;
        assert_eq!(clock.seconds_left(&record, at(600)), None);
    }
}
