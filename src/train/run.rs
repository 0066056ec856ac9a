//! A training run: steps, stages, tests.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::base::{self, Base};
use super::episode::Sample;
use super::error::TrainError;
use super::event::{EVENTS_VERSION, Event, Step, TestRow, Tested};
use super::meta::{self, Inner};
use super::net::{Net, Use};
use super::rmt;
use super::settings::{NetShape, Stage, TESTS, TrainSettings, Writer};
use super::task::Task;
use crate::engine::{CancelToken, Device, EngineError, RunOptions};
use crate::model::draws::generator;
use crate::model::error::ModelError;
use crate::model::loaded::Loaded;
use crate::model::train::{Optimizer, OptimizerKind, TrainerState};

/// Weight of a step's share of right answers in the running one.
const NEWEST: f64 = 0.02;
/// Samples of a test that are written at once.
const TESTED_AT_ONCE: usize = 64;

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
        let steps = self
            .settings
            .steps
            .is_some_and(|steps| self.progress.step >= steps);
        steps
            || limits
                .seconds
                .is_some_and(|most| self.progress.seconds >= most)
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

    /// Tests the net on `count` samples of a stage that it was not trained on, one question each,
    /// with each number of steps on the memory.
    pub fn test(
        &mut self,
        stage: Stage,
        count: usize,
        inner_steps: &[usize],
    ) -> Result<Tested, TrainError> {
        let mut samples = self.samples(stage, TESTS, count)?;
        samples
            .iter_mut()
            .for_each(|sample| sample.questions.truncate(1));
        let (writer, inner) = (self.settings.writer, self.settings.inner_at(&stage));
        let (at_once, cancel) = (self.tested_at_once(), self.cancel.clone());
        let rows = inner_steps.iter().map(|&steps| {
            let inner = Inner { steps, ..inner };
            tested(
                &mut self.net,
                Some((writer, &inner)),
                &samples,
                at_once,
                &cancel,
            )
        });
        let rows = rows.collect::<Result<_, ModelError>>()?;
        Ok(Tested {
            step: self.progress.step,
            stage,
            samples: count,
            rows,
            no_memory: self.test_plain(&samples, false)?,
            whole_context: self.test_plain(&samples, true)?,
        })
    }

    fn tested_at_once(&self) -> usize {
        match self.base {
            Some(_) => self.settings.batch.min(TESTED_AT_ONCE),
            None => TESTED_AT_ONCE,
        }
    }

    /// Tests the base model alone, with nothing or with all of a sample's context in front of its
    /// question.
    fn test_plain(
        &mut self,
        samples: &[Sample],
        with_context: bool,
    ) -> Result<Option<TestRow>, TrainError> {
        let Some(base) = &self.base else {
            return Ok(None);
        };
        let lead = self.task.lead();
        let asked: Vec<Sample> = samples
            .iter()
            .map(|sample| sample.asked_after(lead, with_context))
            .collect();
        if asked.iter().map(longest).max() > Some(base.config().context) {
            return Ok(None);
        }
        let at_once = self.tested_at_once();
        let plain = match &mut self.plain {
            Some(plain) => plain,
            none => none.insert(base::plain(base)?),
        };
        Ok(Some(tested(plain, None, &asked, at_once, &self.cancel)?))
    }
}

/// Tests a net on samples that no training run draws: so many by a seed, one question each, with
/// each number of steps on the memory.
pub fn test(
    net: &mut Net,
    task: &dyn Task,
    writer: Writer,
    inner: &Inner,
    stage: Stage,
    (seed, count): (u64, usize),
    inner_steps: &[usize],
) -> Result<Tested, TrainError> {
    let mut random = generator(seed, TESTS);
    let samples = (0..count).map(|_| task.sample(&mut random, stage.level, 1));
    let samples: Vec<Sample> = samples.collect();
    let rows = inner_steps.iter().map(|&steps| {
        let inner = Inner { steps, ..*inner };
        tested(net, Some((writer, &inner)), &samples, TESTED_AT_ONCE)
    });
    Ok(Tested {
        step: 0,
        stage,
        samples: count,
        rows: rows.collect::<Result<_, ModelError>>()?,
        no_memory: None,
        whole_context: None,
    })
}

/// Tokens of the longest text of a sample.
fn longest(sample: &Sample) -> usize {
    let questions = sample.questions.iter();
    let asked = questions.map(|q| q.prompt.len() + q.answer.len()).max();
    sample.context.len().max(asked.unwrap_or(0))
}

