//! The prepared programs of a trainer: one for each size and kind of batch.

use super::{BatchKind, Trained, Trainer};
use crate::advice::Advice;
use crate::engine::{DType, EngineError, Plan, Program, Recording, Tensor, mib};
use crate::kernels::cross_entropy::STATE_COLS;
use crate::kernels::optimizer::add;
use crate::model::adapter::Adapter;
use crate::model::config::ModelConfig;
use crate::model::error::ModelError;
use crate::model::transformer::{
    Angles, Attend, Cache, Inputs, Loss, Recompute, Seed, Transformer, Wanted,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub tokens: usize,
    pub kind: BatchKind,
    pub learn: bool,
}

/// A program and the tensors it reads and writes.
pub struct Pass {
    pub program: Program,
    pub ids: Tensor,
    pub positions: Tensor,
    pub targets: Tensor,
    pub weights: Tensor,
    pub state: Tensor,
}

impl Trainer {
    pub(super) fn prepare(&mut self, key: Key) -> Result<Pass, ModelError> {
        let rows = key.tokens + self.trained.rows_before();
        if key.kind == BatchKind::Sequence {
            self.make_angles(rows)?;
        }
        let device = &self.device;
        let ids = device.tensor(DType::U32, 1, key.tokens, "token ids")?;
        let row = |dtype, what| device.tensor(dtype, 1, rows, what);
        let positions = row(DType::U32, "positions")?;
        let targets = row(DType::U32, "targets")?;
        let weights = row(DType::F32, "weights of the loss")?;
        let state = device.tensor(DType::F32, rows, STATE_COLS, "scores")?;
        let loss = Loss {
            targets: &targets,
            weights: &weights,
            state: &state,
            head: match &self.trained {
                Trained::Prefix { way: Some(way), .. } => way.head.as_ref(),
                _ => None,
            },
        };
        let rec = self.record(key, &ids, &positions, &loss)?;
        let program = device.prepare(rec, &mut self.arena)?;
        Ok(Pass {
            program,
            ids,
            positions,
            targets,
            weights,
            state,
        })
    }

    fn make_angles(&mut self, rows: usize) -> Result<(), ModelError> {
        if self.angles.as_ref().is_none_or(|(held, _)| *held < rows) {
            let angles = Angles::new(&self.device, &self.model.config, rows)?;
            self.angles = Some((rows, angles));
        }
        Ok(())
    }

    /// Records with all activations kept where they fit, else with each layer run again.
    fn record(
        &self,
        key: Key,
        ids: &Tensor,
        positions: &Tensor,
        loss: &Loss<'_>,
    ) -> Result<Recording, ModelError> {
        let attend = match (key.kind, &self.cache, &self.angles) {
            (BatchKind::Frozen, Some(cache), _) => Attend::Frozen(cache),
            (BatchKind::Sequence, _, Some((_, angles))) => Attend::Rows(angles),
            _ => unreachable!("checked before a pass is prepared"),
        };
        let step = Step {
            model: &self.model,
            trained: &self.trained,
            params: &self.params,
            grads: &self.grads,
            attend,
        };
        let record = |recompute| step.record(key.learn, ids, positions, loss, recompute);
        if let Some(recompute) = self.recompute {
            return Ok(record(recompute));
        }
        let available = self.device.available_bytes();
        let held = self.arena.bytes();
        let needed = |rec: &Recording| Plan::new(rec).bytes().saturating_sub(held);
        let keeping = record(Recompute::Nothing);
        if leaves_room(needed(&keeping), available) {
            return Ok(keeping);
        }
        let again = record(Recompute::Layers);
        let needed = needed(&again);
        match available {
            Some(available) if needed > available => {
                Err(ModelError::Engine(EngineError::WillNotFit {
                    device: self.device.name().to_owned(),
                    what: format!("a gradient step over {} tokens", key.tokens),
                    needed_mib: mib(needed),
                    available_mib: mib(available),
                    remedy: "take smaller steps or a smaller model".to_owned(),
                    advice: Some(Advice::SmallerSteps),
                }))
            }
            _ => Ok(again),
        }
    }
}

/// Whether activations may all be kept: in half of what is free, because other programs and the
/// next passes need some too.
fn leaves_room(needed: u64, available: Option<u64>) -> bool {
    available.is_none_or(|available| needed <= available / 2)
}

/// A pass of a trainer, planned before anything is loaded: a batch of `tokens` tokens that attend
/// to `keys` frozen keys where there are some.
#[derive(Clone, Copy, Debug)]
pub struct PlannedPass {
    pub tokens: usize,
    pub kind: BatchKind,
    pub keys: usize,
    pub learn: bool,
}

