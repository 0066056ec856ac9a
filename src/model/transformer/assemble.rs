//! What a transformer of a config is made of, whoever brings the weights.

use super::{Layer, Linear, Transformer};
use crate::engine::{Tensor, Weight};
use crate::model::config::ModelConfig;
use crate::model::names::{LayerRole, Role};

/// Brings the weights of a transformer, each asked for once.
pub(crate) trait Brings<E> {
    /// A matrix of `rows` outputs by `cols` inputs.
    fn matrix(&mut self, role: Role, rows: usize, cols: usize) -> Result<Weight, E>;

    /// A norm's gain, as it multiplies, or a bias, `1 x cols`.
    fn vector(&mut self, role: Role, cols: usize) -> Result<Tensor, E>;
}

impl Transformer {
    /// A transformer of the weights that `parts` brings: the layers' in order, then the ends'.
    pub(crate) fn assemble<E>(
        config: ModelConfig,
        parts: &mut dyn Brings<E>,
    ) -> Result<Transformer, E> {
        let layers = (0..config.layers)
            .map(|i| layer(&config, i, parts))
            .collect::<Result<_, E>>()?;
        let (vocab, hidden) = (config.vocab, config.hidden);
        let embedding = parts.matrix(Role::Embedding, vocab, hidden)?;
        let output_norm = parts.vector(Role::OutputNorm, hidden)?;
        let untied = !config.tied_embeddings;
        let output = untied.then(|| parts.matrix(Role::Output, vocab, hidden));
        Ok(Transformer {
            embedding,
            output_norm,
            output: output.transpose()?,
            layers,
            config,
        })
    }
}

fn layer<E>(c: &ModelConfig, i: usize, parts: &mut dyn Brings<E>) -> Result<Layer, E> {
    use LayerRole::*;
    let (q_width, kv_width) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
    let mut linear = |role, bias: Option<LayerRole>, rows, cols| -> Result<Linear, E> {
        let weight = parts.matrix(Role::Layer(i, role), rows, cols)?;
        let bias = bias.map(|bias| parts.vector(Role::Layer(i, bias), rows));
        Ok(Linear {
            weight,
            bias: bias.transpose()?,
        })
    };
    let of = |bias: LayerRole| c.qkv_bias.then_some(bias);
    let q = linear(Q, of(QBias), q_width, c.hidden)?;
    let k = linear(K, of(KBias), kv_width, c.hidden)?;
    let v = linear(V, of(VBias), kv_width, c.hidden)?;
    let o = linear(O, None, c.hidden, q_width)?;
    let gate = linear(Gate, None, c.ffn, c.hidden)?;
    let up = linear(Up, None, c.ffn, c.hidden)?;
    let down = linear(Down, None, c.hidden, c.ffn)?;
    let mut norm = |has: bool, role, cols| -> Result<Option<Tensor>, E> {
        has.then(|| parts.vector(Role::Layer(i, role), cols))
            .transpose()
    };
    let q_norm = norm(c.qk_norm, QNorm, c.head_dim)?;
    let k_norm = norm(c.qk_norm, KNorm, c.head_dim)?;
    let post_attn_norm = norm(c.sandwich_norms, PostAttnNorm, c.hidden)?;
    let post_ffn_norm = norm(c.sandwich_norms, PostFfnNorm, c.hidden)?;
    Ok(Layer {
        attn_norm: parts.vector(Role::Layer(i, AttnNorm), c.hidden)?,
        q,
        k,
        v,
        o,
        q_norm,
        k_norm,
        post_attn_norm,
        ffn_norm: parts.vector(Role::Layer(i, FfnNorm), c.hidden)?,
        gate,
        up,
        down,
        post_ffn_norm,
    })
}
