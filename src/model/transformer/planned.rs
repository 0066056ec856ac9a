//! A model without memory: what its passes need is planned before anything is loaded.

use super::{Layer, Linear, Transformer};
use crate::engine::{DType, Tensor, Weight};
use crate::model::config::ModelConfig;

impl Transformer {
    /// A model of these sizes whose weights take no memory. Its passes can be recorded and planned,
    /// not run. What a pass needs beside the weights does not depend on their types.
    pub(crate) fn planned(config: &ModelConfig) -> Transformer {
        let c = config;
        let vector = |cols| Tensor::planned(DType::F32, 1, cols);
        let weight = |rows, cols| Weight::of(Tensor::planned(DType::F32, rows, cols));
        let linear = |rows, cols, bias: bool| Linear {
            weight: weight(rows, cols),
            bias: bias.then(|| vector(rows)),
        };
        let (q_width, kv_width) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
        let layer = |_| Layer {
            attn_norm: vector(c.hidden),
            q: linear(q_width, c.hidden, c.qkv_bias),
            k: linear(kv_width, c.hidden, c.qkv_bias),
            v: linear(kv_width, c.hidden, c.qkv_bias),
            o: linear(c.hidden, q_width, false),
            q_norm: c.qk_norm.then(|| vector(c.head_dim)),
            k_norm: c.qk_norm.then(|| vector(c.head_dim)),
            post_attn_norm: c.sandwich_norms.then(|| vector(c.hidden)),
            ffn_norm: vector(c.hidden),
            gate: linear(c.ffn, c.hidden, false),
            up: linear(c.ffn, c.hidden, false),
            down: linear(c.hidden, c.ffn, false),
            post_ffn_norm: c.sandwich_norms.then(|| vector(c.hidden)),
        };
        Transformer {
            config: c.clone(),
            embedding: weight(c.vocab, c.hidden),
            output_norm: vector(c.hidden),
            output: (!c.tied_embeddings).then(|| weight(c.vocab, c.hidden)),
            layers: (0..c.layers).map(layer).collect(),
        }
    }
}
