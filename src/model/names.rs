//! What a weight does, and what files call it.

use std::fmt;

/// A weight's part in the transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Embedding,
    OutputNorm,
    Output,
    Layer(usize, LayerRole),
}

/// A weight's part in one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerRole {
    AttnNorm,
    Q,
    K,
    V,
    O,
    QBias,
    KBias,
    VBias,
    QNorm,
    KNorm,
    PostAttnNorm,
    FfnNorm,
    Gate,
    Up,
    Down,
    PostFfnNorm,
}

impl Role {
    /// Whether it is added to what a projection gives.
    pub fn is_bias(self) -> bool {
        use LayerRole::{KBias, QBias, VBias};
        matches!(self, Role::Layer(_, QBias | KBias | VBias))
    }

    /// The name in a GGUF file.
    pub fn gguf(self) -> String {
        match self {
            Role::Embedding => "token_embd.weight".into(),
            Role::OutputNorm => "output_norm.weight".into(),
            Role::Output => "output.weight".into(),
            Role::Layer(i, role) => format!("blk.{i}.{}", role.gguf()),
        }
    }

    /// The name in a Hugging Face checkpoint. Models with sandwich norms name the norm before
    /// the MLP differently, because `post_attention_layernorm` is what they call the norm after
    /// attention.
    pub fn hugging_face(self, sandwich_norms: bool) -> String {
        match self {
            Role::Embedding => "model.embed_tokens.weight".into(),
            Role::OutputNorm => "model.norm.weight".into(),
            Role::Output => "lm_head.weight".into(),
            Role::Layer(i, role) => {
                format!("model.layers.{i}.{}", role.hugging_face(sandwich_norms))
            }
        }
    }
}

impl LayerRole {
    fn gguf(self) -> &'static str {
        match self {
            LayerRole::AttnNorm => "attn_norm.weight",
            LayerRole::Q => "attn_q.weight",
            LayerRole::K => "attn_k.weight",
            LayerRole::V => "attn_v.weight",
            LayerRole::O => "attn_output.weight",
            LayerRole::QBias => "attn_q.bias",
            LayerRole::KBias => "attn_k.bias",
            LayerRole::VBias => "attn_v.bias",
            LayerRole::QNorm => "attn_q_norm.weight",
            LayerRole::KNorm => "attn_k_norm.weight",
            LayerRole::PostAttnNorm => "post_attention_norm.weight",
            LayerRole::FfnNorm => "ffn_norm.weight",
            LayerRole::Gate => "ffn_gate.weight",
            LayerRole::Up => "ffn_up.weight",
            LayerRole::Down => "ffn_down.weight",
            LayerRole::PostFfnNorm => "post_ffw_norm.weight",
        }
    }

    fn hugging_face(self, sandwich_norms: bool) -> &'static str {
        match self {
            LayerRole::AttnNorm => "input_layernorm.weight",
            LayerRole::Q => "self_attn.q_proj.weight",
            LayerRole::K => "self_attn.k_proj.weight",
            LayerRole::V => "self_attn.v_proj.weight",
            LayerRole::O => "self_attn.o_proj.weight",
            LayerRole::QBias => "self_attn.q_proj.bias",
            LayerRole::KBias => "self_attn.k_proj.bias",
            LayerRole::VBias => "self_attn.v_proj.bias",
            LayerRole::QNorm => "self_attn.q_norm.weight",
            LayerRole::KNorm => "self_attn.k_norm.weight",
            LayerRole::PostAttnNorm => "post_attention_layernorm.weight",
            LayerRole::FfnNorm if sandwich_norms => "pre_feedforward_layernorm.weight",
            LayerRole::FfnNorm => "post_attention_layernorm.weight",
            LayerRole::Gate => "mlp.gate_proj.weight",
            LayerRole::Up => "mlp.up_proj.weight",
            LayerRole::Down => "mlp.down_proj.weight",
            LayerRole::PostFfnNorm => "post_feedforward_layernorm.weight",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.gguf())
    }
}
