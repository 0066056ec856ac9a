//! The transformer and the memory before its tokens, forward and backward.

use std::ops::Range;

use inscribe::model::config::{Activation, ModelConfig};
use inscribe::model::flat::{FlatEntry, FlatLayout};
use inscribe::model::names::LayerRole::{
    AttnNorm, Down, FfnNorm, Gate, K, KNorm, O, Q, QNorm, Up, V,
};
use inscribe::model::names::{LayerRole, Role};
use inscribe::train::net::{Use, names};
use inscribe::train::{Question, Sample};

use super::rows::{
    Heads, Mat, add_scaled, attention, attention_back, cross_entropy, gated, gated_back, linear,
    linear_back, rms_norm, rms_norm_back, rotate,
};
use super::scalar::{Dual, Scalar};

/// A net without numbers: they come to each call as one list that is laid out like the trained
/// ones.
#[derive(Clone, Copy)]
pub struct Exact<'a> {
    pub config: &'a ModelConfig,
    pub layout: &'a FlatLayout,
}

/// Tokens after a memory, the last of which are predicted.
#[derive(Clone, Debug)]
pub struct Text {
    pub of: Use,
    pub tokens: Vec<u32>,
    pub learned: usize,
}

impl Text {
    pub fn context(sample: &Sample) -> Text {
        Text {
            of: Use::Write,
            tokens: sample.context.clone(),
            learned: sample.context.len(),
        }
    }

    pub fn question(question: &Question) -> Text {
        Text {
            of: Use::Read,
            tokens: [&question.prompt[..], &question.answer].concat(),
            learned: question.answer.len(),
        }
    }
}

/// The gradients of a mean loss.
#[derive(Clone, Debug)]
pub struct Gradients<S> {
    pub memory: Vec<S>,
    /// Of all trained numbers, as these are laid out.
    pub params: Vec<S>,
}

/// What a layer's backward pass needs of its forward pass.
struct Tape<S> {
    x: Mat<S>,
    normed: Mat<S>,
    q: Mat<S>,
    k: Mat<S>,
    v: Mat<S>,
    /// Queries and keys, normalised and turned.
    turned: [Mat<S>; 2],
    attended: Mat<S>,
    middle: Mat<S>,
    middle_normed: Mat<S>,
    gate: Mat<S>,
    up: Mat<S>,
    product: Mat<S>,
}

