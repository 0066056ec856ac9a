//! Gradients of what is trained beside the frozen weights: an adapter's matrices, and embeddings
//! that come before the tokens.
//!
//! The pass walks the layers from the last to the first with one gradient of the residual stream,
//! `dx`, which each block adds its share to. It stops below the lowest layer that has anything to
//! train. Where keys and values are constants (a frozen cache) no gradient flows through them.

use super::Transformer;
use super::forward::{AttentionTape, FfnTape, LayerTape, LoraTape};
use super::{Attend, Inputs};
use crate::engine::{DType, Recording, Tensor, Weight};
use crate::kernels::attention_back::{attention_back_kv, attention_back_q};
use crate::kernels::cross_entropy::{STATE_COLS, cross_entropy};
use crate::kernels::cross_entropy_back::cross_entropy_back;
use crate::kernels::gated_back::gated_back;
use crate::kernels::matmul::{Onto, matmul};
use crate::kernels::matmul_back::{matmul_back, matmul_back_rows};
use crate::kernels::norm_back::rms_norm_back;
use crate::kernels::optimizer::scale;
use crate::kernels::outer::outer;
use crate::kernels::rope_back::rope_back;
use crate::model::adapter::Projection;

/// Bytes of logits that exist at once: some rows over the whole vocabulary.
const LOGITS_BYTES: usize = 64 << 20;
/// Rows of logits at least, so that a large vocabulary's weights are not read for each row.
const LEAST_LOGIT_ROWS: usize = 16;
/// Tokens whose shares of a gradient are summed at once. Each row's shares cancel almost wholly;
/// added one by one over a vocabulary of 49,152, what is left was off by 3e-4 on a GPU.
const TOKENS_AT_ONCE: usize = 2048;

/// What is done about the activations that the backward pass reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recompute {
    /// Every layer's are kept.
    Nothing,
    /// Only what enters each layer is kept; the layer runs again before its backward pass. One
    /// more forward pass, for a fraction of the memory.
    Layers,
}

/// What is minimised: the sum over rows of `weights[row] * -log P(targets[row])`.
#[derive(Clone, Copy)]
pub struct Loss<'a> {
    /// Id of the token that each row predicts, `1 x rows`.
    pub targets: &'a Tensor,
    /// Weight of each row's loss, `1 x rows`; 0 for rows that are not scored.
    pub weights: &'a Tensor,
    /// Memory that is filled for [`crate::kernels::cross_entropy::finish`], `rows x STATE_COLS`.
    pub state: &'a Tensor,
    /// Weights that score the rows in place of the model's own head, if any.
    pub head: Option<&'a Weight>,
}

/// A layer on the way to its backward pass.
enum Kept {
    Tape(Box<LayerTape>),
    /// The rows that enter the layer, from which it runs again.
    Entry(Tensor),
}

impl Transformer {
    /// Appends a forward and a backward pass: adds to the gradients of the adapter of `inputs`,
    /// and gives that of its prefix where that is asked for.
    pub fn forward_backward(
        &self,
        rec: &mut Recording,
        inputs: &Inputs<'_>,
        loss: &Loss<'_>,
        recompute: Recompute,
        to_prefix: bool,
    ) -> Option<Tensor> {
        rec.mark("forward");
        let (kept, x) = self.forward_kept(rec, inputs, recompute);
        rec.mark("head");
        let dx = self.head_back(rec, &x, loss);
        rec.mark("backward");
        let adapted = inputs.adapter.and_then(|a| a.first_layer());
        let lowest = if to_prefix { Some(0) } else { adapted };
        for (index, kept) in kept.into_iter().enumerate().rev() {
            if lowest.is_none_or(|lowest| index < lowest) {
                break;
            }
            let below = to_prefix || lowest != Some(index);
            let tape = match kept {
                Kept::Tape(tape) => *tape,
                Kept::Entry(entry) => self.layer(rec, inputs, index, &entry, true).1,
            };
            self.ffn_back(rec, inputs, index, &tape.ffn, &dx);
            self.attention_block_back(rec, inputs, index, &tape.attention, &dx, below);
        }
        let prefix = inputs.prefix.filter(|_| to_prefix);
        prefix.map(|prefix| dx.row_range(0..prefix.rows))
    }

    fn forward_kept(
        &self,
        rec: &mut Recording,
        inputs: &Inputs<'_>,
        recompute: Recompute,
    ) -> (Vec<Kept>, Tensor) {
        let mut x = self.embedded(rec, inputs);
        let mut kept = Vec::with_capacity(self.layers.len());
        for index in 0..self.layers.len() {
            match recompute {
                Recompute::Nothing => {
                    let (after, tape) = self.layer(rec, inputs, index, &x, true);
                    kept.push(Kept::Tape(Box::new(tape)));
                    x = after;
                }
                Recompute::Layers => {
                    let entry = rec.temp(DType::F32, x.rows, x.cols);
                    rec.copy(&x, &entry);
                    self.layer(rec, inputs, index, &x, false);
                    kept.push(Kept::Entry(entry));
                }
            }
        }
        (kept, x)
    }

