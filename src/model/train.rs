//! Gradient steps on what is trained besides the frozen weights.
//!
//! A [`Trainer`] owns the trained numbers on the device (an adapter's matrices or a prefix of
//! embeddings, one flat tensor either way), their gradients and the optimiser's state. A step is:
//! [`Trainer::zero_gradients`], [`Trainer::accumulate`] once or more, [`Trainer::apply`].

mod optimizer;
mod pass;

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::{Arena, DType, Device, Tensor};
use crate::kernels::cross_entropy::{STATE_COLS, finish};
use crate::model::adapter::{Adapter, AdapterLayout};
use crate::model::error::ModelError;
use crate::model::gradmem::MemoryPath;
use crate::model::session::SessionOptions;
use crate::model::transformer::{Angles, Cache, Recompute, Transformer};

pub(crate) use optimizer::State as OptimizerState;
pub use optimizer::{Optimizer, OptimizerKind};
pub(crate) use pass::PlannedPass;
use pass::{Key, Pass};

/// What is trained.
#[derive(Clone, Debug)]
pub enum Trained {
    Adapter {
        layout: AdapterLayout,
        /// Factor of what the adapter adds: `alpha / rank`.
        scale: f32,
    },
    /// Embeddings that come before the tokens, as they are or by the path that the model was
    /// trained with.
    Prefix {
        rows: usize,
        way: Option<Arc<MemoryPath>>,
    },
}

impl Trained {
    /// A prefix that enters the model as it is.
    pub fn prefix(rows: usize) -> Trained {
        Trained::Prefix { rows, way: None }
    }

    /// Rows that enter the model before the tokens.
    pub fn rows_before(&self) -> usize {
        match self {
            Trained::Adapter { .. } => 0,
            Trained::Prefix { rows, way } => way.as_ref().map_or(*rows, |way| way.rows(*rows)),
        }
    }

    /// Numbers that are trained.
    pub fn len(&self, hidden: usize) -> usize {
        match self {
            Trained::Adapter { layout, .. } => layout.len,
            Trained::Prefix { rows, .. } => rows * hidden,
        }
    }
}

/// Where the rows of a batch find their keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatchKind {
    /// One sequence from position 0, the prefix before it: gradients flow through its keys and
    /// values.
    Sequence,
    /// Rows anywhere in a document whose keys and values are a cache's and constant.
    Frozen,
}

/// Rows to learn from. Where a prefix is trained its rows come first, and `targets` and `weights`
/// cover them too.
#[derive(Clone, Debug)]
pub struct Batch {
    pub kind: BatchKind,
    pub ids: Vec<u32>,
    /// Position of each row of `ids`; ignored for a sequence.
    pub positions: Vec<u32>,
    /// Id of the token that each row predicts.
    pub targets: Vec<u32>,
    /// Weight of each row's loss; 0 leaves it out.
    pub weights: Vec<f32>,
}

/// Everything that a step changes, to be kept across a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainerState {
    pub params: Vec<f32>,
    pub m: Vec<f32>,
    pub v: Vec<f32>,
    /// Number of steps applied so far.
    pub steps: u64,
}

/// Steps on one memory, on one device.
pub struct Trainer {
    device: Device,
    model: Transformer,
    trained: Trained,
    options: SessionOptions,
    recompute: Option<Recompute>,
    params: Tensor,
    grads: Tensor,
    optimizer: optimizer::State,
    cache: Option<Cache>,
    angles: Option<(usize, Angles)>,
    arena: Arena,
    passes: HashMap<Key, Pass>,
}

impl Trainer {
    /// A trainer whose numbers are `initial`. `cache` is what frozen batches attend to;
    /// `recompute` is chosen by the memory that is free where it is `None`.
    pub fn new(
        device: &Device,
        model: &Transformer,
        trained: Trained,
        initial: &[f32],
        cache: Option<Cache>,
        recompute: Option<Recompute>,
        options: SessionOptions,
    ) -> Result<Self, ModelError> {
        let len = trained.len(model.config.hidden);
        assert_eq!(initial.len(), len, "numbers to start from");
        let tensor = |what| device.tensor(DType::F32, 1, len, what);
        let params = tensor("the memory")?;
        device.write(&params, initial)?;
        let grads = tensor("gradients")?;
        Ok(Trainer {
            device: device.clone(),
            model: model.clone(),
            trained,
            options,
            recompute,
            optimizer: optimizer::State::new(device, &params, &grads)?,
            params,
            grads,
            cache,
            angles: None,
            arena: Arena::new(),
            passes: HashMap::new(),
        })
    }

    /// The adapter that is trained; its matrices change with every step.
    pub fn adapter(&self) -> Option<Adapter> {
        match &self.trained {
            Trained::Adapter { layout, scale } => {
                Some(Adapter::new(layout, *scale, &self.params, None))
            }
            Trained::Prefix { .. } => None,
        }
    }

    pub fn trained(&self) -> &Trained {
        &self.trained
    }

    /// The trained numbers at present.
    pub fn parameters(&self) -> Result<Vec<f32>, ModelError> {
        Ok(self.device.read(&self.params)?)
    }

