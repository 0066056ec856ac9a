//! Which shader multiplies: by the number of rows, the weight's type and the device's tier.

use crate::engine::gpu::{COOPERATIVE_BYTES, Needs, Variant};
use crate::engine::{DType, Dispatch, Tensor, Tier};
use crate::kernels::weight_def;

/// Rows of `x` up to which each weight is read once for a dot product a row.
const MATVEC_ROWS: usize = 8;
/// Workgroups that every device runs along one axis of a dispatch.
const MOST_GROUPS: usize = 65_535;
/// Tiles of 128 x 128 from which a GPU is kept busy by them.
const WIDE_GROUPS: usize = 48;
/// Bytes of workgroup memory that tiles take, rounded up, where their rows start on different
/// banks.
const TILE_BYTES: u32 = 17 << 10;

pub const SUBGROUPS: Needs = Needs {
    subgroups: true,
    f16: false,
    cooperative_matrix: false,
    workgroup_bytes: 0,
};

pub fn choose(dispatch: &Dispatch, tier: &Tier) -> Variant {
    let (x, weight, out) = (dispatch.view(0), dispatch.view(1), dispatch.view(3));
    let variant = if tier.suits_lanes() {
        lanes("matmul_lanes", x.rows, 16, out)
    } else if x.rows <= MATVEC_ROWS {
        matvec(x.rows, tier.subgroups, out.cols)
    } else if let Some(edge) = cooperative_edge(weight.dtype, tier) {
        let tile = 8 * edge as usize;
        cooperative(edge, grid(out, tile, tile))
    } else {
        tiled(out, tier)
    };
    let variant = if loads_vectors(x) {
        variant.flag("X_VEC4")
    } else {
        variant
    };
    weight_def(variant, weight.dtype)
}

/// As [`choose`] for products with the weight itself: `out` is as wide as the weight.
pub fn choose_back(dispatch: &Dispatch, tier: &Tier) -> Variant {
    let (x, weight, out) = (dispatch.view(0), dispatch.view(1), dispatch.view(2));
    let variant = if tier.suits_lanes() {
        lanes("matmul_back_lanes", x.rows, 32, out)
    } else {
        tiled(out, tier)
    };
    let variant = variant.flag("BACK");
    let variant = if loads_vectors(x) {
        variant.flag("X_VEC4")
    } else {
        variant
    };
    weight_def(variant, weight.dtype)
}

pub fn variants_back() -> Vec<Variant> {
    let lanes = Variant::portable("matmul_back_lanes", [1; 3]).needing(SUBGROUPS);
    let mut shapes = vec![lanes.clone(), lanes.flag("WIDE")];
    shapes.extend(every_tile());
    let shapes = shapes.into_iter().map(|shape| shape.flag("BACK"));
    every_load(shapes, &DType::WEIGHTS)
}

fn every_tile() -> [Variant; 3] {
    let one = [1; 3];
    [wide(one), padded(one), packed(one)]
}

/// Each shape with each way to load `x` and each of these types of weight.
fn every_load(shapes: impl IntoIterator<Item = Variant>, dtypes: &[DType]) -> Vec<Variant> {
    shapes
        .into_iter()
        .flat_map(|shape| [shape.clone(), shape.flag("X_VEC4")])
        .flat_map(|shape| {
            dtypes
                .iter()
                .map(move |&dtype| weight_def(shape.clone(), dtype))
        })
        .collect()
}

/// Every variant there is, for validation.
pub fn variants() -> Vec<Variant> {
    let one = [1; 3];
    let lanes = Variant::portable("matmul_lanes", one).needing(SUBGROUPS);
    let mut shapes = vec![lanes.clone(), lanes.flag("WIDE")];
    shapes.extend(every_tile());
    shapes.extend([matvec(2, false, 1), matvec(1, true, 1), matvec(2, true, 1)]);
    let mut all = every_load(shapes, &DType::WEIGHTS);
    let rounded = DType::WEIGHTS
        .into_iter()
        .filter(|&dtype| is_rounded(dtype));
    let rounded: Vec<DType> = rounded.collect();
    all.extend(every_load(
        [8, 16].map(|edge| cooperative(edge, one)),
        &rounded,
    ));
    all
}

/// Tiles of 128 x 128 where they keep a GPU busy, else of 64 x 64.
fn tiled(out: &Tensor, tier: &Tier) -> Variant {
    if tier.workgroup_bytes < TILE_BYTES {
        packed(grid(out, 64, 64))
    } else if tiles(out, 128) >= WIDE_GROUPS {
        wide(grid(out, 128, 128))
    } else {
        padded(grid(out, 64, 64))
    }
}

fn wide(groups: [u32; 3]) -> Variant {
    Variant::portable("matmul_wide", groups).needing_bytes(TILE_BYTES)
}

/// Tiles whose rows start on different banks.
fn padded(groups: [u32; 3]) -> Variant {
    Variant::portable("matmul", groups)
        .value("PITCH", 17)
        .needing_bytes(TILE_BYTES)
}

/// The same within the workgroup memory that every device has.
fn packed(groups: [u32; 3]) -> Variant {
    Variant::portable("matmul", groups).value("PITCH", 16)
}

pub fn grid(out: &Tensor, rows: usize, cols: usize) -> [u32; 3] {
    [
        out.cols.div_ceil(cols) as u32,
        out.rows.div_ceil(rows) as u32,
        1,
    ]
}