    /// Scores the rows and gives the gradient of what enters the output norm.
    fn head_back(&self, rec: &mut Recording, x: &Tensor, loss: &Loss<'_>) -> Tensor {
        assert_eq!((loss.state.rows, loss.state.cols), (x.rows, STATE_COLS));
        let head = loss.head.unwrap_or(self.head());
        let normed = self.output_normed(rec, x);
        let d_normed = rec.temp(DType::F32, x.rows, x.cols);
        let fitting = LOGITS_BYTES / (head.rows * size_of::<f32>());
        let step = fitting.max(LEAST_LOGIT_ROWS).next_multiple_of(16);
        for first in (0..x.rows).step_by(step) {
            let rows = first..x.rows.min(first + step);
            let logits = rec.temp(DType::F32, rows.len(), head.rows);
            let some = normed.row_range(rows.clone());
            matmul(rec, &some, head, None, &logits, Onto::Replace);
            let targets = loss.targets.col_range(rows.clone());
            let weights = loss.weights.col_range(rows.clone());
            let state = loss.state.row_range(rows.clone());
            cross_entropy(rec, &logits, &targets, &state, 0, true);
            cross_entropy_back(rec, &logits, &targets, &weights, &state);
            let d_some = d_normed.row_range(rows);
            for first in (0..head.rows).step_by(TOKENS_AT_ONCE) {
                let tokens = first..head.rows.min(first + TOKENS_AT_ONCE);
                let shares = logits.col_range(tokens.clone());
                let into = if first == 0 { Onto::Replace } else { Onto::Add };
                matmul_back_rows(rec, &shares, head, tokens, &d_some, into);
            }
        }
        let dx = rec.temp(DType::F32, x.rows, x.cols);
        let eps = self.config.norm_eps;
        rms_norm_back(
            rec,
            x,
            &self.output_norm,
            &d_normed,
            eps,
            &dx,
            Onto::Replace,
        );
        dx
    }

    /// `dx` is the gradient of what leaves the block and becomes that of what enters it.
    fn ffn_back(
        &self,
        rec: &mut Recording,
        inputs: &Inputs<'_>,
        index: usize,
        tape: &FfnTape,
        dx: &Tensor,
    ) {
        let (c, layer) = (&self.config, &self.layers[index]);
        let (rows, place) = (dx.rows, (inputs, index));
        let d_out = self.post_norm_back(rec, layer.post_ffn_norm.as_ref(), tape.out.as_ref(), dx);
        let d_gated = rec.temp(DType::F32, rows, c.ffn);
        let (into, lora) = (Some(Onto::Replace), &tape.lora);
        self.project_back(
            rec,
            place,
            Projection::Down,
            &tape.gated,
            &d_out,
            &d_gated,
            into,
            lora,
        );
        let d_gate = rec.temp(DType::F32, rows, c.ffn);
        let d_up = rec.temp(DType::F32, rows, c.ffn);
        gated_back(
            rec,
            &tape.gate,
            &tape.up,
            &d_gated,
            &d_gate,
            &d_up,
            c.activation,
        );
        let dh = rec.temp(DType::F32, rows, c.hidden);
        let h = &tape.normed;
        self.project_back(rec, place, Projection::Gate, h, &d_gate, &dh, into, lora);
        self.project_back(
            rec,
            place,
            Projection::Up,
            h,
            &d_up,
            &dh,
            Some(Onto::Add),
            lora,
        );
        rms_norm_back(
            rec,
            &tape.x,
            &layer.ffn_norm,
            &dh,
            c.norm_eps,
            dx,
            Onto::Add,
        );
    }

    /// As [`Self::ffn_back`]. Where nothing `below` is trained, only the layer's own gradients
    /// are made and `dx` is left as it is.
    fn attention_block_back(
        &self,
        rec: &mut Recording,
        inputs: &Inputs<'_>,
        index: usize,
        tape: &AttentionTape,
        dx: &Tensor,
        below: bool,
    ) {
        let (c, layer) = (&self.config, &self.layers[index]);
        let (rows, q_width) = (dx.rows, c.heads * c.head_dim);
        let place = (inputs, index);
        let d_out = self.post_norm_back(rec, layer.post_attn_norm.as_ref(), tape.out.as_ref(), dx);
        let d_attended = rec.temp(DType::F32, rows, q_width);
        let (h, lora) = (&tape.attended, &tape.lora);
        let deeper = below
            || [Projection::Q, Projection::K, Projection::V]
                .iter()
                .any(|&p| self.trains(place, p));
        let into = deeper.then_some(Onto::Replace);
        self.project_back(
            rec,
            place,
            Projection::O,
            h,
            &d_out,
            &d_attended,
            into,
            lora,
        );
        if !deeper {
            return;
        }
        let at = inputs.positions;
        let angles = inputs.attend.angles().of(index);
        let d_rotated = rec.temp(DType::F32, rows, q_width);
        let of_keys = self.attended_back(rec, place, tape, &d_attended, &d_rotated);
        let dq = rec.temp(DType::F32, rows, q_width);
        let (norm, rope) = (layer.q_norm.as_ref(), self.rope_shape(c.heads));
        rope_back(rec, &tape.q, norm, angles, at, &d_rotated, &dq, rope);
        let dh = rec.temp(DType::F32, rows, c.hidden);
        let (h, into) = (&tape.normed, below.then_some(Onto::Replace));
        self.project_back(rec, place, Projection::Q, h, &dq, &dh, into, lora);
        if let (Some([d_keys, dv]), Some(k)) = (&of_keys, &tape.k) {
            let dk = rec.temp(DType::F32, rows, c.kv_heads * c.head_dim);
            let (norm, rope) = (layer.k_norm.as_ref(), self.rope_shape(c.kv_heads));
            rope_back(rec, k, norm, angles, at, d_keys, &dk, rope);
            let into = below.then_some(Onto::Add);
            self.project_back(rec, place, Projection::K, h, &dk, &dh, into, lora);
            self.project_back(rec, place, Projection::V, h, dv, &dh, into, lora);
        }
        if below {
            rms_norm_back(
                rec,
                &tape.x,
                &layer.attn_norm,
                &dh,
                c.norm_eps,
                dx,
                Onto::Add,
            );
        }
    }

