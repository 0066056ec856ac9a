//! The prepared programs of a net: one for each size and kind of pass.

use super::way::Way;
use super::{Base, Goal, Learn, Net, Scores, Sequences, Shape, Use, names};
use crate::engine::{DType, Device, EngineError, Program, Recording, RunOptions, Tensor, Weight};
use crate::kernels::cross_entropy::STATE_COLS;
use crate::kernels::optimizer::add;
use crate::model::adapter::Adapter;
use crate::model::config::ModelConfig;
use crate::model::error::ModelError;
use crate::model::transformer::{
    Angles, Attend, Head, Inputs, Loss, Parts, Recompute, Seed, Wanted,
};

/// Above so many bytes, layers run again before their backward passes instead of keeping what those
/// read.
const MOST_TAPE: usize = 2 << 30;

/// A program and the tensors it reads and writes.
pub struct Pass {
    program: Program,
    lists: Lists,
    memory: Tensor,
    state: Tensor,
    d_memory: Tensor,
    /// New memory rows.
    rows: Tensor,
    /// The gradients of all rows after the output norm: 0 but for new memory rows.
    d_normed: Tensor,
}

/// Numbers that a pass reads beside its weights.
pub struct Lists {
    ids: Tensor,
    targets: Tensor,
    weights: Tensor,
    positions: Tensor,
    /// 0, 1, … for each sequence.
    pub numbers: Tensor,
    /// 0 for each sequence.
    pub zeros: Tensor,
}

impl Lists {
    fn new(device: &Device, shape: Shape, each: usize) -> Result<Lists, EngineError> {
        let (ids, rows) = (shape.sequences * shape.tokens, shape.sequences * each);
        let row = |dtype, cols, what| device.tensor(dtype, 1, cols, what);
        let positions: Vec<u32> = (0..rows).map(|row| (row % each) as u32).collect();
        let numbers: Vec<u32> = (0..shape.sequences as u32).collect();
        Ok(Lists {
            ids: row(DType::U32, ids, "token ids")?,
            targets: row(DType::U32, rows, "targets")?,
            weights: row(DType::F32, rows, "weights of the loss")?,
            positions: device.tensor_of(DType::U32, &positions, "positions")?,
            numbers: device.tensor_of(DType::U32, &numbers, "sequences")?,
            zeros: row(DType::U32, shape.sequences, "zeros")?,
        })
    }
}

impl Pass {
    pub fn new(net: &mut Net, shape: Shape) -> Result<Pass, ModelError> {
        let (device, hidden) = (&net.device, net.config.hidden);
        let each = net.rows_of(shape);
        let lists = Lists::new(device, shape, each)?;
        let memory_rows = shape.sequences * net.memory_rows;
        let matrix = |rows, cols, what| device.tensor(DType::F32, rows, cols, what);
        let all = shape.sequences * each;
        let (scored, sown) = match shape.goal {
            Goal::Tokens => (all, 0),
            Goal::Memory => (0, all),
        };
        let recorded = Recorded {
            net,
            shape,
            lists: &lists,
            angles: &Angles::new(device, &net.config, each)?,
            memory: &matrix(memory_rows, hidden, "memory rows")?,
            d_memory: &matrix(memory_rows, hidden, "gradients of memory")?,
            state: &matrix(scored, STATE_COLS, "scores")?,
            rows: &matrix(sown.min(memory_rows), hidden, "new memory rows")?,
            d_normed: &matrix(sown, hidden, "gradients of rows")?,
        };
        let rec = recorded.record();
        let [memory, d_memory, state, rows, d_normed] = [
            recorded.memory,
            recorded.d_memory,
            recorded.state,
            recorded.rows,
            recorded.d_normed,
        ]
        .map(Tensor::clone);
        let device = net.device.clone();
        Ok(Pass {
            program: device.prepare(rec, &mut net.arena)?,
            lists,
            memory,
            d_memory,
            state,
            rows,
            d_normed,
        })
    }

    pub fn run(
        &self,
        device: &Device,
        shape: Shape,
        sequences: Sequences<'_>,
        options: &RunOptions<'_>,
    ) -> Result<Scores, ModelError> {
        let learns = shape.learn != Learn::Nothing;
        device.write(&self.lists.ids, sequences.ids)?;
        if !sequences.memory.is_empty() {
            device.write(&self.memory, sequences.memory)?;
        }
        match shape.goal {
            Goal::Tokens => {
                device.write(&self.lists.targets, sequences.targets)?;
                device.write(&self.lists.weights, sequences.weights)?;
            }
            Goal::Memory if learns => {
                let own = sequences.d_rows.len() / shape.sequences.max(1);
                let each = self.d_normed.rows / shape.sequences.max(1) * self.d_normed.cols;
                let mut all = vec![0f32; self.d_normed.rows * self.d_normed.cols];
                let ends = all.chunks_exact_mut(each.max(1));
                for (all, own) in ends.zip(sequences.d_rows.chunks_exact(own.max(1))) {
                    all[each - own.len()..].copy_from_slice(own);
                }
                device.write(&self.d_normed, &all)?;
            }
            Goal::Memory => {}
        }
        device.run(&self.program, options)?;
        let read = |tensor: &Tensor, wanted: bool| -> Result<Vec<f32>, ModelError> {
            if wanted {
                Ok(device.read(tensor)?)
            } else {
                Ok(Vec::new())
            }
        };
        Ok(Scores {
            states: read(&self.state, shape.goal == Goal::Tokens)?,
            rows: read(&self.rows, shape.goal == Goal::Memory && !learns)?,
            d_memory: read(&self.d_memory, learns && self.d_memory.rows > 0)?,
        })
    }
}

