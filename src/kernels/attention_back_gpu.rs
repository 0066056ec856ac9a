//! Which shaders differentiate attention.

use crate::engine::gpu::Variant;
use crate::engine::{Dispatch, Tier};
use crate::kernels::attention::AttentionParams;

pub fn choose_q(dispatch: &Dispatch, _: &Tier) -> Variant {
    let params: AttentionParams = dispatch.params();
    let groups = [dispatch.view(0).rows as u32, params.heads, 1];
    Variant::portable("attention_back_q", groups)
}

pub fn choose_kv(dispatch: &Dispatch, _: &Tier) -> Variant {
    let params: AttentionParams = dispatch.params();
    let groups = [dispatch.view(1).rows as u32, params.kv_heads, 1];
    Variant::portable("attention_back_kv", groups)
}

/// Every variant there is, for validation.
pub fn variants_q() -> Vec<Variant> {
    vec![Variant::portable("attention_back_q", [1; 3])]
}

pub fn variants_kv() -> Vec<Variant> {
    vec![Variant::portable("attention_back_kv", [1; 3])]
}
