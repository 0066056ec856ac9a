//! A run's events on a clock.

use crate::vocabulary::fresh_version;
use inscribe::write::event::{Event, Phase};
use inscribe::write::record::RunRecord;

/// A stretch of the run that one phase takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    pub phase: Phase,
    pub from_secs: f64,
    pub to_secs: f64,
}

pub struct Player {
    pub name: String,
    events: Vec<Event>,
    /// Time of each event, in seconds from the start of the run; never falling.
    comes_at: Vec<f64>,
    stretches: Vec<Stretch>,
    clock: f64,
    /// Index of the first event that has not come yet.
    next: usize,
    playing: bool,
    speed: f64,
    record: RunRecord,
    version: u64,
}

impl Player {
    pub fn new(name: String, events: Vec<Event>) -> Player {
        let mut at = 0.0;
        let mut comes_at = Vec::with_capacity(events.len());
        let mut stretches: Vec<Stretch> = Vec::new();
        for event in &events {
            let (phase, secs) = work(event);
            let from = at;
            at += secs;
            comes_at.push(at);
            if let Some(phase) = phase.filter(|_| secs > 0.0) {
                match stretches.last_mut() {
                    Some(last) if last.phase == phase => last.to_secs = at,
                    _ => stretches.push(Stretch {
                        phase,
                        from_secs: from,
                        to_secs: at,
                    }),
                }
            }
        }
        let mut player = Player {
            name,
            events,
            comes_at,
            stretches,
            clock: 0.0,
            next: 0,
            playing: false,
            speed: 8.0,
            record: RunRecord::default(),
            version: fresh_version(),
        };
        player.catch_up();
        player
    }

    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// Changes whenever the record does; no two players share one.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn clock(&self) -> f64 {
        self.clock
    }

    /// Seconds that the run took.
    pub fn length(&self) -> f64 {
        self.comes_at.last().copied().unwrap_or(0.0)
    }

    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    pub fn is_playing(&self) -> bool {
        self.playing
    }

    pub fn at_end(&self) -> bool {
        self.next >= self.events.len()
    }

    /// Speed of the replay, in seconds of the run for each second.
    pub fn speed(&self) -> f64 {
        self.speed
    }

    pub fn set_speed(&mut self, speed: f64) {
        self.speed = speed.clamp(0.1, 10_000.0);
    }

    /// Plays on; from the start when it has come to its end.
    pub fn play(&mut self) {
        if self.at_end() {
            self.seek(0.0);
        }
        self.playing = !self.at_end();
    }

    pub fn pause(&mut self) {
        self.playing = false;
    }

    pub fn toggle(&mut self) {
        if self.playing {
            self.pause()
        } else {
            self.play()
        }
    }

    /// Lets this much time pass outside the run.
    pub fn advance(&mut self, secs: f64) {
        if !self.playing {
            return;
        }
        self.clock = (self.clock + secs.max(0.0) * self.speed).min(self.length());
        self.catch_up();
        if self.at_end() {
            self.playing = false;
        }
    }

    /// Goes to a moment of the run.
    pub fn seek(&mut self, secs: f64) {
        let secs = if secs.is_finite() { secs } else { 0.0 };
        let to = secs.clamp(0.0, self.length());
        if to < self.clock {
            self.record = RunRecord::default();
            self.next = 0;
            self.version = fresh_version();
        }
        self.clock = to;
        self.catch_up();
    }

    /// To the end of the gradient step after this moment.
    pub fn step_on(&mut self) {
        self.pause();
        let later =
            |(at, event): (&f64, &Event)| (*at > self.clock && is_step(event)).then_some(*at);
        let to = self.comes_at.iter().zip(&self.events).find_map(later);
        self.seek(to.unwrap_or(self.length()));
    }

    /// To the end of the step before this moment.
    pub fn step_back(&mut self) {
        self.pause();
        let earlier =
            |(at, event): (&f64, &Event)| (*at < self.clock && is_step(event)).then_some(*at);
        let to = self
            .comes_at
            .iter()
            .zip(&self.events)
            .rev()
            .find_map(earlier);
        self.seek(to.unwrap_or(0.0));
    }

    fn catch_up(&mut self) {
        let before = self.next;
        while let (Some(at), Some(event)) =
            (self.comes_at.get(self.next), self.events.get(self.next))
        {
            if *at > self.clock {
                break;
            }
            self.record.fold(event);
            self.next += 1;
        }
        if self.next != before {
            self.version = fresh_version();
        }
        self.tell_progress();
    }

    /// How far the phase has come that ends with the next event, as the engine would report.
    fn tell_progress(&mut self) {
        let ahead = self.events.get(self.next..).unwrap_or_default();
        let Some((at, event)) = ahead.iter().enumerate().find(|(_, e)| work(e).1 > 0.0) else {
            return;
        };
        let (Some(phase), secs) = work(event) else {
            return;
        };
        let total = match event {
            Event::Prefilled { tokens, .. } => *tokens,
            Event::LocallyRead { surprisal, .. } => surprisal.len(),
            Event::Evaluated(evaluated) => evaluated.surprisal.len(),
            // Steps need no progress: each is an event.
            _ => return,
        };
        let end = self
            .comes_at
            .get(self.next + at)
            .copied()
            .unwrap_or(self.clock);
        let part = (1.0 - (end - self.clock) / secs).clamp(0.0, 1.0);
        let done = (total as f64 * part) as usize;
        self.record.fold(&Event::Progress { phase, done, total });
    }
}

