//! A training run: steps, stages, tests.

mod check;
mod measured;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::episode::Sample;
use super::error::TrainError;
use super::event::{EVENTS_VERSION, Event, Step};
use super::meta;
use super::net::{Net, Use};
use super::rmt;
use super::settings::{Stage, TESTS, TrainSettings, Writer};
use super::task::Task;
use crate::engine::{CancelToken, Device, EngineError, RunOptions};
use crate::model::draws::generator;
use crate::model::error::ModelError;
use crate::model::loaded::Loaded;
use crate::model::train::{Optimizer, OptimizerKind, TrainerState};
pub use measured::test;

/// Weight of a step's share of right answers in the running one.
const NEWEST: f64 = 0.02;

/// How far a run has come. With the numbers themselves it is all that a run goes on from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps taken.
    pub step: u64,
    /// Number of the stage, from 0.
    pub stage: usize,
    /// Running share of right answers.
    pub running: f64,
    /// Seconds of training, over all sittings.
    pub seconds: f64,
}

/// When a sitting ends, beside the end of the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Seconds of training, over all sittings.
    pub seconds: Option<f64>,
}

/// Why a sitting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All steps were taken, or all the time.
    Done,
    Cancelled,
}

/// Keeps what a run must not lose.
pub trait Keeper {
    fn event(&mut self, event: &Event) -> Result<(), TrainError>;
    fn checkpoint(&mut self, trainer: &Trainer) -> Result<(), TrainError>;
}

/// A run under way.
pub struct Trainer {
    pub net: Net,
    pub settings: TrainSettings,
    pub progress: Progress,
    task: Box<dyn Task>,
    device: Device,
    cancel: CancelToken,
    /// The model that stays as it is, and its net without a memory once that was tested.
    base: Option<Loaded>,
    plain: Option<Net>,
}

impl Trainer {
    /// A run before its first step.
    pub fn new(
        device: &Device,
        settings: TrainSettings,
        task: Box<dyn Task>,
        cancel: &CancelToken,
    ) -> Result<Trainer, TrainError> {
        settings.check(task.as_ref())?;
        if settings.base.is_some() {
            return Err(TrainError::setting(
                "base",
                "is set, and no model was given",
            ));
        }
        let config = settings.net.config(task.vocab());
        let layout = settings.net.layout(&config);
        let initial = settings
            .net
            .initial(&layout, &settings.inner, settings.seed);
        let mut net = Net::new(device, &config, layout, &initial)?;
        net.reads_projected = settings.writer == Writer::Gradmem;
        Ok(Trainer {
            net,
            settings,
            progress: Progress::default(),
            task,
            device: device.clone(),
            cancel: cancel.clone(),
            base: None,
            plain: None,
        })
    }

    /// A run before its first step, beside a model that stays as it is: that of the settings.
    pub fn on_base(
        loaded: &Loaded,
        settings: TrainSettings,
        task: Box<dyn Task>,
        cancel: &CancelToken,
    ) -> Result<Trainer, TrainError> {
        settings.check(task.as_ref())?;
        let Some(base) = &settings.base else {
            return Err(TrainError::setting("base", "is not set"));
        };
        base.check(loaded)?;
        Ok(Trainer {
            net: base.net(loaded, &settings)?,
            settings,
            progress: Progress::default(),
            task,
            device: loaded.device.clone(),
            cancel: cancel.clone(),
            base: Some(loaded.clone()),
            plain: None,
        })
    }

    pub fn task(&self) -> &dyn Task {
        self.task.as_ref()
    }

    /// Goes on from where a run had come.
    pub fn restore(&mut self, state: &TrainerState, progress: Progress) -> Result<(), TrainError> {
        self.net.restore(state)?;
        self.progress = progress;
        Ok(())
    }

    /// What a run tells first.
    pub fn started(&self) -> Event {
        Event::Started {
            version: EVENTS_VERSION,
            settings: Box::new(self.settings.clone()),
            parameters: self.net.layout.entries.iter().map(|e| e.range.len()).sum(),
            device: self.device.name().to_owned(),
        }
    }

    /// The stage of the next step.
    pub fn stage(&self) -> Stage {
        let stages = &self.settings.stages;
        let at = self.progress.stage.min(stages.len().saturating_sub(1));
        stages.get(at).copied().unwrap_or(Stage {
            level: 1,
            inner_steps: 1,
        })
    }