impl PlannedPass {
    /// The memory that a trainer with `free` bytes gives the pass, unless `recompute` decides.
    pub fn plan(
        self,
        config: &ModelConfig,
        trained: &Trained,
        recompute: Option<Recompute>,
        free: Option<u64>,
    ) -> Plan {
        if let Some(recompute) = recompute {
            return self.plan_with(config, trained, recompute);
        }
        let keeping = self.plan_with(config, trained, Recompute::Nothing);
        if leaves_room(keeping.bytes(), free) {
            keeping
        } else {
            self.plan_with(config, trained, Recompute::Layers)
        }
    }

    fn plan_with(self, config: &ModelConfig, trained: &Trained, recompute: Recompute) -> Plan {
        let rows = self.tokens + trained.rows_before();
        let model = Transformer::planned(config);
        let (cache, angles) = (
            Cache::planned(config, self.keys),
            Angles::planned(config, rows),
        );
        let flat = || Tensor::planned(DType::F32, 1, trained.len(config.hidden));
        let (params, grads) = (flat(), flat());
        let row = |dtype, cols| Tensor::planned(dtype, 1, cols);
        let step = Step {
            model: &model,
            trained,
            params: &params,
            grads: &grads,
            attend: match self.kind {
                BatchKind::Frozen => Attend::Frozen(&cache),
                BatchKind::Sequence => Attend::Rows(&angles),
            },
        };
        let loss = Loss {
            targets: &row(DType::U32, rows),
            weights: &row(DType::F32, rows),
            state: &Tensor::planned(DType::F32, rows, STATE_COLS),
            head: None,
        };
        let (ids, positions) = (row(DType::U32, self.tokens), row(DType::U32, rows));
        Plan::new(&step.record(self.learn, &ids, &positions, &loss, recompute))
    }
}

/// What a pass of a trainer is recorded from.
struct Step<'a> {
    model: &'a Transformer,
    trained: &'a Trained,
    params: &'a Tensor,
    grads: &'a Tensor,
    attend: Attend<'a>,
}

impl Step<'_> {
    fn record(
        &self,
        learn: bool,
        ids: &Tensor,
        positions: &Tensor,
        loss: &Loss<'_>,
        recompute: Recompute,
    ) -> Recording {
        let adapter = match self.trained {
            Trained::Adapter { layout, scale } => {
                Some(Adapter::new(layout, *scale, self.params, Some(self.grads)))
            }
            Trained::Prefix { .. } => None,
        };
        let expected_keys = match self.attend {
            Attend::Frozen(cache) => cache.capacity / 2,
            _ => positions.cols / 2,
        };
        let mut rec = Recording::new();
        let prefix = self.prefix(&mut rec);
        let inputs = Inputs {
            ids,
            prefix: prefix.as_ref(),
            sequences: None,
            suffix: None,
            positions,
            attend: self.attend,
            adapter: adapter.as_ref(),
            expected_keys,
        };
        if learn {
            let wanted = Wanted::prefix(prefix.is_some());
            let seed = Seed::Loss(loss);
            let parts = self
                .model
                .forward_backward(&mut rec, &inputs, seed, recompute, wanted);
            if let Some(of_prefix) = parts.prefix.filter(|_| wanted.prefix) {
                self.prefix_back(&mut rec, &of_prefix);
            }
            rec.prune();
        } else {
            let head = loss.head.map_or(self.model.head(), |head| &head.weight);
            let x = self.model.forward(&mut rec, &inputs);
            self.model
                .score_by(&mut rec, &x, head, loss.targets, loss.state);
        }
        rec
    }

    /// The rows that enter the model before the tokens.
    fn prefix(&self, rec: &mut Recording) -> Option<Tensor> {
        let Trained::Prefix { rows, way } = self.trained else {
            return None;
        };
        let memory = self.params.reshape(*rows, self.model.config.hidden);
        Some(match way {
            Some(way) => way.enter(rec, &memory),
            None => memory,
        })
    }

    /// Adds what their gradient comes to.
    fn prefix_back(&self, rec: &mut Recording, of_prefix: &Tensor) {
        let Trained::Prefix { rows, way } = self.trained else {
            return;
        };
        let grads = self.grads.reshape(*rows, self.model.config.hidden);
        match way {
            Some(way) => way.back(rec, of_prefix, &grads),
            None => add(rec, &grads, of_prefix),
        }
    }
}