    /// The gradient of turned queries, and those of turned keys and of values where they are not
    /// frozen.
    fn attended_back(
        &self,
        rec: &mut Recording,
        (inputs, index): (&Inputs<'_>, usize),
        tape: &AttentionTape,
        d_attended: &Tensor,
        d_rotated: &Tensor,
    ) -> Option<[Tensor; 2]> {
        let (c, rows) = (&self.config, d_attended.rows);
        let (shape, at, q) = (self.attention_shape(index), inputs.positions, &tape.rotated);
        let kept = matches!(inputs.attend, Attend::Rows(_)) && tape.k.is_some();
        let of_keys =
            kept.then(|| [(); 2].map(|()| rec.temp(DType::F32, rows, c.kv_heads * c.head_dim)));
        for part in &tape.parts {
            let (from, to) = (part.query_cols(shape), part.key_cols(c.head_dim));
            let [q, out, d_out] =
                [q, &tape.attended, d_attended].map(|t| t.col_range(from.clone()));
            let shape = part.shape(shape);
            let stats = rec.temp(DType::F32, rows, 2 * shape.heads);
            attention_back_q(
                rec,
                &q,
                &part.keys,
                &part.values,
                at,
                &out,
                &d_out,
                &stats,
                &d_rotated.col_range(from),
                shape,
                inputs.expected_keys,
            );
            // Right after the other: the processor takes both as one.
            if let Some([d_keys, dv]) = &of_keys {
                attention_back_kv(
                    rec,
                    &q,
                    &part.keys,
                    &part.values,
                    at,
                    &d_out,
                    &stats,
                    &d_keys.col_range(to.clone()),
                    &dv.col_range(to),
                    shape,
                );
            }
        }
        of_keys
    }

    /// The gradient of what a block projected, before the norm that may follow.
    fn post_norm_back(
        &self,
        rec: &mut Recording,
        norm: Option<&Tensor>,
        out: Option<&Tensor>,
        dx: &Tensor,
    ) -> Tensor {
        let (Some(norm), Some(out)) = (norm, out) else {
            return dx.clone();
        };
        let d_out = rec.temp(DType::F32, dx.rows, dx.cols);
        let eps = self.config.norm_eps;
        rms_norm_back(rec, out, norm, dx, eps, &d_out, Onto::Replace);
        d_out
    }

    fn trains(&self, (inputs, index): (&Inputs<'_>, usize), projection: Projection) -> bool {
        let pair = inputs.adapter.and_then(|a| a.pair(index, projection));
        pair.is_some_and(|pair| pair.grads.is_some())
    }

    /// The gradient of what entered a projection, `dx (+)= dy W + scale * (dy B) A`, unless `into`
    /// is `None`; and those of its adapter, `dB += dy^T (scale * A x)`, `dA += (scale * dy B)^T x`.
    fn project_back(
        &self,
        rec: &mut Recording,
        (inputs, index): (&Inputs<'_>, usize),
        projection: Projection,
        x: &Tensor,
        dy: &Tensor,
        dx: &Tensor,
        into: Option<Onto>,
        tape: &LoraTape,
    ) {
        let linear = self.layers[index].linear(projection);
        if let Some(into) = into {
            matmul_back(rec, dy, &linear.weight, dx, into);
        }
        let pair = inputs.adapter.and_then(|a| a.pair(index, projection));
        let (Some(pair), Some(reduced)) = (pair, tape.of(projection)) else {
            return;
        };
        let d_reduced = rec.temp(DType::F32, dy.rows, pair.b.cols);
        matmul_back(rec, dy, &pair.b, &d_reduced, Onto::Replace);
        scale(rec, &d_reduced, pair.scale);
        if let Some((d_a, d_b)) = &pair.grads {
            outer(rec, dy, reduced, d_b, Onto::Add);
            outer(rec, &d_reduced, x, d_a, Onto::Add);
        }
        if into.is_some() {
            matmul_back(rec, &d_reduced, &pair.a, dx, Onto::Add);
        }
    }
}
