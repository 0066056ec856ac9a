//! Which shader multiplies: by the number of rows, the weight's type and the device's tier.

use crate::engine::gpu::{Needs, Precision, Variant};
use crate::engine::{Dispatch, Tensor, Tier};
use crate::kernels::{weight_def, weight_variants};

/// Rows of `x` up to which each weight is read once for a dot product a row.
const MATVEC_ROWS: usize = 8;
/// Tiles of 128 x 128 from which a GPU is kept busy by them.
const WIDE_GROUPS: usize = 48;
/// Bytes of workgroup memory that wide tiles take, rounded up.
const WIDE_BYTES: u32 = 17 << 10;
/// Bytes of workgroup memory that cooperative tiles take, rounded up.
const COOPERATIVE_BYTES: u32 = 28 << 10;

pub const SUBGROUPS: Needs = Needs {
    subgroups: true,
    f16: false,
    cooperative_matrix: false,
};
const COOPERATIVE: Needs = Needs {
    subgroups: true,
    f16: true,
    cooperative_matrix: true,
};

pub fn choose(dispatch: &Dispatch, tier: &Tier) -> Variant {
    let (x, weight, out) = (dispatch.view(0), dispatch.view(1), dispatch.view(3));
    let variant = if tier.suits_lanes() {
        lanes("matmul_lanes", x.rows, 16, out)
    } else if x.rows <= MATVEC_ROWS {
        matvec(x.rows, tier.subgroups, out.cols)
    } else if let Some(edge) = cooperative_edge(tier) {
        cooperative(edge, out)
    } else if tiles(out, 128) >= WIDE_GROUPS && tier.workgroup_bytes >= WIDE_BYTES {
        Variant::portable("matmul_wide", grid(out, 128, 128))
    } else {
        Variant::portable("matmul", grid(out, 64, 64))
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
    } else if tiles(out, 128) >= WIDE_GROUPS && tier.workgroup_bytes >= WIDE_BYTES {
        Variant::portable("matmul_wide", grid(out, 128, 128))
    } else {
        Variant::portable("matmul", grid(out, 64, 64))
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
    let shapes = [
        Variant::portable("matmul", [1; 3]),
        Variant::portable("matmul_wide", [1; 3]),
        lanes.clone(),
        lanes.flag("WIDE"),
    ];
    every_load(&shapes.map(|shape| shape.flag("BACK")))
}

/// Each shape with each way to load `x` and each type of weight.
fn every_load(shapes: &[Variant]) -> Vec<Variant> {
    shapes
        .iter()
        .flat_map(|shape| [shape.clone(), shape.clone().flag("X_VEC4")])
        .flat_map(|shape| weight_variants(|| shape.clone()))
        .collect()
}

/// Every variant there is, for validation.
pub fn variants() -> Vec<Variant> {
    let one = [1; 3];
    let lanes = Variant::portable("matmul_lanes", one).needing(SUBGROUPS);
    let mut shapes = vec![
        Variant::portable("matmul", one),
        Variant::portable("matmul_wide", one),
        lanes.clone(),
        lanes.flag("WIDE"),
    ];
    for edge in [8, 16] {
        shapes.push(
            Variant::portable("matmul_cooperative", one)
                .value("EDGE", edge)
                .needing(COOPERATIVE),
        );
    }
    shapes.extend([matvec(2, false, 1), matvec(1, true, 1), matvec(2, true, 1)]);
    every_load(&shapes)
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
    let groups = [cols.div_ceil(4) as u32, 1, 1];
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

/// The edge of the cooperative matrices to use: only where the caller allows f16 factors, and
/// where subgroups are known to have the 32 lanes that the shader counts on.
fn cooperative_edge(tier: &Tier) -> Option<u32> {
    let usable = tier.precision == Precision::Fast
        && tier.subgroups
        && tier.subgroup_size == (32, 32)
        && tier.workgroup_bytes >= COOPERATIVE_BYTES;
    let (edge, _, _) = tier.cooperative_matrix.filter(|_| usable)?;
    Some(edge)
}

fn cooperative(edge: u32, out: &Tensor) -> Variant {
    let tile = 8 * edge as usize;
    Variant::portable("matmul_cooperative", grid(out, tile, tile))
        .value("EDGE", edge)
        .needing(COOPERATIVE)
}

/// Whether four elements of any row of `x` can be loaded at once.
pub fn loads_vectors(x: &Tensor) -> bool {
    x.cols.is_multiple_of(4)
        && x.offset.is_multiple_of(4)
        && (x.stride.is_multiple_of(4) || x.rows <= 1)
}
