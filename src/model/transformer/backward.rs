//! Gradients of what is trained: an adapter's matrices, embeddings that come before the tokens, or
//! all of a model's own weights.
//!
//! The pass walks the layers from the last to the first with one gradient of the residual stream,
//! `dx`, which each block adds its share to. It stops below the lowest layer that has anything to
//! train. Where keys and values are constants (a frozen cache) no gradient flows through them.

use super::forward::{AttentionTape, FfnTape, LayerTape, LoraTape};
use super::{Attend, Inputs, Parts};
use super::{Layer, Transformer};
use crate::engine::{DType, Recording, Tensor, Weight};
use crate::kernels::attention_back::{attention_back_kv, attention_back_q};
use crate::kernels::column_sums::column_sums;
use crate::kernels::cross_entropy::{STATE_COLS, cross_entropy};
use crate::kernels::cross_entropy_back::cross_entropy_back;
use crate::kernels::embed_back::embed_back;
use crate::kernels::gated_back::gated_back;
use crate::kernels::matmul::{Onto, matmul};
use crate::kernels::matmul_back::{matmul_back, matmul_back_rows};
use crate::kernels::norm_back::rms_norm_back;
use crate::kernels::norm_gain_back::rms_norm_gain_back;
use crate::kernels::optimizer::scale;
use crate::kernels::outer::outer;
use crate::kernels::rope_back::rope_back;
use crate::kernels::rope_gain_back::rope_gain_back;
use crate::model::adapter::{LoraPair, Projection};

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
    pub head: Option<&'a Head>,
}

/// What scores rows in place of a model's own head.
#[derive(Clone)]
pub struct Head {
    pub weight: Weight,
    /// Where its gradient is added, if it is trained.
    pub grads: Option<Tensor>,
}

/// What a backward pass begins from.
#[derive(Clone, Copy)]
pub enum Seed<'a> {
    Loss(&'a Loss<'a>),
    /// The gradients of all rows after the output norm.
    Rows(&'a Tensor),
}

/// Which gradients a pass makes beside those of its adapter.
#[derive(Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Those of the rows that come before the tokens.
    pub prefix: bool,
    /// Those of the model's own weights, added to a model of the same shape.
    pub weights: Option<&'a Transformer>,
}

impl<'a> Wanted<'a> {
    /// Those of the rows before the tokens alone, where there are some.
    pub fn prefix(prefix: bool) -> Wanted<'a> {
        Wanted {
            prefix,
            weights: None,
        }
    }

    fn layer(&self, index: usize) -> Option<&'a Layer> {
        self.weights.map(|weights| &weights.layers[index])
    }
}

/// A layer of a pass, and where the gradients of its weights are added.
#[derive(Clone, Copy)]
struct Place<'a> {
    inputs: &'a Inputs<'a>,
    index: usize,
    grads: Option<&'a Layer>,
}

impl<'a> Place<'a> {
    /// Where the gradient of a gain is added, if it is trained.
    fn gain(self, of: impl Fn(&'a Layer) -> Option<&'a Tensor>) -> Option<&'a Tensor> {
        self.grads.and_then(of)
    }

    fn pair(self, projection: Projection) -> Option<&'a LoraPair> {
        self.inputs.adapter?.pair(self.index, projection)
    }

    /// Whether anything of a projection is trained.
    fn trains(self, projection: Projection) -> bool {
        let adapted = self
            .pair(projection)
            .is_some_and(|pair| pair.grads.is_some());
        adapted || self.grads.is_some()
    }
}

/// The elements of a weight that is one dense tensor, as all are that are trained.
fn matrix(weight: &Weight) -> &Tensor {
    &weight.shards[0].tensor
}

/// A layer on the way to its backward pass.
enum Kept {
    Tape(Box<LayerTape>),
    /// The rows that enter the layer, from which it runs again.
    Entry(Tensor),
}

