//! The prepared programs of a trainer: one for each size and kind of batch.

use super::{BatchKind, Trained, Trainer};
use crate::engine::{DType, EngineError, Plan, Program, Recording, Tensor, mib};
use crate::kernels::cross_entropy::STATE_COLS;
use crate::kernels::optimizer::add;
use crate::model::adapter::Adapter;
use crate::model::error::ModelError;
use crate::model::transformer::{Angles, Attend, Inputs, Loss, Recompute};

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
        let record = |recompute| self.record_with(key, ids, positions, loss, recompute);
        if let Some(recompute) = self.recompute {
            return Ok(record(recompute));
        }
        let available = self.device.available_bytes();
        let held = self.arena.bytes();
        // Half of what is free: other programs and the next passes need some too.
        let fits = |rec: &Recording| {
            let needed = Plan::new(rec).bytes().saturating_sub(held);
            available.is_none_or(|available| needed <= available / 2)
        };
        let keeping = record(Recompute::Nothing);
        if fits(&keeping) {
            return Ok(keeping);
        }
        let again = record(Recompute::Layers);
        let needed = Plan::new(&again).bytes().saturating_sub(held);
        match available {
            Some(available) if needed > available => {
                Err(ModelError::Engine(EngineError::WillNotFit {
                    device: self.device.name().to_owned(),
                    what: format!("a gradient step over {} tokens", key.tokens),
                    needed_mib: mib(needed),
                    available_mib: mib(available),
                    advice: "use a smaller --batch, --span or --chunk, or a smaller model"
                        .to_owned(),
                }))
            }
            _ => Ok(again),
        }
    }

    fn record_with(
        &self,
        key: Key,
        ids: &Tensor,
        positions: &Tensor,
        loss: &Loss<'_>,
        recompute: Recompute,
    ) -> Recording {
        let adapter = match &self.trained {
            Trained::Adapter { layout, scale } => Some(Adapter::new(
                layout,
                *scale,
                &self.params,
                Some(&self.grads),
            )),
            Trained::Prefix { .. } => None,
        };
        let rows = positions.cols;
        let (attend, expected_keys) = match (key.kind, &self.cache, &self.angles) {
            (BatchKind::Frozen, Some(cache), _) => (Attend::Frozen(cache), cache.capacity / 2),
            (BatchKind::Sequence, _, Some((_, angles))) => (Attend::Rows(angles), rows / 2),
            _ => unreachable!("checked before a pass is prepared"),
        };
        let mut rec = Recording::new();
        let prefix = self.prefix(&mut rec);
        let inputs = Inputs {
            ids,
            prefix: prefix.as_ref(),
            positions,
            attend,
            adapter: adapter.as_ref(),
            expected_keys,
        };
        if key.learn {
            let to_prefix = prefix.is_some();
            let of_prefix = self
                .model
                .forward_backward(&mut rec, &inputs, loss, recompute, to_prefix);
            if let Some(of_prefix) = of_prefix {
                self.prefix_back(&mut rec, &of_prefix);
            }
            rec.prune();
        } else {
            let head = loss.head.unwrap_or(self.model.head());
            let x = self.model.forward(&mut rec, &inputs);
            self.model
                .score_by(&mut rec, &x, head, loss.targets, loss.state);
        }
        rec
    }

    /// The rows that enter the model before the tokens.
    fn prefix(&self, rec: &mut Recording) -> Option<Tensor> {
        let Trained::Prefix { rows, way } = &self.trained else {
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
        let Trained::Prefix { rows, way } = &self.trained else {
            return;
        };
        let grads = self.grads.reshape(*rows, self.model.config.hidden);
        match way {
            Some(way) => way.back(rec, of_prefix, &grads),
            None => add(rec, &grads, of_prefix),
        }
    }
}