/// Answers from memories written as asked, or from no memory.
fn tested(
    net: &mut Net,
    written: Option<(Writer, &Inner)>,
    samples: &[Sample],
    at_once: usize,
    cancel: &CancelToken,
) -> Result<TestRow, ModelError> {
    let mut row = TestRow {
        inner_steps: written.map_or(0, |(_, inner)| inner.steps),
        ..TestRow::default()
    };
    let options = RunOptions {
        cancel: Some(cancel),
        profile: None,
    };
    let mut places: Vec<(f64, usize)> = Vec::new();
    for some in samples.chunks(at_once) {
        let memories = match written {
            Some((Writer::Gradmem, inner)) => meta::write(net, inner, some, &options)?.memories,
            Some((Writer::Rmt, inner)) => rmt::write(net, inner.steps, some, &options)?,
            None => Vec::new(),
        };
        let memory = memories.last().map_or(&[][..], |memory| memory);
        let answers = meta::read(net, memory, some, &options)?;
        let share = some.len() as f64 / samples.len() as f64;
        row.exact += share * answers.exact;
        row.loss += share * answers.loss;
        places.resize(places.len().max(answers.by_place.len()), (0.0, 0));
        let own = answers.by_place.iter().zip(&answers.of_place);
        for (sum, (hits, &of)) in places.iter_mut().zip(own) {
            *sum = (sum.0 + hits * of as f64, sum.1 + of);
        }
    }
    let share = |&(hits, of): &(f64, usize)| hits / of.max(1) as f64;
    row.by_place = places.iter().map(share).collect();
    Ok(row)
}

impl TrainSettings {
    /// Refuses what cannot be trained.
    pub fn check(&self, task: &dyn Task) -> Result<(), TrainError> {
        let net = &self.net;
        let sizes = [
            ("memory", net.memory, 1 << 12),
            ("batch", self.batch, 1 << 16),
            ("questions", self.questions, 1 << 12),
        ];
        check_sizes(&sizes)?;
        match &self.base {
            Some(base) => self.check_beside(base)?,
            None => net.check()?,
        }
        let numbers = [
            ("alpha", self.inner.alpha),
            ("lr", self.lr),
            ("clip", self.clip),
        ];
        for (setting, value) in numbers {
            if !(value.is_finite() && value > 0.0) {
                return Err(TrainError::setting(
                    setting,
                    format!("is {value}; it must be above 0"),
                ));
            }
        }
        let changed = match (&self.data, task.data()) {
            (Some(own), Some(found)) => own.sha256 != found.sha256,
            _ => false,
        };
        if changed {
            let detail = "is not what the run was started with; put it back as it was, or start \
                          another run";
            return Err(TrainError::setting("data", detail));
        }
        if self.stages.is_empty() {
            return Err(TrainError::setting("curriculum", "names no stage"));
        }
        for stage in &self.stages {
            task.check_level(stage.level)
                .map_err(|detail| TrainError::setting("level", detail))?;
            if stage.inner_steps > 64 {
                let detail = format!("is {}; up to 64 can be trained", stage.inner_steps);
                return Err(TrainError::setting("inner steps", detail));
            }
        }
        Ok(())
    }
}

fn check_sizes(sizes: &[(&'static str, usize, usize)]) -> Result<(), TrainError> {
    for &(setting, value, most) in sizes {
        if value == 0 || value > most {
            let detail = format!("is {value}; 1 to {most} can be trained");
            return Err(TrainError::setting(setting, detail));
        }
    }
    Ok(())
}

impl NetShape {
    /// Refuses a model that cannot be trained from nothing.
    pub(super) fn check(&self) -> Result<(), TrainError> {
        check_sizes(&[
            ("layers", self.layers, 1 << 10),
            ("hidden", self.hidden, 1 << 14),
            ("heads", self.heads, 1 << 10),
        ])?;
        if !self.hidden.is_multiple_of(2 * self.heads) {
            let detail = format!(
                "is {}, of which each of {} heads must get an even share",
                self.hidden, self.heads
            );
            return Err(TrainError::setting("hidden", detail));
        }
        Ok(())
    }
}

impl TrainSettings {
    /// Refuses what cannot be trained beside a model that stays as it is.
    fn check_beside(&self, base: &Base) -> Result<(), TrainError> {
        if self.writer != Writer::Gradmem {
            let detail = "stays as it is; forward passes alone write only into models that are \
                          trained for it";
            return Err(TrainError::setting("base", detail));
        }
        if self.net.write_head {
            let detail = "is trained with a model of its own alone, not beside a base model";
            return Err(TrainError::setting("write head", detail));
        }
        let Some(lora) = &base.lora else {
            return Ok(());
        };
        check_sizes(&[("rank", lora.rank, 1 << 10)])?;
        if !(lora.alpha.is_finite() && lora.alpha > 0.0) || lora.targets.is_empty() {
            let detail = "needs a scale above 0 and a projection to add to";
            return Err(TrainError::setting("adapter", detail));
        }
        Ok(())
    }
}
