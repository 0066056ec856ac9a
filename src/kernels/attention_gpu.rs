//! Which shader attends: by the number of query rows, the head's width and the device's tier.

use crate::engine::gpu::{Needs, Variant};
use crate::engine::{Dispatch, Tensor, Tier};
use crate::kernels::attention::AttentionParams;

/// Query rows in a tile.
pub const TILE_ROWS: usize = 32;
/// Query rows from which a tile is worth its padding.
pub const ROWS_FOR_TILES: usize = 8;
/// Bytes of workgroup memory a tile takes, rounded up.
const TILE_BYTES: u32 = 22 << 10;

pub fn choose(dispatch: &Dispatch, tier: &Tier) -> Variant {
    let params: AttentionParams = dispatch.params();
    let rows = Rows::of(&params, dispatch.view(0));
    let vectors = params.head_dim / 4;
    // Queries, keys, values and outputs as vectors of four.
    let aligned = params.head_dim.is_multiple_of(4)
        && [0, 1, 2, 4].iter().all(|&i| aligned(dispatch.view(i)));
    if aligned && vectors <= 64 && tier.suits_lanes() {
        let groups = [rows.tiles(8), params.heads, 1];
        return lanes(vectors.div_ceil(16).next_power_of_two() * 16, groups);
    }
    if aligned && rows.each >= ROWS_FOR_TILES && vectors <= 64 && tier.workgroup_bytes >= TILE_BYTES
    {
        let groups = [rows.tiles(TILE_ROWS), params.heads, 1];
        return tile(vectors.div_ceil(16).next_power_of_two(), groups);
    }
    let groups = [rows.tiles(1), params.heads, 1];
    if aligned && vectors <= 128 {
        row(tier.subgroups, groups)
    } else {
        Variant::portable("attention", groups)
    }
}

/// How the rows of a launch lie.
pub struct Rows {
    /// Rows of each sequence.
    pub each: usize,
    sequences: usize,
}

impl Rows {
    pub fn of(params: &AttentionParams, view: &Tensor) -> Rows {
        match params.sequence as usize {
            0 => Rows {
                each: view.rows,
                sequences: 1,
            },
            each => Rows {
                each,
                sequences: view.rows / each,
            },
        }
    }

    /// Workgroups that take `rows` of one sequence each: as `part_of` in
    /// `shaders/shared/sequence.wgsl` counts them.
    pub fn tiles(&self, rows: usize) -> u32 {
        (self.sequences * self.each.div_ceil(rows)) as u32
    }
}

/// Every variant there is, for validation.
pub fn variants() -> Vec<Variant> {
    vec![
        Variant::portable("attention", [1; 3]),
        row(false, [1; 3]),
        row(true, [1; 3]),
        lanes(16, [1; 3]),
        lanes(32, [1; 3]),
        lanes(64, [1; 3]),
        tile(1, [1; 3]),
        tile(2, [1; 3]),
        tile(4, [1; 3]),
    ]
}

fn row(subgroups: bool, groups: [u32; 3]) -> Variant {
    let variant = Variant::portable("attention_row", groups);
    if subgroups {
        variant.flag("SUBGROUPS").needing(Needs {
            subgroups: true,
            ..Needs::default()
        })
    } else {
        variant
    }
}

fn lanes(vectors: u32, groups: [u32; 3]) -> Variant {
    Variant::portable("attention_lanes", groups)
        .value("VECTORS", vectors)
        .needing(Needs {
            subgroups: true,
            ..Needs::default()
        })
}

fn tile(vectors: u32, groups: [u32; 3]) -> Variant {
    Variant::portable("attention_tile", groups)
        .value("VECTORS", vectors)
        .needing_bytes(TILE_BYTES)
}

pub fn aligned(view: &Tensor) -> bool {
    view.offset.is_multiple_of(4) && (view.stride.is_multiple_of(4) || view.rows <= 1)
}
