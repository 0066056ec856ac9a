//! Which shaders differentiate attention: by the number of rows, the head's width and the device's
//! workgroup memory.

use crate::engine::gpu::Variant;
use crate::engine::{Dispatch, Tier};
use crate::kernels::attention::AttentionParams;
use crate::kernels::attention_gpu::{ROWS_FOR_TILES, Rows, TILE_ROWS, aligned};

/// Bytes of workgroup memory a tile of queries takes, rounded up.
const TILE_BYTES_Q: u32 = 23 << 10;
/// Bytes of workgroup memory a tile of keys takes, rounded up.
const TILE_BYTES_KV: u32 = 26 << 10;
/// Vectors of four that a head has at most in a tile of queries.
const MOST_VECTORS: u32 = 64;

pub fn choose_q(dispatch: &Dispatch, tier: &Tier) -> Variant {
    let params: AttentionParams = dispatch.params();
    let rows = Rows::of(&params, dispatch.view(0));
    let vectors = params.head_dim / 4;
    let tiles = rows.each >= ROWS_FOR_TILES
        && vectors <= MOST_VECTORS
        && tier.workgroup_bytes >= TILE_BYTES_Q
        && in_vectors(dispatch, &params, &[0, 1, 2, 4, 5, 7]);
    if tiles {
        let groups = [rows.tiles(TILE_ROWS), params.heads, 1];
        q_tile(vectors.div_ceil(16).next_power_of_two(), groups)
    } else {
        let groups = [rows.tiles(1), params.heads, 1];
        Variant::portable("attention_back_q", groups)
    }
}

pub fn choose_kv(dispatch: &Dispatch, tier: &Tier) -> Variant {
    let params: AttentionParams = dispatch.params();
    let keys = Rows::of(&params, dispatch.view(1));
    let vectors = params.head_dim / 4;
    let tiles = keys.each >= ROWS_FOR_TILES
        && tier.workgroup_bytes >= TILE_BYTES_KV
        && in_vectors(dispatch, &params, &[0, 1, 2, 4, 6, 7]);
    if tiles {
        // Wide heads are summed a part at a time: more sums than these leave registers.
        let held = if vectors > 16 { 2 } else { 1 };
        let parts = vectors.div_ceil(16 * held);
        let groups = [keys.tiles(TILE_ROWS), params.kv_heads, parts];
        kv_tile(held, groups)
    } else {
        let groups = [keys.tiles(1), params.kv_heads, 1];
        Variant::portable("attention_back_kv", groups)
    }
}

/// Every variant there is, for validation.
pub fn variants_q() -> Vec<Variant> {
    let one = [1; 3];
    vec![
        Variant::portable("attention_back_q", one),
        q_tile(1, one),
        q_tile(2, one),
        q_tile(4, one),
    ]
}

pub fn variants_kv() -> Vec<Variant> {
    let one = [1; 3];
    vec![
        Variant::portable("attention_back_kv", one),
        kv_tile(1, one),
        kv_tile(2, one),
    ]
}

fn q_tile(vectors: u32, groups: [u32; 3]) -> Variant {
    Variant::portable("attention_back_q_tile", groups)
        .value("VECTORS", vectors)
        .needing_bytes(TILE_BYTES_Q)
}

fn kv_tile(vectors: u32, groups: [u32; 3]) -> Variant {
    Variant::portable("attention_back_kv_tile", groups)
        .value("VECTORS", vectors)
        .needing_bytes(TILE_BYTES_KV)
}

/// Whether heads and the views bound at `bindings` are whole vectors of four.
fn in_vectors(dispatch: &Dispatch, params: &AttentionParams, bindings: &[usize]) -> bool {
    params.head_dim.is_multiple_of(4) && bindings.iter().all(|&i| aligned(dispatch.view(i)))
}