/// What a pass is recorded from.
struct Recorded<'a> {
    net: &'a Net,
    shape: Shape,
    lists: &'a Lists,
    angles: &'a Angles,
    memory: &'a Tensor,
    d_memory: &'a Tensor,
    state: &'a Tensor,
    rows: &'a Tensor,
    d_normed: &'a Tensor,
}

impl Recorded<'_> {
    fn record(&self) -> Recording {
        let (net, shape, lists) = (self.net, self.shape, self.lists);
        let model = net.base.model();
        let mut rec = Recording::new();
        let way = Way { net, shape, lists };
        let prefix = (net.memory_rows > 0).then(|| way.enter(&mut rec, self.memory));
        let suffix = prefix.clone().filter(|_| shape.goal == Goal::Memory);
        let adapter = self.adapter();
        let inputs = Inputs {
            ids: &lists.ids,
            prefix: prefix.as_ref(),
            suffix: suffix.as_ref(),
            sequences: Some(&lists.numbers),
            positions: &lists.positions,
            attend: Attend::Rows(self.angles),
            adapter: adapter.as_ref(),
            expected_keys: lists.positions.cols / shape.sequences / 2,
        };
        let head = self.head();
        let loss = Loss {
            targets: &lists.targets,
            weights: &lists.weights,
            state: self.state,
            head: head.as_ref(),
        };
        if shape.learn == Learn::Nothing {
            let x = model.forward(&mut rec, &inputs);
            match shape.goal {
                Goal::Tokens => {
                    let head = loss.head.map_or(model.head(), |head| &head.weight);
                    model.score_by(&mut rec, &x, head, loss.targets, loss.state);
                }
                Goal::Memory => {
                    let normed = model.output_normed(&mut rec, &x);
                    if let Some(new) = inputs.split(&mut rec, &normed).suffix {
                        rec.copy(&new, self.rows);
                    }
                }
            }
            rec.prune();
            return rec;
        }
        let weights = match &net.base {
            Base::Own { grads, .. } if shape.learn == Learn::All => Some(grads),
            _ => None,
        };
        let wanted = Wanted {
            prefix: prefix.is_some(),
            weights,
        };
        let seed = match shape.goal {
            Goal::Tokens => Seed::Loss(&loss),
            Goal::Memory => Seed::Rows(self.d_normed),
        };
        let rows = shape.sequences * net.rows_of(shape);
        let recompute = if tape_bytes(&net.config, rows) > MOST_TAPE {
            Recompute::Layers
        } else {
            Recompute::Nothing
        };
        let parts = model.forward_backward(&mut rec, &inputs, seed, recompute, wanted);
        if let Some(d_entered) = both(&mut rec, parts) {
            way.back(&mut rec, &d_entered, self.memory, self.d_memory);
        }
        rec.prune();
        rec
    }

    /// The adapter that writing goes through.
    fn adapter(&self) -> Option<Adapter> {
        let Base::Frozen {
            adapter: Some((layout, scale)),
            ..
        } = &self.net.base
        else {
            return None;
        };
        if self.shape.of != Use::Write {
            return None;
        }
        let entry = self.net.layout.entry(names::WRITE_LORA)?;
        let grads = (self.shape.learn == Learn::All).then(|| entry.of(&self.net.grads));
        let params = entry.of(&self.net.params);
        Some(Adapter::new(layout, *scale, &params, grads.as_ref()))
    }

    /// What scores the rows in place of the model's own head, if anything does.
    fn head(&self) -> Option<Head> {
        let own = self.net.layout.entry(names::WRITE_HEAD);
        let own = own.filter(|_| self.shape.of == Use::Write)?;
        Some(Head {
            weight: Weight::of(own.of(&self.net.params)),
            grads: (self.shape.learn == Learn::All).then(|| own.of(&self.net.grads)),
        })
    }
}

/// Bytes that the backward passes of all layers read, about.
fn tape_bytes(config: &ModelConfig, rows: usize) -> usize {
    let heads = (3 * config.heads + 2 * config.kv_heads) * config.head_dim;
    let each = 4 * config.hidden + heads + 3 * config.ffn;
    size_of::<f32>() * config.layers * rows * each
}

/// The gradient of what stands before the tokens and, where the same stands after them, of both.
fn both(rec: &mut Recording, parts: Parts) -> Option<Tensor> {
    let (prefix, suffix) = (parts.prefix?, parts.suffix);
    if let Some(suffix) = suffix {
        add(rec, &prefix, &suffix);
    }
    Some(prefix)
}