fn is_step(event: &Event) -> bool {
    matches!(event, Event::Step(_))
}

/// What an event ends, and how long that took.
fn work(event: &Event) -> (Option<Phase>, f64) {
    let (phase, secs) = match event {
        Event::Prefilled { seconds, .. } => (Phase::Prefill, *seconds),
        Event::LocallyRead { seconds, .. } => (Phase::Local, *seconds),
        Event::Evaluated(evaluated) => (Phase::Evaluate, evaluated.seconds),
        Event::Step(step) => (Phase::Steps, step.seconds),
        _ => return (None, 0.0),
    };
    if secs.is_finite() && secs > 0.0 {
        (Some(phase), secs)
    } else {
        (Some(phase), 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inscribe::write::record::Status;
    use inscribe::write::synthetic::{Invented, events};

    fn player() -> Player {
        Player::new("invented".to_owned(), events(&Invented::default()))
    }

    #[test]
    fn it_ends_in_the_record_of_its_events() {
        let mut player = player();
        assert!(player.record().document.is_some());
        assert_eq!(player.record().steps.len(), 0);
        player.set_speed(16.0);
        player.play();
        let mut seen = vec![0];
        while player.is_playing() {
            player.advance(0.1);
            seen.push(player.record().steps.len());
        }
        assert!(seen.windows(2).all(|w| w[0] <= w[1]));
        assert!(seen.len() > 10);
        let whole = RunRecord::from_events(&events(&Invented::default()));
        assert_eq!(player.record(), &whole);
        assert_eq!(whole.status, Status::Done);
    }

    #[test]
    fn seeking_back_and_on_gives_the_same_record() {
        let mut player = player();
        player.seek(player.length() * 0.6);
        let (steps, version) = (player.record().steps.len(), player.version());
        assert!(steps > 0 && steps < 48, "{steps}");
        let record = player.record().clone();
        player.seek(player.length());
        player.seek(player.length() * 0.6);
        assert_eq!(player.record(), &record);
        assert_ne!(player.version(), version);
        player.seek(f64::NAN);
        assert_eq!((player.clock(), player.record().steps.len()), (0.0, 0));
    }

    #[test]
    fn steps_are_walked_one_by_one() {
        let mut player = player();
        for expected in 1..=5 {
            player.step_on();
            assert_eq!(player.record().steps.len(), expected);
        }
        player.step_back();
        assert_eq!(player.record().steps.len(), 4);
        assert!(!player.is_playing());
    }

    #[test]
    fn reading_shows_its_progress() {
        let mut player = player();
        player.seek(player.stretches()[0].to_secs / 2.0);
        let progress = player.record().progress.unwrap();
        assert_eq!(progress.phase, Phase::Prefill);
        assert!(progress.done > 0 && progress.done < progress.total);
    }

    #[test]
    fn broken_times_do_no_harm() {
        let mut events = events(&Invented::default());
        for event in &mut events {
            if let Event::Step(step) = event {
                step.seconds = f64::NAN;
            }
        }
        let mut player = Player::new("broken".to_owned(), events);
        player.seek(f64::INFINITY);
        player.seek(player.length());
        assert!(player.at_end());
        let mut nothing = Player::new("nothing".to_owned(), Vec::new());
        nothing.play();
        nothing.step_on();
        assert!(!nothing.is_playing());
    }
}
