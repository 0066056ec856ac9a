//! A model that is trained in the window: what is asked for, and how the run goes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use inscribe::train::event::{Event, Step};
use inscribe::train::settings::{NetShape, TrainSettings, doubling};

use crate::engine::{Sample, TrainReport};

/// What can be set.
#[derive(Clone, Debug)]
pub struct TrainForm {
    pub pairs: usize,
    pub memory_rows: usize,
    pub inner_steps: usize,
    pub minutes: f64,
    /// The folder of the run; a new one beside the memories where it is empty.
    pub folder: String,
}

impl Default for TrainForm {
    fn default() -> Self {
        TrainForm {
            pairs: 4,
            memory_rows: 8,
            inner_steps: 2,
            minutes: 15.0,
            folder: String::new(),
        }
    }
}

impl TrainForm {
    pub fn settings(&self) -> TrainSettings {
        TrainSettings {
            net: NetShape {
                memory: self.memory_rows,
                ..NetShape::default()
            },
            stages: doubling(self.pairs, self.inner_steps),
            ..TrainSettings::default()
        }
    }
}

/// A step, as far as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub step: u64,
    pub exact: f64,
    pub loss: f64,
}

/// A run that goes on, or the last one.
#[derive(Clone, Debug, Default)]
pub struct TrainRun {
    pub folder: PathBuf,
    /// Minutes of this sitting.
    pub minutes: f64,
    pub settings: Option<TrainSettings>,
    pub device: String,
    pub points: Vec<Point>,
    pub last: Option<Step>,
    /// Seconds of training before this sitting.
    pub before: f64,
    /// Steps after which a stage began, and the stage.
    pub stages: Vec<(u64, usize)>,
    /// The last step that is safe on disk.
    pub kept: Option<u64>,
    pub sample: Option<Sample>,
    pub done: bool,
}

impl TrainRun {
    pub fn hear(&mut self, event: Event) {
        match event {
            Event::Started {
                settings, device, ..
            } => {
                self.settings = Some(*settings);
                self.device = device;
            }
            Event::Step(step) => {
                self.points.push(Point {
                    step: step.step,
                    exact: step.exact,
                    loss: step.loss,
                });
                self.last = Some(step);
            }
            Event::Advanced { step, stage } => self.stages.push((step, stage)),
            Event::Checkpointed { step } => self.kept = Some(step),
            Event::Resumed { step } => {
                self.points.retain(|point| point.step <= step);
                self.stages.retain(|(at, _)| *at <= step);
                self.before = self.last.as_ref().map_or(0.0, |last| last.seconds);
                self.done = false;
            }
            Event::Done { .. } => self.done = true,
            Event::Tested(_) => {}
        }
    }

    /// Seconds of this sitting so far.
    pub fn seconds(&self) -> f64 {
        let all = self.last.as_ref().map_or(0.0, |last| last.seconds);
        (all - self.before).max(0.0)
    }

    /// How much of this sitting's time is over.
    pub fn part(&self) -> f32 {
        (self.seconds() / (60.0 * self.minutes).max(1e-9)).clamp(0.0, 1.0) as f32
    }
}

#[derive(Clone, Debug, Default)]
pub struct TrainState {
    pub form: TrainForm,
    pub run: Option<TrainRun>,
    /// Whether the run is to wait; the engine looks at it after every step.
    pub pause: Arc<AtomicBool>,
    /// Whether it waits.
    pub paused: bool,
}

impl TrainState {
    pub fn is_to_pause(&self) -> bool {
        self.pause.load(Ordering::Relaxed)
    }

    pub fn set_pause(&mut self, pause: bool) {
        self.pause.store(pause, Ordering::Relaxed);
        self.paused &= pause;
    }

    /// The run goes on no more. Of one that never began there is nothing to show.
    pub fn end(&mut self) {
        self.set_pause(false);
        self.run
            .take_if(|run| run.points.is_empty() && run.kept.is_none());
    }

    pub fn take(&mut self, report: TrainReport) {
        let Some(run) = &mut self.run else {
            return;
        };
        match report {
            TrainReport::Event(event) => run.hear(event),
            TrainReport::Sample(sample) => run.sample = Some(sample),
            TrainReport::Paused => self.paused = self.pause.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64, seconds: f64) -> Event {
        Event::Step(Step {
            step,
            stage: 0,
            loss: 1.0,
            exact: 0.5,
            by_place: vec![0.5, 0.5],
            running: 0.1,
            writing: vec![4.0],
            lr: 1e-3,
            norm: 1.0,
            seconds,
        })
    }

    #[test]
    fn steps_that_were_lost_are_not_drawn_twice() {
        let mut run = TrainRun {
            minutes: 1.0,
            ..TrainRun::default()
        };
        for at in 1..=5 {
            run.hear(step(at, at as f64));
        }
        run.hear(Event::Resumed { step: 3 });
        run.hear(step(4, 11.0));
        let steps: Vec<u64> = run.points.iter().map(|point| point.step).collect();
        assert_eq!(steps, [1, 2, 3, 4]);
        assert_eq!(run.seconds(), 6.0);
        assert!((run.part() - 0.1).abs() < 1e-6);
        run.hear(Event::Done {
            step: 4,
            seconds: 11.0,
        });
        assert!(run.done);
    }

    #[test]
    fn what_is_set_is_what_is_trained() {
        let form = TrainForm {
            pairs: 16,
            memory_rows: 2,
            inner_steps: 3,
            ..TrainForm::default()
        };
        let settings = form.settings();
        assert_eq!(settings.net.memory, 2);
        let stages: Vec<_> = settings
            .stages
            .iter()
            .map(|s| (s.level, s.inner_steps))
            .collect();
        assert_eq!(stages, [(4, 3), (8, 3), (16, 3)]);
        let task = inscribe::train::task::named(&settings.task).expect("a task");
        assert!(settings.check(task.as_ref()).is_ok());
    }
}
