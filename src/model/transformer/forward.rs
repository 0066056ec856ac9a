//! The forward pass.
//!
//! One code serves reading and training. Reading works in place; training keeps what the backward
//! pass reads (see [`LayerTape`]), and the recording's plan keeps its memory alive for as long.

use super::cache::HeadPart;
use super::{Attend, Inputs, Transformer};
use crate::engine::{DType, Device, Recording, Tensor, Weight};
use crate::kernels::attention::{AttentionShape, attention};
use crate::kernels::cross_entropy::{STATE_COLS, cross_entropy};
use crate::kernels::embed::embed;
use crate::kernels::gated::{gated, gated_into};
use crate::kernels::matmul::{Onto, matmul, matmul_rows};
use crate::kernels::norm::rms_norm;
use crate::kernels::optimizer::scale;
use crate::kernels::rope::{RopeShape, rope, scatter_rows};
use crate::model::adapter::Projection;
use crate::model::error::ModelError;

/// Tokens of the vocabulary scored at a time: `rows x 4096` logits exist at once, never
/// `rows x vocabulary`.
const VOCABULARY_TILE: usize = 4096;

/// What the backward pass of one layer reads.
pub(super) struct LayerTape {
    pub attention: AttentionTape,
    pub ffn: FfnTape,
}

pub(super) struct AttentionTape {
    pub x: Tensor,
    pub normed: Tensor,
    /// Queries before rotation.
    pub q: Tensor,
    /// Keys before rotation; absent where keys are constants.
    pub k: Option<Tensor>,
    pub rotated: Tensor,
    pub parts: Vec<HeadPart>,
    pub attended: Tensor,
    /// What the output projection gave, where a norm follows.
    pub out: Option<Tensor>,
    pub lora: LoraTape,
}

pub(super) struct FfnTape {
    pub x: Tensor,
    pub normed: Tensor,
    /// The gate's product before activation.
    pub gate: Tensor,
    pub up: Tensor,
    pub gated: Tensor,
    pub out: Option<Tensor>,
    pub lora: LoraTape,
}

/// `scale * A x` of the projections that an adapter adds to.
#[derive(Default)]
pub(super) struct LoraTape {
    reduced: Vec<(Projection, Tensor)>,
}

impl LoraTape {
    pub fn of(&self, projection: Projection) -> Option<&Tensor> {
        let found = self.reduced.iter().find(|(p, _)| *p == projection);
        found.map(|(_, reduced)| reduced)
    }
}

impl Transformer {
    /// Appends the forward pass through every layer and gives the hidden states after the last,
    /// before the output norm.
    pub fn forward(&self, rec: &mut Recording, inputs: &Inputs<'_>) -> Tensor {
        let x = self.embedded(rec, inputs);
        for index in 0..self.layers.len() {
            self.layer(rec, inputs, index, &x, false);
        }
        x
    }

    /// The rows that enter the first layer.
    pub(super) fn embedded(&self, rec: &mut Recording, inputs: &Inputs<'_>) -> Tensor {
        let c = &self.config;
        let x = rec.temp(DType::F32, inputs.rows(), c.hidden);
        let before = inputs.prefix.map_or(0, |p| p.rows);
        if inputs.sequences.is_some() && (before > 0 || inputs.suffix.is_some()) {
            let tokens = rec.temp(DType::F32, inputs.ids.cols, c.hidden);
            embed(rec, inputs.ids, &self.embedding, c.embedding_scale, &tokens);
            inputs.join(rec, &tokens, &x);
            return x;
        }
        if let Some(prefix) = inputs.prefix {
            rec.copy(prefix, &x.row_range(0..before));
        }
        if inputs.ids.cols > 0 {
            let tokens = x.row_range(before..x.rows);
            embed(rec, inputs.ids, &self.embedding, c.embedding_scale, &tokens);
        }
        x
    }

