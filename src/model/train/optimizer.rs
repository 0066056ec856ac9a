//! The optimiser's state on the device.

use std::ops::Range;

use super::TrainerState;
use crate::engine::{Arena, DType, Device, Program, Recording, RunOptions, Tensor};
use crate::kernels::optimizer::{Hyper, adamw, sgd, sum_squares};
use crate::model::error::ModelError;

/// How a step follows the gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptimizerKind {
    /// Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101).
    AdamW {
        beta1: f32,
        beta2: f32,
        eps: f32,
        weight_decay: f32,
    },
    Sgd,
}

impl OptimizerKind {
    /// AdamW with PyTorch's defaults.
    pub const ADAMW: OptimizerKind = OptimizerKind::AdamW {
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.01,
    };
}

/// One step's settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimizer {
    pub kind: OptimizerKind,
    pub lr: f32,
    /// Norm that gradients are scaled down to where theirs is larger; `None` leaves them as they
    /// are.
    pub clip: Option<f32>,
}

impl Optimizer {
    /// What a step multiplies by.
    fn hyper(&self) -> Hyper {
        let (beta1, beta2, eps, weight_decay) = match self.kind {
            OptimizerKind::AdamW {
                beta1,
                beta2,
                eps,
                weight_decay,
            } => (beta1, beta2, eps, weight_decay),
            OptimizerKind::Sgd => (0.0, 0.0, 0.0, 0.0),
        };
        Hyper {
            lr: self.lr,
            beta1,
            beta2,
            eps,
            weight_decay,
            max_norm: self.clip.unwrap_or(0.0),
        }
    }
}

pub struct State {
    m: Tensor,
    v: Tensor,
    norm2: Tensor,
    hyper: Tensor,
    /// The same without decay, where some of the numbers are spared it.
    undecayed: Option<Tensor>,
    steps: u64,
    /// The numbers and both moments as they were last kept, and the number of steps taken by then.
    kept: [Tensor; 3],
    kept_steps: u64,
    keep: Program,
    zero: Program,
    norm: Program,
    adamw: Program,
    sgd: Program,
}

impl State {
    pub fn new(device: &Device, params: &Tensor, grads: &Tensor) -> Result<State, ModelError> {
        State::sparing(device, params, grads, &[])
    }

    /// As [`State::new`], with ranges of the numbers, in order, that AdamW does not decay.
    pub fn sparing(
        device: &Device,
        params: &Tensor,
        grads: &Tensor,
        spared: &[Range<usize>],
    ) -> Result<State, ModelError> {
        let what = "the optimiser's state";
        let tensor = |cols| device.tensor(DType::F32, 1, cols, what);
        let (m, v, zeros) = (
            tensor(params.cols)?,
            tensor(params.cols)?,
            tensor(params.cols)?,
        );
        let kept = [
            tensor(params.cols)?,
            tensor(params.cols)?,
            tensor(params.cols)?,
        ];
        let (norm2, hyper) = (tensor(1)?, tensor(Hyper::LEN)?);
        let undecayed = match spared {
            [] => None,
            _ => Some(tensor(Hyper::LEN)?),
        };
        let program = |record: &dyn Fn(&mut Recording)| {
            let mut rec = Recording::new();
            record(&mut rec);
            device.prepare(rec, &mut Arena::new())
        };
        Ok(State {
            keep: program(&|rec| {
                for (from, to) in [params, &m, &v].into_iter().zip(&kept) {
                    rec.copy(from, to);
                }
            })?,
            kept,
            kept_steps: 0,
            zero: program(&|rec| rec.copy(&zeros, grads))?,
            norm: program(&|rec| sum_squares(rec, grads, &norm2))?,
            adamw: program(&|rec| {
                for (range, is_spared) in parts(params.cols, spared) {
                    let hyper = undecayed.as_ref().filter(|_| is_spared).unwrap_or(&hyper);
                    let [params, grads, m, v] =
                        [params, grads, &m, &v].map(|t| t.col_range(range.clone()));
                    adamw(rec, &params, &grads, &m, &v, &norm2, hyper);
                }
            })?,
            undecayed,
            sgd: program(&|rec| sgd(rec, params, grads, &norm2, &hyper))?,
            m,
            v,
            norm2,
            hyper,
            steps: 0,
        })
    }

    /// Keeps everything that a step changes as it is now, on the device.
    pub fn keep(&mut self, device: &Device) -> Result<(), ModelError> {
        self.kept_steps = self.steps;
        Ok(device.run(&self.keep, &RunOptions::default())?)
    }

    /// What was last kept.
    pub fn read_kept(&self, device: &Device) -> Result<TrainerState, ModelError> {
        let [params, m, v] = &self.kept;
        Ok(TrainerState {
            params: device.read(params)?,
            m: device.read(m)?,
            v: device.read(v)?,
            steps: self.kept_steps,
        })
    }

    /// Sets the gradients to zero.
    pub fn zero(&self, device: &Device) -> Result<(), ModelError> {
        Ok(device.run(&self.zero, &RunOptions::default())?)
    }

    /// The norm of the gradients, which [`State::apply`] also clips by.
    pub fn norm(&self, device: &Device) -> Result<f64, ModelError> {
        device.run(&self.norm, &RunOptions::default())?;
        let squares: Vec<f32> = device.read(&self.norm2)?;
        Ok(squares.first().map_or(0.0, |&s| f64::from(s).sqrt()))
    }

    /// One step, after [`State::norm`].
    pub fn apply(&mut self, device: &Device, optimizer: &Optimizer) -> Result<(), ModelError> {
        self.steps += 1;
        let hyper = optimizer.hyper();
        device.write(&self.hyper, &hyper.at_step(self.steps))?;
        if let Some(undecayed) = &self.undecayed {
            let hyper = Hyper {
                weight_decay: 0.0,
                ..hyper
            };
            device.write(undecayed, &hyper.at_step(self.steps))?;
        }
        let program = match optimizer.kind {
            OptimizerKind::AdamW { .. } => &self.adamw,
            OptimizerKind::Sgd => &self.sgd,
        };
        Ok(device.run(program, &RunOptions::default())?)
    }

    pub fn read(&self, device: &Device) -> Result<(Vec<f32>, Vec<f32>, u64), ModelError> {
        Ok((device.read(&self.m)?, device.read(&self.v)?, self.steps))
    }

    pub fn write(&mut self, device: &Device, state: &TrainerState) -> Result<(), ModelError> {
        device.write(&self.m, &state.m)?;
        device.write(&self.v, &state.v)?;
        self.steps = state.steps;
        Ok(())
    }
}

/// All of `len` numbers in order, in parts that are spared and parts that are not.
fn parts(len: usize, spared: &[Range<usize>]) -> Vec<(Range<usize>, bool)> {
    let mut parts = Vec::new();
    let mut at = 0;
    for range in spared {
        parts.push((at..range.start, false));
        parts.push((range.clone(), true));
        at = range.end;
    }
    parts.push((at..len, false));
    parts.retain(|(range, _)| !range.is_empty());
    parts
}
