//! Steps of a run, and its tests.

use std::time::{Duration, Instant};

use super::{LmEvent, LmProgress, LmSettings, LmStep};
use crate::engine::{CancelToken, Device, EngineError, RunOptions};
use crate::model::ModelError;
use crate::model::draws::{generator, normal};
use crate::model::flat::FlatLayout;
use crate::model::tokenizer::Tokenizer;
use crate::model::train::{Optimizer, OptimizerKind, TrainerState};
use crate::train::corpus::{Corpus, stretch};
use crate::train::episode::Rows;
use crate::train::error::TrainError;
use crate::train::event::EVENTS_VERSION;
use crate::train::meta::{losses, pass};
use crate::train::net::{Learn, Net, Use};
use crate::train::run::{End, Limits};
use crate::train::settings::{SPREAD, START};

/// Windows that a test reads at most.
const TESTED: usize = 64;

/// Keeps what a run must not lose.
pub trait LmKeeper {
    fn event(&mut self, event: &LmEvent) -> Result<(), TrainError>;
    fn checkpoint(&mut self, trainer: &LmTrainer) -> Result<(), TrainError>;
}

/// A run under way.
pub struct LmTrainer {
    pub net: Net,
    pub settings: LmSettings,
    pub progress: LmProgress,
    /// The tokens that begin and end a text, for the model's config.
    pub ends: [Option<u32>; 2],
    /// All that is learned from, texts divided by the token that ends one.
    stream: Vec<u32>,
    /// Windows that are kept from training.
    held: Vec<Vec<u32>>,
    device: Device,
    cancel: CancelToken,
}

impl LmTrainer {
    /// A run before its first step. The settings say what the corpus is.
    pub fn new(
        device: &Device,
        settings: LmSettings,
        tokenizer: &Tokenizer,
        corpus: Corpus,
        cancel: &CancelToken,
    ) -> Result<LmTrainer, TrainError> {
        settings.check()?;
        if settings.data.sha256 != corpus.data.sha256 {
            let detail = "is not what the run was started with; put it back as it was, or start \
                          another run";
            return Err(TrainError::setting("data", detail));
        }
        let (end, each) = (tokenizer.eos(), settings.window + 1);
        let stream = joined(&corpus.train, end);
        if stream.len() < each {
            let detail = format!(
                "has {} tokens to learn from, fewer than a window of {}; add texts or take a \
                 smaller window",
                stream.len(),
                settings.window
            );
            return Err(TrainError::setting("data", detail));
        }
        let config = settings.config(tokenizer.vocab_size());
        let layout = FlatLayout::of_model(&config);
        let mut random = generator(settings.seed, START);
        let initial = layout.initial(SPREAD, &mut || normal(&mut random));
        Ok(LmTrainer {
            net: Net::new(device, &config, layout, &initial)?,
            held: windows(&joined(&corpus.held, end), each),
            ends: [tokenizer.bos(), end],
            stream,
            progress: LmProgress::default(),
            device: device.clone(),
            cancel: cancel.clone(),
            settings,
        })
    }

    /// Goes on from where a run had come.
    pub fn restore(
        &mut self,
        state: &TrainerState,
        progress: LmProgress,
    ) -> Result<(), TrainError> {
        self.net.restore(state)?;
        self.progress = progress;
        Ok(())
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> usize {
        self.net.layout.entries.iter().map(|e| e.range.len()).sum()
    }

    /// Tokens that are learned from.
    pub fn tokens(&self) -> usize {
        self.stream.len()
    }

    /// What a run tells first.
    pub fn started(&self) -> LmEvent {
        LmEvent::Started {
            version: EVENTS_VERSION,
            settings: Box::new(self.settings.clone()),
            parameters: self.parameters(),
            tokens: self.tokens(),
            device: self.device.name().to_owned(),
        }
    }

    /// Takes steps until the run or the sitting is at its end. `every` is the time between
    /// checkpoints.
    pub fn run(
        &mut self,
        limits: Limits,
        every: Duration,
        keeper: &mut dyn LmKeeper,
    ) -> Result<End, TrainError> {
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
            keeper.event(&LmEvent::Step(step))?;
            let is_due = self
                .progress
                .step
                .is_multiple_of(self.settings.test_every.max(1));
            if is_due && !self.is_over(limits) {
                keeper.event(&self.test()?)?;
            }
            if kept.elapsed() >= every {
                self.keep(keeper)?;
                kept = Instant::now();
            }
        };
        self.keep(keeper)?;
        if end == End::Done {
            keeper.event(&self.test()?)?;
            keeper.event(&LmEvent::Done {
                step: self.progress.step,
                seconds: self.progress.seconds,
            })?;
        }
        Ok(end)
    }

