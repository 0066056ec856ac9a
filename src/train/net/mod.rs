//! A model that is trained together with the memory that precedes its tokens, and its passes over
//! many short sequences at once.
//!
//! A sequence is `before, memory, after` (control rows, if any, around the memory rows) and then
//! its tokens. All numbers that are trained lie in one flat tensor: the model's own weights or an
//! adapter's, the memory that writing starts from, and how memory enters the model.

mod pass;
mod way;

use std::collections::HashMap;

use crate::engine::{Arena, DType, Device, RunOptions, Tensor};
use crate::model::adapter::AdapterLayout;
use crate::model::config::ModelConfig;
use crate::model::error::ModelError;
use crate::model::flat::FlatLayout;
use crate::model::train::{Optimizer, OptimizerState, TrainerState};
use crate::model::transformer::Transformer;
use pass::Pass;

/// What checkpoints call what is trained beside a model's own weights.
pub mod names {
    pub const MEMORY: &str = "mem";
    pub const PROJECTION: &str = "mem_proj.weight";
    pub const PROJECTION_BIAS: &str = "mem_proj.bias";
    pub const WRITE_HEAD: &str = "write_head.weight";
    /// Natural logarithm of the rate of writing, where that is learned.
    pub const LOG_ALPHA: &str = "log_lr";
    /// The adapter that writing goes through, all its matrices as one row.
    pub const WRITE_LORA: &str = "write_lora";

    /// All of them that a kept model may carry.
    pub fn all() -> impl Iterator<Item = &'static str> {
        let one = [MEMORY, PROJECTION, PROJECTION_BIAS, WRITE_HEAD];
        let rest = [LOG_ALPHA, WRITE_LORA];
        one.into_iter()
            .chain(AROUND.into_iter().flatten())
            .chain(rest)
    }
    /// Control rows before and after the memory, when it is written and when it is read.
    pub const AROUND: [[&str; 2]; 2] = [["write_st", "write_end"], ["read_st", "read_end"]];
}

/// Which of its two uses of the model a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    Write,
    Read,
}

/// What a pass makes gradients of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Learn {
    Nothing,
    /// The memory rows of each sequence.
    Memory,
    /// Those and everything that is trained.
    All,
}

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Goal {
    /// The log-probabilities of the tokens.
    Tokens,
    /// New memory rows: the memory stands before the tokens and after them, and what the model
    /// makes of the rows after them is the result.
    Memory,
}

/// What passes of one program have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    pub sequences: usize,
    /// Tokens that each sequence reads.
    pub tokens: usize,
    pub of: Use,
    pub goal: Goal,
    pub learn: Learn,
}

/// The sequences of a pass. `targets` and `weights` cover every row: memory and control rows, too.
#[derive(Clone, Copy, Debug)]
pub struct Sequences<'a> {
    pub ids: &'a [u32],
    pub targets: &'a [u32],
    /// Weight of each row's loss; 0 leaves it out.
    pub weights: &'a [f32],
    /// Memory rows of each sequence.
    pub memory: &'a [f32],
    /// Gradients of the new memory rows, where those are learned from.
    pub d_rows: &'a [f32],
}

/// Programs that are kept at a time: texts of many lengths would make ever more of them.
const MOST_PASSES: usize = 64;

/// What a pass gave.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    /// Of each row: largest logit, sum of exponentials, the target's logit, the most likely token.
    pub states: Vec<f32>,
    /// New memory rows.
    pub rows: Vec<f32>,
    /// Gradient with respect to the memory rows, where it was asked for.
    pub d_memory: Vec<f32>,
}

/// Bytes of activations that are left in the last cache of most processors.
const CACHE_BYTES: usize = 24 << 20;

/// The model under a memory.
#[allow(
    clippy::large_enum_variant,
    reason = "a net has one, and never moves it"
)]
enum Base {
    /// All its weights are trained.
    Own {
        model: Transformer,
        grads: Transformer,
    },
    /// It stays as it is; an adapter, which writing alone goes through, is trained.
    Frozen {
        model: Transformer,
        adapter: Option<(AdapterLayout, f32)>,
    },
}

impl Base {
    fn model(&self) -> &Transformer {
        match self {
            Base::Own { model, .. } | Base::Frozen { model, .. } => model,
        }
    }
}

/// A model and its memory, on a device.
pub struct Net {
    device: Device,
    pub config: ModelConfig,
    pub layout: FlatLayout,
    params: Tensor,
    grads: Tensor,
    base: Base,
    /// Memory rows of a sequence.
    pub memory_rows: usize,
    /// Whether memory is read through its projection, as it is written.
    pub reads_projected: bool,
    optimizer: OptimizerState,
    arena: Arena,
    passes: HashMap<Shape, Pass>,
}

impl Net {
    /// A net of `layout`, which holds all of a model's weights and a memory.
    pub fn new(
        device: &Device,
        config: &ModelConfig,
        layout: FlatLayout,
        initial: &[f32],
    ) -> Result<Net, ModelError> {
        Net::with(device, config, layout, initial, |layout, params, grads| {
            Base::Own {
                model: layout.model(config, params),
                grads: layout.model(config, grads),
            }
        })
    }

    /// A net on a model that stays as it is. `layout` holds a memory and, where there is one, the
    /// numbers of an adapter that writing goes through, as one row.
    pub fn frozen(
        device: &Device,
        model: &Transformer,
        adapter: Option<(AdapterLayout, f32)>,
        layout: FlatLayout,
        initial: &[f32],
    ) -> Result<Net, ModelError> {
        let model = model.clone();
        let config = model.config.clone();
        Net::with(device, &config, layout, initial, |_, _, _| Base::Frozen {
            model,
            adapter,
        })
    }