fn tiles(out: &Tensor, edge: usize) -> usize {
    out.cols.div_ceil(edge) * out.rows.div_ceil(edge)
}

/// Blocks of 8 rows, or of 16 where there are more, and of `cols` columns.
fn lanes(shader: &'static str, rows: usize, cols: usize, out: &Tensor) -> Variant {
    let block = if rows > 8 { 16 } else { 8 };
    let variant = Variant::portable(shader, grid(out, block, cols)).needing(SUBGROUPS);
    if block == 16 {
        variant.flag("WIDE")
    } else {
        variant
    }
}

/// For one row, and for all that are few: the weight has to be read once either way. Without
/// subgroups, which few devices lack, there is only the latter.
fn matvec(rows: usize, subgroups: bool, cols: usize) -> Variant {
    let blocks = cols.div_ceil(4);
    let lines = blocks.div_ceil(MOST_GROUPS).max(1);
    let groups = [blocks.div_ceil(lines) as u32, lines as u32, 1];
    let rows = if rows == 1 && subgroups {
        1
    } else {
        MATVEC_ROWS
    };
    let variant = Variant::portable("matvec", groups).value("ROWS", rows as u32);
    if subgroups {
        variant.flag("SUBGROUPS").needing(SUBGROUPS)
    } else {
        variant
    }
}

/// The edge of the cooperative matrices to use. Factors are rounded to f16 for them: only where the
/// caller allows that, and never those of an adapter.
fn cooperative_edge(dtype: DType, tier: &Tier) -> Option<u32> {
    tier.cooperative_matrix.filter(|_| is_rounded(dtype))
}

/// Whether products with weights of a type may round their factors to f16. Weights in f32 are what
/// is trained, with gradients that are not rounded and values below the smallest of f16, or those
/// of a model that is stored as exactly as can be.
fn is_rounded(dtype: DType) -> bool {
    dtype != DType::F32
}

fn cooperative(edge: u32, groups: [u32; 3]) -> Variant {
    Variant::portable("matmul_cooperative", groups)
        .value("EDGE", edge)
        .needing(Needs {
            subgroups: true,
            f16: true,
            cooperative_matrix: true,
            workgroup_bytes: if edge > 8 { COOPERATIVE_BYTES } else { 0 },
        })
}

/// Whether four elements of any row of `x` can be loaded at once.
pub fn loads_vectors(x: &Tensor) -> bool {
    x.cols.is_multiple_of(4)
        && x.offset.is_multiple_of(4)
        && (x.stride.is_multiple_of(4) || x.rows <= 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gpu::Precision;
    use crate::engine::{Op, Recording, Shard, Weight};
    use crate::kernels::matmul::{Onto, matmul};
    use crate::kernels::matmul_back::matmul_back;

    fn tier(workgroup_bytes: u32) -> Tier {
        Tier {
            subgroups: true,
            subgroup_size: (32, 32),
            f16: true,
            cooperative_matrix: Some(16),
            software: false,
            precision: Precision::Fast,
            workgroup_bytes,
            workgroup_invocations: 256,
        }
    }

    /// The shaders of a product with a weight and of one on the way back.
    fn chosen(rows: usize, dtype: DType, tier: &Tier) -> Vec<Variant> {
        let mut rec = Recording::new();
        let [x, y] = [0; 2].map(|_| rec.temp(DType::F32, rows, 2048));
        let dense = rec.temp(DType::F32, 2048, 2048);
        let weight = Weight {
            dtype,
            rows: 2048,
            cols: 2048,
            shards: vec![Shard {
                first_row: 0,
                tensor: Tensor { dtype, ..dense },
            }],
        };
        matmul(&mut rec, &x, &weight, None, &y, Onto::Replace);
        matmul_back(&mut rec, &y, &weight, &x, Onto::Add);
        let dispatches = rec.ops().iter().filter_map(|op| match op {
            Op::Dispatch(dispatch) => Some((dispatch.kernel.gpu)(dispatch, tier)),
            _ => None,
        });
        dispatches.collect()
    }

    #[test]
    fn factors_of_what_is_trained_are_never_rounded() {
        let tier = tier(48 << 10);
        let rounded = |rows, dtype| chosen(rows, dtype, &tier)[0].needs.cooperative_matrix;
        assert!(rounded(512, DType::Q4_1) && rounded(512, DType::BF16));
        assert!(!rounded(8, DType::Q4_1));
        assert!([1, 9, 512].iter().all(|&rows| !rounded(rows, DType::F32)));
        // Nor are those of gradients.
        let back = |dtype| chosen(512, dtype, &tier)[1].needs.cooperative_matrix;
        assert!(DType::WEIGHTS.iter().all(|&dtype| !back(dtype)));
    }

    #[test]
    fn long_grids_are_folded() {
        assert_eq!(matvec(1, true, 4 * 65_535).groups, [65_535, 1, 1]);
        assert_eq!(matvec(1, true, 4 * 65_536).groups, [32_768, 2, 1]);
    }

    #[test]
    fn products_keep_to_the_memory_of_the_device() {
        let mut small = tier(16 << 10);
        small.cooperative_matrix = None;
        for rows in [1, 64, 2048] {
            for variant in chosen(rows, DType::Q4_K, &small) {
                assert_eq!(variant.needs.workgroup_bytes, 0, "{variant:?}");
            }
        }
        let wide = chosen(2048, DType::Q4_K, &tier(32 << 10));
        assert_eq!(wide[1].shader, "matmul_wide");
    }
}