    fn keep(&self, keeper: &mut dyn LmKeeper) -> Result<(), TrainError> {
        keeper.checkpoint(self)?;
        let step = self.progress.step;
        keeper.event(&LmEvent::Checkpointed { step })
    }

    fn is_over(&self, limits: Limits) -> bool {
        let steps = self.settings.steps;
        let by_steps = steps.is_some_and(|steps| self.progress.step >= steps);
        let by_time = limits.seconds;
        by_steps || by_time.is_some_and(|most| self.progress.seconds >= most)
    }

    /// Takes one step. Its windows depend on the seed and on its number alone.
    pub fn step(&mut self) -> Result<LmStep, TrainError> {
        let started = Instant::now();
        let settings = &self.settings;
        let (step, passes) = (self.progress.step, settings.accumulate);
        let optimizer = Optimizer {
            kind: OptimizerKind::AdamW {
                beta1: 0.9,
                beta2: 0.95,
                eps: 1e-8,
                weight_decay: settings.weight_decay,
            },
            lr: settings.lr
                * settings
                    .schedule
                    .factor(step, settings.warmup, settings.steps),
            clip: Some(settings.clip),
        };
        let mut random = generator(settings.seed, step);
        let stream = std::slice::from_ref(&self.stream);
        let (batch, each) = (settings.batch, settings.window + 1);
        self.net.zero_gradients()?;
        let mut loss = 0.0;
        for _ in 0..passes {
            let drawn = (0..batch).filter_map(|_| stretch(&mut random, stream, each));
            let drawn: Vec<&[u32]> = drawn.collect();
            let share = 1.0 / (batch * passes) as f32;
            let (own, _) = read(&mut self.net, &drawn, Learn::All, share, &self.cancel)?;
            loss += own.iter().sum::<f64>() / (batch * passes) as f64;
        }
        let norm = match self.net.apply(&optimizer) {
            Err(ModelError::NotANumber) => return Err(TrainError::NotANumber { step: step + 1 }),
            norm => norm?,
        };
        self.progress.step += 1;
        self.progress.seconds += started.elapsed().as_secs_f64();
        Ok(LmStep {
            step: self.progress.step,
            loss,
            lr: optimizer.lr,
            norm,
            seconds: self.progress.seconds,
        })
    }

    /// The loss of the windows that are kept from training.
    pub fn test(&mut self) -> Result<LmEvent, TrainError> {
        let (mut sum, mut tokens) = (0.0, 0);
        for some in self.held.chunks(self.settings.batch) {
            let some: Vec<&[u32]> = some.iter().map(Vec::as_slice).collect();
            // What is measured is short, and is not to end in the middle.
            let never = CancelToken::new();
            let (losses, counts) = read(&mut self.net, &some, Learn::Nothing, 1.0, &never)?;
            let weighted = losses.iter().zip(&counts);
            sum += weighted
                .map(|(loss, &count)| loss * count as f64)
                .sum::<f64>();
            tokens += counts.iter().sum::<usize>();
        }
        Ok(LmEvent::Tested {
            step: self.progress.step,
            windows: self.held.len(),
            loss: sum / tokens.max(1) as f64,
        })
    }
}

/// Reads windows; gives each one's mean loss and number of predicted tokens. Gradients are those of
/// the sum of the losses times `share`.
fn read(
    net: &mut Net,
    windows: &[&[u32]],
    learn: Learn,
    share: f32,
    cancel: &CancelToken,
) -> Result<(Vec<f64>, Vec<usize>), ModelError> {
    let pairs = windows.iter().map(|window| window.split_at(1));
    let rows = Rows::of(pairs, 0);
    let options = RunOptions {
        cancel: Some(cancel),
        profile: None,
    };
    let weighted = rows.clone().scaled(|_| share);
    let scores = pass(net, &weighted, &[], Use::Read, learn, &options)?;
    let counts = windows.iter().map(|window| window.len() - 1).collect();
    Ok((losses(&rows, &scores), counts))
}

/// Runs one after the other, each ended.
fn joined(runs: &[Vec<u32>], end: Option<u32>) -> Vec<u32> {
    let ended = runs.iter().flat_map(|run| run.iter().copied().chain(end));
    ended.collect()
}

/// What is kept from training, cut into at most [`TESTED`] windows at even distances.
fn windows(held: &[u32], each: usize) -> Vec<Vec<u32>> {
    let whole: Vec<&[u32]> = held
        .chunks(each)
        .filter(|some| some.len() == each)
        .collect();
    if whole.is_empty() {
        let few = (held.len() > 1).then(|| held.to_vec());
        return few.into_iter().collect();
    }
    let count = whole.len().min(TESTED);
    (0..count)
        .map(|i| whole[i * whole.len() / count].to_vec())
        .collect()
}