    /// The embeddings of tokens as they enter the first layer, `ids x hidden`.
    pub fn embeddings(&self, device: &Device, ids: &[u32]) -> Result<Vec<f32>, ModelError> {
        let c = &self.config;
        let vocab = c.vocab;
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(ModelError::TokenOutOfRange { id, vocab });
        }
        let out = device.tensor(DType::F32, ids.len(), c.hidden, "embeddings")?;
        let ids = device.tensor_of(DType::U32, ids, "token ids")?;
        let mut rec = Recording::new();
        embed(&mut rec, &ids, &self.embedding, c.embedding_scale, &out);
        device.run_once(rec)?;
        Ok(device.read(&out)?)
    }

    /// Appends one layer. With `keep` nothing that the backward pass reads is overwritten, and
    /// the result is a tensor of its own; without, the result is `x` itself.
    pub(super) fn layer(
        &self,
        rec: &mut Recording,
        inputs: &Inputs<'_>,
        index: usize,
        x: &Tensor,
        keep: bool,
    ) -> (Tensor, LayerTape) {
        let (middle, attention) = self.attention_block(rec, inputs, index, x, keep);
        let (out, ffn) = self.ffn_block(rec, inputs, index, &middle, keep);
        (out, LayerTape { attention, ffn })
    }

    fn attention_block(
        &self,
        rec: &mut Recording,
        inputs: &Inputs<'_>,
        index: usize,
        x: &Tensor,
        keep: bool,
    ) -> (Tensor, AttentionTape) {
        let (c, layer) = (&self.config, &self.layers[index]);
        let (rows, q_width) = (x.rows, c.heads * c.head_dim);
        let mut lora = LoraTape::default();
        let normed = rec.temp(DType::F32, rows, c.hidden);
        rms_norm(rec, x, &layer.attn_norm, c.norm_eps, &normed, false);
        let q = rec.temp(DType::F32, rows, q_width);
        let place = (inputs, index);
        self.project(
            rec,
            place,
            Projection::Q,
            &normed,
            &q,
            Onto::Replace,
            &mut lora,
        );
        // Right after the queries: the processor multiplies the same rows as one job.
        let own = self.keys_and_values(rec, place, &normed, &mut lora);
        let rotated = rec.temp(DType::F32, rows, q_width);
        let attended = rec.temp(DType::F32, rows, q_width);
        let parts = self.attend(rec, place, (&q, own.as_ref()), &rotated, &attended);
        let norm = layer.post_attn_norm.as_ref();
        let (middle, out) = self.add_to_stream(
            rec,
            place,
            Projection::O,
            norm,
            &attended,
            x,
            keep,
            &mut lora,
        );
        let tape = AttentionTape {
            x: x.clone(),
            normed,
            q,
            k: own.map(|(k, _)| k),
            rotated,
            parts,
            attended,
            out,
            lora,
        };
        (middle, tape)
    }

    /// The rows' own keys, before rotation, and values, where they have some.
    fn keys_and_values(
        &self,
        rec: &mut Recording,
        place: (&Inputs<'_>, usize),
        normed: &Tensor,
        lora: &mut LoraTape,
    ) -> Option<(Tensor, Tensor)> {
        if let Attend::Frozen(_) = place.0.attend {
            return None;
        }
        let width = self.config.kv_heads * self.config.head_dim;
        let k = rec.temp(DType::F32, normed.rows, width);
        let v = rec.temp(DType::F32, normed.rows, width);
        self.project(rec, place, Projection::K, normed, &k, Onto::Replace, lora);
        self.project(rec, place, Projection::V, normed, &v, Onto::Replace, lora);
        Some((k, v))
    }

    /// Appends the attention of the rows, whose queries are turned into `rotated`; gives the keys
    /// and values that they attended to, their own among them.
    fn attend(
        &self,
        rec: &mut Recording,
        (inputs, index): (&Inputs<'_>, usize),
        (q, own): (&Tensor, Option<&(Tensor, Tensor)>),
        rotated: &Tensor,
        attended: &Tensor,
    ) -> Vec<HeadPart> {
        let (c, layer) = (&self.config, &self.layers[index]);
        let (attend, at) = (inputs.attend, inputs.positions);
        let (angles, norm) = (attend.angles().of(index), layer.k_norm.as_ref());
        let parts = match (attend, own) {
            (Attend::Cache(cache), Some((k, v))) => {
                for part in &cache.layers[index] {
                    let cols = part.key_cols(c.head_dim);
                    let shape = self.rope_shape(part.heads.len());
                    let k = k.col_range(cols.clone());
                    rope(rec, &k, norm, angles, at, &part.keys, shape, true);
                    scatter_rows(rec, &v.col_range(cols), at, &part.values);
                }
                cache.layers[index].clone()
            }
            (Attend::Rows(_), Some((k, values))) => {
                let keys = rec.temp(DType::F32, k.rows, k.cols);
                let shape = self.rope_shape(c.kv_heads);
                rope(rec, k, norm, angles, at, &keys, shape, false);
                vec![HeadPart {
                    heads: 0..c.kv_heads,
                    keys,
                    values: values.clone(),
                }]
            }
            (Attend::Frozen(cache), _) => cache.layers[index].clone(),
            _ => unreachable!("all but frozen rows have keys"),
        };
        let (norm, shape) = (layer.q_norm.as_ref(), self.rope_shape(c.heads));
        rope(rec, q, norm, angles, at, rotated, shape, false);
        let shape = self.attention_shape(inputs, index);
        for part in &parts {
            let cols = part.query_cols(shape);
            attention(
                rec,
                &rotated.col_range(cols.clone()),
                &part.keys,
                &part.values,
                at,
                &attended.col_range(cols),
                part.shape(shape),
                inputs.expected_keys,
            );
        }
        parts
    }

    fn ffn_block(
        &self,
        rec: &mut Recording,
        inputs: &Inputs<'_>,
        index: usize,
        x: &Tensor,
        keep: bool,
    ) -> (Tensor, FfnTape) {
        let (c, layer) = (&self.config, &self.layers[index]);
        let place = (inputs, index);
        let mut lora = LoraTape::default();
        let normed = rec.temp(DType::F32, x.rows, c.hidden);
        rms_norm(rec, x, &layer.ffn_norm, c.norm_eps, &normed, false);
        let gate = rec.temp(DType::F32, x.rows, c.ffn);
        let up = rec.temp(DType::F32, x.rows, c.ffn);
        self.project(
            rec,
            place,
            Projection::Gate,
            &normed,
            &gate,
            Onto::Replace,
            &mut lora,
        );
        self.project(
            rec,
            place,
            Projection::Up,
            &normed,
            &up,
            Onto::Replace,
            &mut lora,
        );
        let product = if keep {
            let product = rec.temp(DType::F32, x.rows, c.ffn);
            gated_into(rec, &gate, &up, &product, c.activation);
            product
        } else {
            gated(rec, &gate, &up, c.activation);
            gate.clone()
        };
        let norm = layer.post_ffn_norm.as_ref();
        let (after, out) = self.add_to_stream(
            rec,
            place,
            Projection::Down,
            norm,
            &product,
            x,
            keep,
            &mut lora,
        );
        let tape = FfnTape {
            x: x.clone(),
            normed,
            gate,
            up,
            gated: product,
            out,
            lora,
        };
        (after, tape)
    }

    /// `x + post_norm(projection(h))`, in `x` itself unless `keep`; and what was projected, where
    /// a norm follows. Without a norm the product is added as it is made.
    fn add_to_stream(
        &self,
        rec: &mut Recording,
        place: (&Inputs<'_>, usize),
        projection: Projection,
        post_norm: Option<&Tensor>,
        h: &Tensor,
        x: &Tensor,
        keep: bool,
        lora: &mut LoraTape,
    ) -> (Tensor, Option<Tensor>) {
        let sum = if keep {
            let sum = rec.temp(DType::F32, x.rows, x.cols);
            rec.copy(x, &sum);
            sum
        } else {
            x.clone()
        };
        match post_norm {
            None => {
                self.project(rec, place, projection, h, &sum, Onto::Add, lora);
                (sum, None)
            }
            Some(norm) => {
                let out = rec.temp(DType::F32, x.rows, x.cols);
                self.project(rec, place, projection, h, &out, Onto::Replace, lora);
                rms_norm(rec, &out, norm, self.config.norm_eps, &sum, true);
                (sum, Some(out))
            }
        }
    }

    /// `out = W x + bias + B (scale * A x)`, or `out += …`.
    fn project(
        &self,
        rec: &mut Recording,
        (inputs, index): (&Inputs<'_>, usize),
        projection: Projection,
        x: &Tensor,
        out: &Tensor,
        into: Onto,
        tape: &mut LoraTape,
    ) {
        let linear = self.layers[index].linear(projection);
        let (weight, bias) = (&linear.weight, linear.bias.as_ref());
        matmul(rec, x, weight, bias, out, into);
        let pair = inputs.adapter.and_then(|a| a.pair(index, projection));
        if let Some(pair) = pair {
            let reduced = rec.temp(DType::F32, x.rows, pair.a.rows);
            matmul(rec, x, &pair.a, None, &reduced, Onto::Replace);
            scale(rec, &reduced, pair.scale);
            matmul(rec, &reduced, &pair.b, None, out, Onto::Add);
            tape.reduced.push((projection, reduced));
        }
    }

    pub(super) fn rope_shape(&self, heads: usize) -> RopeShape {
        RopeShape {
            heads,
            head_dim: self.config.head_dim,
            interleaved: self.config.rope_interleaved,
            eps: self.config.norm_eps,
        }
    }

    pub(super) fn attention_shape(&self, inputs: &Inputs<'_>, index: usize) -> AttentionShape {
        let c = &self.config;
        AttentionShape {
            sequence: inputs.sequence(),
            heads: c.heads,
            kv_heads: c.kv_heads,
            head_dim: c.head_dim,
            window: c.window_of(index),
            scale: c.attention_scale,
        }
    }

    /// Appends the logits of some hidden states, `x.rows x vocabulary`.
    pub fn logits(&self, rec: &mut Recording, x: &Tensor, logits: &Tensor) {
        let normed = self.output_normed(rec, x);
        matmul(rec, &normed, self.head(), None, logits, Onto::Replace);
    }

    /// Appends the score of each row's target: `state` is filled for
    /// [`crate::kernels::cross_entropy::finish`].
    pub fn score(&self, rec: &mut Recording, x: &Tensor, targets: &Tensor, state: &Tensor) {
        self.score_by(rec, x, self.head(), targets, state);
    }

    /// As [`Transformer::score`] with another head.
    pub fn score_by(
        &self,
        rec: &mut Recording,
        x: &Tensor,
        head: &Weight,
        targets: &Tensor,
        state: &Tensor,
    ) {
        assert_eq!(state.cols, STATE_COLS);
        let normed = self.output_normed(rec, x);
        for first in (0..head.rows).step_by(VOCABULARY_TILE) {
            let rows = first..head.rows.min(first + VOCABULARY_TILE);
            let logits = rec.temp(DType::F32, x.rows, rows.len());
            matmul_rows(rec, &normed, head, rows, None, &logits, Onto::Replace);
            cross_entropy(rec, &logits, targets, state, first, first == 0);
        }
    }

    pub(crate) fn output_normed(&self, rec: &mut Recording, x: &Tensor) -> Tensor {
        let normed = rec.temp(DType::F32, x.rows, x.cols);
        let eps = self.config.norm_eps;
        rms_norm(rec, x, &self.output_norm, eps, &normed, false);
        normed
    }
}