    fn with(
        device: &Device,
        config: &ModelConfig,
        layout: FlatLayout,
        initial: &[f32],
        base: impl FnOnce(&FlatLayout, &Tensor, &Tensor) -> Base,
    ) -> Result<Net, ModelError> {
        assert_eq!(initial.len(), layout.len, "numbers to start from");
        let flat = |what| device.tensor(DType::F32, 1, layout.len, what);
        let (params, grads) = (flat("a model's weights")?, flat("gradients")?);
        device.write(&params, initial)?;
        let memory = layout.entry(names::MEMORY);
        Ok(Net {
            device: device.clone(),
            base: base(&layout, &params, &grads),
            memory_rows: memory.map_or(0, |memory| memory.rows),
            reads_projected: true,
            optimizer: OptimizerState::sparing(device, &params, &grads, &layout.vectors())?,
            config: config.clone(),
            layout,
            params,
            grads,
            arena: Arena::new(),
            passes: HashMap::new(),
        })
    }

    /// Rows that stand before the tokens of a sequence.
    pub fn rows_before(&self, of: Use) -> usize {
        let around = names::AROUND[of as usize];
        let control = around.iter().filter_map(|name| self.layout.entry(name));
        self.memory_rows + control.map(|entry| entry.rows).sum::<usize>()
    }

    /// The trained numbers at present.
    pub fn parameters(&self) -> Result<Vec<f32>, ModelError> {
        Ok(self.device.read(&self.params)?)
    }

    /// The gradients accumulated since they were last zeroed.
    pub fn gradients(&self) -> Result<Vec<f32>, ModelError> {
        Ok(self.device.read(&self.grads)?)
    }

    /// Some of the trained numbers.
    pub fn numbers(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        self.layout.entry(name).map_or(Ok(Vec::new()), |entry| {
            Ok(self.device.read(&entry.of(&self.params))?)
        })
    }

    /// Adds to the gradient of some numbers what was worked out beside the passes.
    pub fn add_gradient(&self, name: &str, more: &[f32]) -> Result<(), ModelError> {
        let Some(entry) = self.layout.entry(name) else {
            return Ok(());
        };
        let place = entry.of(&self.grads);
        let mut sum: Vec<f32> = self.device.read(&place)?;
        sum.iter_mut()
            .zip(more)
            .for_each(|(sum, more)| *sum += more);
        Ok(self.device.write(&place, &sum)?)
    }

    pub fn zero_gradients(&self) -> Result<(), ModelError> {
        self.optimizer.zero(&self.device)
    }

    /// Takes one step along the gradients; gives their norm before clipping. Nothing changes where
    /// that is not a finite number.
    pub fn apply(&mut self, optimizer: &Optimizer) -> Result<f64, ModelError> {
        let norm = self.optimizer.norm(&self.device)?;
        if !norm.is_finite() {
            return Err(ModelError::NotANumber);
        }
        self.optimizer.apply(&self.device, optimizer)?;
        Ok(norm)
    }

    /// Everything that steps change.
    pub fn state(&self) -> Result<TrainerState, ModelError> {
        let (m, v, steps) = self.optimizer.read(&self.device)?;
        Ok(TrainerState {
            params: self.parameters()?,
            m,
            v,
            steps,
        })
    }

    /// Goes on from a state.
    pub fn restore(&mut self, state: &TrainerState) -> Result<(), ModelError> {
        let lens = [&state.params, &state.m, &state.v].map(Vec::len);
        if lens != [self.layout.len; 3] {
            return Err(ModelError::StateMismatch);
        }
        self.device.write(&self.params, &state.params)?;
        self.optimizer.write(&self.device, state)
    }

    /// Runs a pass.
    pub fn run(
        &mut self,
        shape: Shape,
        sequences: Sequences<'_>,
        options: &RunOptions<'_>,
    ) -> Result<Scores, ModelError> {
        let rows = shape.sequences * self.rows_of(shape);
        let vocab = self.config.vocab;
        assert_eq!(sequences.ids.len(), shape.sequences * shape.tokens, "ids");
        if shape.goal == Goal::Tokens {
            assert_eq!(sequences.targets.len(), rows, "a target for each row");
            assert_eq!(sequences.weights.len(), rows, "a weight for each row");
        }
        if let Some(&id) = sequences.ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(ModelError::TokenOutOfRange { id, vocab });
        }
        if !self.passes.contains_key(&shape) {
            if self.passes.len() >= MOST_PASSES {
                self.passes.clear();
            }
            let pass = Pass::new(self, shape)?;
            self.passes.insert(shape, pass);
        }
        self.passes[&shape].run(&self.device, shape, sequences, options)
    }

    /// Sequences of so many rows that a pass does best to take at once: on a processor as many as
    /// leave their activations in its last cache, on a GPU all.
    pub fn together(&self, rows: usize) -> usize {
        if self.device.is_gpu() {
            return usize::MAX;
        }
        let c = &self.config;
        let of_a_row = c.layers * (10 * c.hidden + 3 * c.ffn) * size_of::<f32>();
        (CACHE_BYTES / of_a_row.max(1) / rows.max(1)).max(1)
    }

    /// Rows of each sequence of a pass.
    fn rows_of(&self, shape: Shape) -> usize {
        let after = match shape.goal {
            Goal::Tokens => 0,
            Goal::Memory => self.memory_rows,
        };
        self.rows_before(shape.of) + shape.tokens + after
    }
}