impl Transformer {
    /// Appends a forward and a backward pass: adds to the gradients of the adapter of `inputs`
    /// and to those of the weights that are `wanted`, and gives those of what enters the first
    /// layer: of the prefix only where it is wanted or all weights are.
    pub fn forward_backward(
        &self,
        rec: &mut Recording,
        inputs: &Inputs<'_>,
        seed: Seed<'_>,
        recompute: Recompute,
        wanted: Wanted<'_>,
    ) -> Parts {
        rec.mark("forward");
        let (kept, x) = self.forward_kept(rec, inputs, recompute);
        rec.mark("head");
        let dx = match seed {
            Seed::Loss(loss) => self.head_back(rec, &x, loss, wanted),
            Seed::Rows(d_normed) => self.output_norm_back(rec, &x, d_normed, wanted),
        };
        rec.mark("backward");
        let adapted = inputs.adapter.and_then(|a| a.first_layer());
        let everything = wanted.prefix || wanted.weights.is_some();
        let lowest = if everything { Some(0) } else { adapted };
        for (index, kept) in kept.into_iter().enumerate().rev() {
            if lowest.is_none_or(|lowest| index < lowest) {
                break;
            }
            let below = everything || lowest != Some(index);
            let tape = match kept {
                Kept::Tape(tape) => *tape,
                Kept::Entry(entry) => self.layer(rec, inputs, index, &entry, true).1,
            };
            let place = Place {
                inputs,
                index,
                grads: wanted.layer(index),
            };
            self.ffn_back(rec, place, &tape.ffn, &dx);
            self.attention_block_back(rec, place, &tape.attention, &dx, below);
        }
        let parts = inputs.split(rec, &dx);
        if let (Some(weights), Some(d_tokens)) = (wanted.weights, &parts.tokens) {
            let (into, scale) = (matrix(&weights.embedding), self.config.embedding_scale);
            embed_back(rec, inputs.ids, d_tokens, scale, into);
        }
        parts
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
    fn head_back(
        &self,
        rec: &mut Recording,
        x: &Tensor,
        loss: &Loss<'_>,
        wanted: Wanted<'_>,
    ) -> Tensor {
        assert_eq!((loss.state.rows, loss.state.cols), (x.rows, STATE_COLS));
        let (head, d_head) = match loss.head {
            Some(other) => (&other.weight, other.grads.as_ref()),
            None => (self.head(), wanted.weights.map(|w| matrix(w.head()))),
        };
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
            if let Some(d_head) = d_head {
                outer(rec, &logits, &some, d_head, Onto::Add);
            }
            let d_some = d_normed.row_range(rows);
            for first in (0..head.rows).step_by(TOKENS_AT_ONCE) {
                let tokens = first..head.rows.min(first + TOKENS_AT_ONCE);
                let shares = logits.col_range(tokens.clone());
                let into = if first == 0 { Onto::Replace } else { Onto::Add };
                matmul_back_rows(rec, &shares, head, tokens, &d_some, into);
            }
        }
        self.output_norm_back(rec, x, &d_normed, wanted)
    }

    fn output_norm_back(
        &self,
        rec: &mut Recording,
        x: &Tensor,
        d_normed: &Tensor,
        wanted: Wanted<'_>,
    ) -> Tensor {
        let dx = rec.temp(DType::F32, x.rows, x.cols);
        let norm = (&self.output_norm, wanted.weights.map(|w| &w.output_norm));
        self.norm_back(rec, norm, x, d_normed, &dx, Onto::Replace);
        dx
    }

    /// The gradient of what entered a norm, and that of its gain where that is trained.
    fn norm_back(
        &self,
        rec: &mut Recording,
        (gain, d_gain): (&Tensor, Option<&Tensor>),
        x: &Tensor,
        dy: &Tensor,
        dx: &Tensor,
        into: Onto,
    ) {
        let eps = self.config.norm_eps;
        if let Some(d_gain) = d_gain {
            rms_norm_gain_back(rec, x, dy, eps, d_gain);
        }
        rms_norm_back(rec, x, gain, dy, eps, dx, into);
    }

    /// `dx` is the gradient of what leaves the block and becomes that of what enters it.
    fn ffn_back(&self, rec: &mut Recording, place: Place<'_>, tape: &FfnTape, dx: &Tensor) {
        use Projection::{Down, Gate, Up};
        let (c, layer, rows) = (&self.config, &self.layers[place.index], dx.rows);
        let norm = (
            &layer.post_ffn_norm,
            place.gain(|l| l.post_ffn_norm.as_ref()),
        );
        let d_out = self.post_norm_back(rec, norm, tape.out.as_ref(), dx);
        let d_gated = rec.temp(DType::F32, rows, c.ffn);
        let (into, lora) = (Some(Onto::Replace), &tape.lora);
        self.project_back(rec, place, Down, &tape.gated, &d_out, &d_gated, into, lora);
        let d_gate = rec.temp(DType::F32, rows, c.ffn);
        let d_up = rec.temp(DType::F32, rows, c.ffn);
        let (gate, up) = (&tape.gate, &tape.up);
        gated_back(rec, gate, up, &d_gated, &d_gate, &d_up, c.activation);
        let dh = rec.temp(DType::F32, rows, c.hidden);
        let (h, more) = (&tape.normed, Some(Onto::Add));
        self.project_back(rec, place, Gate, h, &d_gate, &dh, into, lora);
        self.project_back(rec, place, Up, h, &d_up, &dh, more, lora);
        let norm = (&layer.ffn_norm, place.gain(|l| Some(&l.ffn_norm)));
        self.norm_back(rec, norm, &tape.x, &dh, dx, Onto::Add);
    }