    /// The gradients accumulated since they were last zeroed.
    pub fn gradients(&self) -> Result<Vec<f32>, ModelError> {
        Ok(self.device.read(&self.grads)?)
    }

    /// Bytes held: activations, the numbers, their gradients and the optimiser's state.
    pub fn bytes(&self) -> u64 {
        self.arena.bytes() + Self::state_bytes(self.params.cols)
    }

    /// Bytes that training `len` numbers takes beside activations.
    pub(crate) fn state_bytes(len: usize) -> u64 {
        // Numbers, gradients, two moments, the zeros that gradients start from, and what is kept of
        // numbers and moments.
        8 * size_of::<f32>() as u64 * len as u64
    }

    pub fn zero_gradients(&mut self) -> Result<(), ModelError> {
        self.optimizer.zero(&self.device)
    }

    /// Adds the gradients of `sum(weights * -log P(target))`. Gives each row's log-probability.
    pub fn accumulate(&mut self, batch: &Batch) -> Result<Vec<f64>, ModelError> {
        self.run(batch, true)
    }

    /// Each row's log-probability, with nothing learned.
    pub fn evaluate(&mut self, batch: &Batch) -> Result<Vec<f64>, ModelError> {
        self.run(batch, false)
    }

    /// Takes one step along the accumulated gradients; gives their norm before clipping. Nothing
    /// changes where that is not a finite number.
    pub fn apply(&mut self, optimizer: &Optimizer) -> Result<f64, ModelError> {
        let norm = self.optimizer.norm(&self.device)?;
        if !norm.is_finite() {
            return Err(ModelError::NotANumber);
        }
        self.optimizer.keep(&self.device)?;
        self.optimizer.apply(&self.device, optimizer)?;
        Ok(norm)
    }

    /// Copies everything that steps change.
    pub fn state(&self) -> Result<TrainerState, ModelError> {
        let (m, v, steps) = self.optimizer.read(&self.device)?;
        Ok(TrainerState {
            params: self.parameters()?,
            m,
            v,
            steps,
        })
    }

    /// The state before the last step that was applied: its losses and gradients were numbers.
    pub fn before(&self) -> Result<TrainerState, ModelError> {
        self.optimizer.read_kept(&self.device)
    }

    /// Goes on from a state.
    pub fn restore(&mut self, state: &TrainerState) -> Result<(), ModelError> {
        let len = self.params.cols;
        let fits = [&state.params, &state.m, &state.v]
            .iter()
            .all(|v| v.len() == len);
        if !fits {
            return Err(ModelError::StateMismatch);
        }
        self.device.write(&self.params, &state.params)?;
        self.optimizer.write(&self.device, state)
    }

    fn run(&mut self, batch: &Batch, learn: bool) -> Result<Vec<f64>, ModelError> {
        self.check(batch)?;
        let key = Key {
            tokens: batch.ids.len(),
            kind: batch.kind,
            learn,
        };
        if !self.passes.contains_key(&key) {
            let pass = self.prepare(key)?;
            self.passes.insert(key, pass);
        }
        let pass = &self.passes[&key];
        let rows = pass.state.rows;
        self.device.write(&pass.ids, &batch.ids)?;
        match batch.kind {
            BatchKind::Frozen => self.device.write(&pass.positions, &batch.positions)?,
            BatchKind::Sequence => {
                let positions: Vec<u32> = (0..rows as u32).collect();
                self.device.write(&pass.positions, &positions)?;
            }
        }
        self.device.write(&pass.targets, &batch.targets)?;
        self.device.write(&pass.weights, &batch.weights)?;
        self.device.run(&pass.program, &self.options.run())?;
        let states: Vec<f32> = self.device.read(&pass.state)?;
        let logprobs = states.chunks_exact(STATE_COLS).zip(&batch.weights);
        logprobs
            .map(|(state, &weight)| {
                let (logprob, _) = finish(state);
                let bad = logprob.is_nan() && weight != 0.0;
                if bad {
                    Err(ModelError::NotANumber)
                } else {
                    Ok(logprob)
                }
            })
            .collect()
    }

    fn check(&self, batch: &Batch) -> Result<(), ModelError> {
        let vocab = self.model.config.vocab;
        let ids = batch.ids.iter().chain(&batch.targets);
        if let Some(&id) = ids.into_iter().find(|&&id| id as usize >= vocab) {
            return Err(ModelError::TokenOutOfRange { id, vocab });
        }
        let rows = batch.ids.len() + self.trained.rows_before();
        assert_eq!(batch.targets.len(), rows, "a target for each row");
        assert_eq!(batch.weights.len(), rows, "a weight for each row");
        let context = match (batch.kind, &self.cache) {
            (BatchKind::Frozen, Some(cache)) => cache.capacity,
            (BatchKind::Frozen, None) => 0,
            (BatchKind::Sequence, _) => self.model.config.context,
        };
        let last = match batch.kind {
            BatchKind::Frozen => {
                assert_eq!(batch.positions.len(), rows, "a position for each row");
                batch.positions.iter().max().map_or(0, |&p| p as usize + 1)
            }
            BatchKind::Sequence => rows,
        };
        if last > context {
            return Err(ModelError::ContextExceeded {
                tokens: last,
                context,
            });
        }
        Ok(())
    }
}