impl<'a> Exact<'a> {
    pub fn new(config: &'a ModelConfig, layout: &'a FlatLayout) -> Exact<'a> {
        let plain = !config.sandwich_norms && !config.qkv_bias && !config.rope_interleaved;
        let plain = plain && config.sliding.is_empty() && config.embedding_scale == 1.0;
        assert!(
            plain && config.activation == Activation::Silu,
            "a model of another kind"
        );
        Exact { config, layout }
    }

    /// Mean over the learned tokens of `-log P`.
    pub fn loss<S: Scalar>(&self, params: &[S], memory: &[S], text: &Text) -> S {
        let (_, x) = self.forward(params, self.enter(params, memory, text));
        let (loss, _, _) = self.score(params, &x, text);
        loss
    }

    /// The gradients of that loss.
    pub fn gradients<S: Scalar>(&self, params: &[S], memory: &[S], text: &Text) -> Gradients<S> {
        let mut grads = vec![S::of(0.0); params.len()];
        let (tapes, x) = self.forward(params, self.enter(params, memory, text));
        let (_, normed, d_logits) = self.score(params, &x, text);
        let head = self.head(text.of);
        let d = linear_back(&d_logits, &normed, &params[head.clone()], &mut grads[head]);
        let mut d = self.norm_back(Role::OutputNorm, params, &mut grads, &d, &x);
        for (i, tape) in tapes.iter().enumerate().rev() {
            d = self.mlp_back(i, params, &mut grads, d, tape);
            d = self.attention_back(i, params, &mut grads, d, tape);
        }
        let memory = self.leave(params, &mut grads, &d, memory, text);
        Gradients {
            memory,
            params: grads,
        }
    }

    /// The gradients and, as tangents, their derivatives along a direction of the memory.
    pub fn along(
        &self,
        params: &[f64],
        memory: &[f64],
        direction: &[f64],
        text: &Text,
    ) -> Gradients<Dual> {
        let memory = Dual::along(memory, direction);
        self.gradients(&Dual::still(params), &memory, text)
    }

    fn role(&self, role: Role) -> Option<Range<usize>> {
        let found = self.layout.entries.iter().find(|e| e.role == Some(role));
        found.map(|entry| entry.range.clone())
    }

    fn own(&self, role: Role) -> Range<usize> {
        self.role(role).expect("a weight of the model")
    }

    fn head(&self, of: Use) -> Range<usize> {
        let own = self.layout.entry(names::WRITE_HEAD);
        let own = own.filter(|_| of == Use::Write);
        let head = own.or_else(|| self.layout.output());
        head.expect("a head").range.clone()
    }

    fn around(&self, of: Use) -> [Option<&FlatEntry>; 2] {
        names::AROUND[of as usize].map(|name| self.layout.entry(name))
    }

    fn projection(&self) -> Option<[Range<usize>; 2]> {
        let weight = self.layout.entry(names::PROJECTION)?;
        let bias = self.layout.entry(names::PROJECTION_BIAS)?;
        Some([weight.range.clone(), bias.range.clone()])
    }

    /// Control rows, memory through its projection, control rows, and the tokens that are read:
    /// the last is predicted only.
    fn enter<S: Scalar>(&self, params: &[S], memory: &[S], text: &Text) -> Mat<S> {
        let hidden = self.config.hidden;
        let mut memory = Mat::new(hidden, memory);
        if let Some([weight, bias]) = self.projection() {
            memory = linear(&memory, &params[weight]);
            for row in memory.data.chunks_exact_mut(hidden) {
                add_scaled(row, S::of(1.0), &params[bias.clone()]);
            }
        }
        let [before, after] = self.around(text.of);
        let mut all = Mat::zeros(0, hidden);
        let control = |entry: Option<&FlatEntry>| entry.map_or(0..0, |e| e.range.clone());
        all.data.extend(&params[control(before)]);
        all.data.extend(memory.data);
        all.data.extend(&params[control(after)]);
        let embedding = self.own(Role::Embedding).start;
        for &id in &text.tokens[..text.tokens.len() - 1] {
            let first = embedding + id as usize * hidden;
            all.data.extend(&params[first..first + hidden]);
        }
        all
    }

    /// The way back from the gradients of those rows; gives the memory's.
    fn leave<S: Scalar>(
        &self,
        params: &[S],
        grads: &mut [S],
        d: &Mat<S>,
        memory: &[S],
        text: &Text,
    ) -> Vec<S> {
        let hidden = self.config.hidden;
        let [before, after] = self
            .around(text.of)
            .map(|e| e.map_or(0..0, |e| e.range.clone()));
        let (d_before, d_rest) = d.data.split_at(before.len());
        let (d_memory, d_rest) = d_rest.split_at(memory.len());
        let (d_after, d_tokens) = d_rest.split_at(after.len());
        add_scaled(&mut grads[before], S::of(1.0), d_before);
        add_scaled(&mut grads[after], S::of(1.0), d_after);
        let embedding = self.own(Role::Embedding).start;
        for (&id, d) in text.tokens.iter().zip(d_tokens.chunks_exact(hidden)) {
            let first = embedding + id as usize * hidden;
            add_scaled(&mut grads[first..first + hidden], S::of(1.0), d);
        }
        let Some([weight, bias]) = self.projection() else {
            return d_memory.to_vec();
        };
        let (d_memory, memory) = (Mat::new(hidden, d_memory), Mat::new(hidden, memory));
        for d in d_memory.data.chunks_exact(hidden) {
            add_scaled(&mut grads[bias.clone()], S::of(1.0), d);
        }
        linear_back(
            &d_memory,
            &memory,
            &params[weight.clone()],
            &mut grads[weight],
        )
        .data
    }

    /// The loss, the rows behind the output norm, and the gradients of all logits.
    fn score<S: Scalar>(&self, params: &[S], x: &Mat<S>, text: &Text) -> (S, Mat<S>, Mat<S>) {
        let normed = self.norm(Role::OutputNorm, params, x);
        let logits = linear(&normed, &params[self.head(text.of)]);
        let mut d_logits = Mat::zeros(logits.rows(), logits.cols);
        let weight = S::of(1.0 / text.learned as f64);
        let mut loss = S::of(0.0);
        let learned = &text.tokens[text.tokens.len() - text.learned..];
        // The last rows predict the last tokens.
        let first = x.rows() - text.learned;
        for (row, &target) in (first..).zip(learned) {
            let (own, d) = cross_entropy(logits.row(row), target as usize);
            loss += weight * own;
            add_scaled(d_logits.row_mut(row), weight, &d);
        }
        (loss, normed, d_logits)
    }

    fn forward<S: Scalar>(&self, params: &[S], mut x: Mat<S>) -> (Vec<Tape<S>>, Mat<S>) {
        let mut tapes = Vec::new();
        for i in 0..self.config.layers {
            let (tape, next) = self.layer(i, params, x);
            tapes.push(tape);
            x = next;
        }
        (tapes, x)
    }

    fn layer<S: Scalar>(&self, i: usize, params: &[S], x: Mat<S>) -> (Tape<S>, Mat<S>) {
        let weight = |role| &params[self.own(Role::Layer(i, role))];
        let normed = self.norm(Role::Layer(i, AttnNorm), params, &x);
        let [q, k, v] = [Q, K, V].map(|role| linear(&normed, weight(role)));
        let turned = [(QNorm, &q), (KNorm, &k)].map(|(norm, heads)| {
            let mut heads = self.norm(Role::Layer(i, norm), params, heads);
            rotate(&mut heads, &self.config.rope_inv_freqs(i), 1.0);
            heads
        });
        let attended = attention(&turned[0], &turned[1], &v, self.heads());
        let mut middle = linear(&attended, weight(O));
        middle.add(&x);
        let middle_normed = self.norm(Role::Layer(i, FfnNorm), params, &middle);
        let [gate, up] = [Gate, Up].map(|role| linear(&middle_normed, weight(role)));
        let product = gated(&gate, &up);
        let mut next = linear(&product, weight(Down));
        next.add(&middle);
        let tape = Tape {
            x,
            normed,
            q,
            k,
            v,
            turned,
            attended,
            middle,
            middle_normed,
            gate,
            up,
            product,
        };
        (tape, next)
    }

    fn heads(&self) -> Heads {
        Heads {
            queries: self.config.heads,
            keys: self.config.kv_heads,
            dim: self.config.head_dim,
            scale: f64::from(self.config.attention_scale),
        }
    }

    fn mlp_back<S: Scalar>(
        &self,
        i: usize,
        params: &[S],
        grads: &mut [S],
        mut d: Mat<S>,
        tape: &Tape<S>,
    ) -> Mat<S> {
        let d_product = self.back(i, Down, params, grads, &d, &tape.product);
        let [d_gate, d_up] = gated_back(&d_product, &tape.gate, &tape.up);
        let mut d_normed = self.back(i, Gate, params, grads, &d_gate, &tape.middle_normed);
        d_normed.add(&self.back(i, Up, params, grads, &d_up, &tape.middle_normed));
        let norm = Role::Layer(i, FfnNorm);
        d.add(&self.norm_back(norm, params, grads, &d_normed, &tape.middle));
        d
    }

    fn attention_back<S: Scalar>(
        &self,
        i: usize,
        params: &[S],
        grads: &mut [S],
        mut d: Mat<S>,
        tape: &Tape<S>,
    ) -> Mat<S> {
        let d_attended = self.back(i, O, params, grads, &d, &tape.attended);
        let [q, k] = &tape.turned;
        let [mut dq, mut dk, dv] = attention_back(&d_attended, q, k, &tape.v, self.heads());
        for (d, norm, heads) in [(&mut dq, QNorm, &tape.q), (&mut dk, KNorm, &tape.k)] {
            rotate(d, &self.config.rope_inv_freqs(i), -1.0);
            *d = self.norm_back(Role::Layer(i, norm), params, grads, d, heads);
        }
        let mut d_normed = self.back(i, Q, params, grads, &dq, &tape.normed);
        d_normed.add(&self.back(i, K, params, grads, &dk, &tape.normed));
        d_normed.add(&self.back(i, V, params, grads, &dv, &tape.normed));
        let norm = Role::Layer(i, AttnNorm);
        d.add(&self.norm_back(norm, params, grads, &d_normed, &tape.x));
        d
    }

    fn back<S: Scalar>(
        &self,
        i: usize,
        role: LayerRole,
        params: &[S],
        grads: &mut [S],
        dy: &Mat<S>,
        x: &Mat<S>,
    ) -> Mat<S> {
        let own = self.own(Role::Layer(i, role));
        linear_back(dy, x, &params[own.clone()], &mut grads[own])
    }

    /// Normalises where the model does.
    fn norm<S: Scalar>(&self, role: Role, params: &[S], x: &Mat<S>) -> Mat<S> {
        let eps = f64::from(self.config.norm_eps);
        self.role(role)
            .map_or_else(|| x.clone(), |own| rms_norm(x, &params[own], eps))
    }

    fn norm_back<S: Scalar>(
        &self,
        role: Role,
        params: &[S],
        grads: &mut [S],
        dy: &Mat<S>,
        x: &Mat<S>,
    ) -> Mat<S> {
        let Some(own) = self.role(role) else {
            return dy.clone();
        };
        let eps = f64::from(self.config.norm_eps);
        rms_norm_back(dy, x, &params[own.clone()], eps, &mut grads[own])
    }
}