    /// Takes steps until the run or the sitting is at its end. `every` is the time between
    /// checkpoints.
    pub fn run(
        &mut self,
        limits: Limits,
        every: Duration,
        keeper: &mut dyn Keeper,
    ) -> Result<End, TrainError> {
        if self.progress.step == 0 {
            // A run that is stopped before its first checkpoint goes on, too.
            self.keep(keeper)?;
        }
        let mut kept = Instant::now();
        let end = loop {
            if self.cancel.is_cancelled() {
                break End::Cancelled;
            }
            if self.is_over(limits) {
                break End::Done;
            }
            let step = match self.step() {
                Err(TrainError::Model(ModelError::Engine(EngineError::Cancelled))) => {
                    break End::Cancelled;
                }
                step => step?,
            };
            keeper.event(&Event::Step(step))?;
            if self.advance() {
                let (step, stage) = (self.progress.step, self.progress.stage);
                keeper.event(&Event::Advanced { step, stage })?;
                self.keep(keeper)?;
                kept = Instant::now();
            } else if kept.elapsed() >= every {
                self.keep(keeper)?;
                kept = Instant::now();
            }
        };
        self.keep(keeper)?;
        Ok(end)
    }

    fn keep(&self, keeper: &mut dyn Keeper) -> Result<(), TrainError> {
        keeper.checkpoint(self)?;
        let step = self.progress.step;
        keeper.event(&Event::Checkpointed { step })
    }

    fn is_over(&self, limits: Limits) -> bool {
        let (settings, progress) = (&self.settings, &self.progress);
        let last = progress.stage + 1 >= settings.stages.len();
        let reached = last && progress.step > 0 && progress.running >= settings.goal;
        let steps = settings.steps.is_some_and(|steps| progress.step >= steps);
        let time = limits.seconds.is_some_and(|most| progress.seconds >= most);
        reached || steps || time
    }

    /// Samples of a stage: they depend on the seed and `stream` alone.
    fn samples(&self, stage: Stage, stream: u64, count: usize) -> Result<Vec<Sample>, TrainError> {
        let mut random = generator(self.settings.seed, stream);
        let questions = self.settings.questions;
        let mut draw = || match stream {
            TESTS => self.task.test_sample(&mut random, stage.level, questions),
            _ => self.task.sample(&mut random, stage.level, questions),
        };
        let samples: Vec<Sample> = (0..count).map(|_| draw()).collect();
        let longest = samples.iter().map(longest).max().unwrap_or(0);
        let tokens = longest + self.net.rows_before(Use::Write);
        match self.base {
            Some(_) if tokens > self.net.config.context => {
                let context = self.net.config.context;
                Err(ModelError::ContextExceeded { tokens, context }.into())
            }
            _ => Ok(samples),
        }
    }

    /// Takes one step.
    pub fn step(&mut self) -> Result<Step, TrainError> {
        let started = Instant::now();
        let stage = self.stage();
        let samples = self.samples(stage, self.progress.step, self.settings.batch)?;
        let inner = self.settings.inner_at(&stage);
        let optimizer = Optimizer {
            kind: OptimizerKind::AdamW {
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                weight_decay: 0.0,
            },
            lr: self.settings.rate(self.progress.step),
            clip: Some(self.settings.clip),
        };
        let cancel = self.cancel.clone();
        let options = RunOptions {
            cancel: Some(&cancel),
            profile: None,
        };
        self.net.zero_gradients()?;
        let learned = match self.settings.writer {
            Writer::Gradmem => meta::learn(&mut self.net, &inner, &samples, &options)?,
            Writer::Rmt => {
                rmt::check(&samples)?;
                rmt::learn(&mut self.net, inner.steps, &samples, &options)?
            }
        };
        let norm = match self.net.apply(&optimizer) {
            Err(ModelError::NotANumber) => {
                let step = self.progress.step + 1;
                return Err(TrainError::NotANumber { step });
            }
            norm => norm?,
        };
        self.progress.step += 1;
        self.progress.seconds += started.elapsed().as_secs_f64();
        let exact = learned.answers.exact;
        self.progress.running += NEWEST * (exact - self.progress.running);
        Ok(Step {
            step: self.progress.step,
            stage: self.progress.stage,
            loss: learned.answers.loss,
            exact,
            by_place: learned.answers.by_place,
            running: self.progress.running,
            writing: learned.writing,
            lr: optimizer.lr,
            norm,
            seconds: self.progress.seconds,
        })
    }

    /// Begins the next stage where the present one is done.
    fn advance(&mut self) -> bool {
        let more = self.progress.stage + 1 < self.settings.stages.len();
        let passed = more && self.progress.running >= self.settings.advance;
        if passed {
            self.progress.stage += 1;
            self.progress.running = 0.0;
        }
        passed
    }
}

/// Tokens of the longest text of a sample.
fn longest(sample: &Sample) -> usize {
    let questions = sample.questions.iter();
    let asked = questions.map(|q| q.prompt.len() + q.answer.len()).max();
    sample.context.len().max(asked.unwrap_or(0))
}