    /// As [`Self::ffn_back`]. Where nothing `below` is trained, only the layer's own gradients
    /// are made and `dx` is left as it is.
    fn attention_block_back(
        &self,
        rec: &mut Recording,
        place: Place<'_>,
        tape: &AttentionTape,
        dx: &Tensor,
        below: bool,
    ) {
        use Projection::{K, O, Q, V};
        let (c, layer) = (&self.config, &self.layers[place.index]);
        let (rows, q_width) = (dx.rows, c.heads * c.head_dim);
        let norm = (
            &layer.post_attn_norm,
            place.gain(|l| l.post_attn_norm.as_ref()),
        );
        let d_out = self.post_norm_back(rec, norm, tape.out.as_ref(), dx);
        let d_attended = rec.temp(DType::F32, rows, q_width);
        let (h, lora) = (&tape.attended, &tape.lora);
        let deeper = below || [Q, K, V].iter().any(|&p| place.trains(p));
        let into = deeper.then_some(Onto::Replace);
        self.project_back(rec, place, O, h, &d_out, &d_attended, into, lora);
        if !deeper {
            return;
        }
        let d_rotated = rec.temp(DType::F32, rows, q_width);
        let of_keys = self.attended_back(rec, place, tape, &d_attended, &d_rotated);
        let norm = (&layer.q_norm, place.gain(|l| l.q_norm.as_ref()));
        let dq = self.rotated_back(rec, place, norm, &tape.q, &d_rotated);
        let dh = rec.temp(DType::F32, rows, c.hidden);
        let (h, into) = (&tape.normed, below.then_some(Onto::Replace));
        self.project_back(rec, place, Q, h, &dq, &dh, into, lora);
        if let (Some([d_keys, dv]), Some(k)) = (&of_keys, &tape.k) {
            let norm = (&layer.k_norm, place.gain(|l| l.k_norm.as_ref()));
            let dk = self.rotated_back(rec, place, norm, k, d_keys);
            let into = below.then_some(Onto::Add);
            self.project_back(rec, place, K, h, &dk, &dh, into, lora);
            self.project_back(rec, place, V, h, dv, &dh, into, lora);
        }
        if below {
            let norm = (&layer.attn_norm, place.gain(|l| Some(&l.attn_norm)));
            self.norm_back(rec, norm, &tape.x, &dh, dx, Onto::Add);
        }
    }

    /// The gradient of heads before they were normalised and turned, and that of the gain where
    /// that is trained.
    fn rotated_back(
        &self,
        rec: &mut Recording,
        place: Place<'_>,
        (gain, d_gain): (&Option<Tensor>, Option<&Tensor>),
        x: &Tensor,
        dy: &Tensor,
    ) -> Tensor {
        let at = place.inputs.positions;
        let angles = place.inputs.attend.angles().of(place.index);
        let shape = self.rope_shape(x.cols / self.config.head_dim);
        if let Some(d_gain) = d_gain {
            rope_gain_back(rec, x, angles, at, dy, d_gain, shape);
        }
        let dx = rec.temp(DType::F32, x.rows, x.cols);
        rope_back(rec, x, gain.as_ref(), angles, at, dy, &dx, shape);
        dx
    }

    /// The gradient of turned queries, and those of turned keys and of values where they are not
    /// frozen.
    fn attended_back(
        &self,
        rec: &mut Recording,
        place: Place<'_>,
        tape: &AttentionTape,
        d_attended: &Tensor,
        d_rotated: &Tensor,
    ) -> Option<[Tensor; 2]> {
        let (c, rows, inputs) = (&self.config, d_attended.rows, place.inputs);
        let shape = self.attention_shape(inputs, place.index);
        let (at, q) = (inputs.positions, &tape.rotated);
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
        (gain, d_gain): (&Option<Tensor>, Option<&Tensor>),
        out: Option<&Tensor>,
        dx: &Tensor,
    ) -> Tensor {
        let (Some(gain), Some(out)) = (gain, out) else {
            return dx.clone();
        };
        let d_out = rec.temp(DType::F32, dx.rows, dx.cols);
        self.norm_back(rec, (gain, d_gain), out, dx, &d_out, Onto::Replace);
        d_out
    }

    /// The gradient of what entered a projection, `dx (+)= dy W + scale * (dy B) A`, unless `into`
    /// is `None`; those of its adapter, `dB += dy^T (scale * A x)`, `dA += (scale * dy B)^T x`; and
    /// those of its own weights, `dW += dy^T x`, and the sums of `dy` for a bias.
    fn project_back(
        &self,
        rec: &mut Recording,
        place: Place<'_>,
        projection: Projection,
        x: &Tensor,
        dy: &Tensor,
        dx: &Tensor,
        into: Option<Onto>,
        tape: &LoraTape,
    ) {
        let linear = self.layers[place.index].linear(projection);
        if let Some(into) = into {
            matmul_back(rec, dy, &linear.weight, dx, into);
        }
        if let Some(grads) = place.grads.map(|layer| layer.linear(projection)) {
            outer(rec, dy, x, matrix(&grads.weight), Onto::Add);
            if let Some(d_bias) = &grads.bias {
                column_sums(rec, dy, d_bias);
            }
        }
        let (Some(pair), Some(reduced)) = (place.pair(projection), tape.of(projection)) else {
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
