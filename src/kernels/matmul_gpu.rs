//! Which shader multiplies: by the number of rows, the weight's type and the device's tier.

use crate::engine::gpu::{Needs, Variant};
use crate::engine::{Dispatch, Tensor, Tier};
use crate::kernels::{weight_def, weight_variants};

/// Rows of `x` up to which each weight is read once for a dot product a row.
const MATVEC_ROWS: usize = 8;
/// Rows that variants for few rows are made for.
const MATVEC_VARIANTS: [usize; 3] = [1, 4, MATVEC_ROWS];

const SUBGROUPS: Needs = Needs {
    subgroups: true,
    f16: false,
    cooperative_matrix: false,
};

pub fn choose(dispatch: &Dispatch, tier: &Tier) -> Variant {
    let (x, weight, out) = (dispatch.view(0), dispatch.view(1), dispatch.view(3));
    let variant = if suits_lanes(tier) {
        lanes(x.rows, out)
    } else if x.rows <= MATVEC_ROWS {
        matvec(x.rows, tier.subgroups, out.cols)
    } else {
        tiled(out)
    };
    let variant = if loads_vectors(x) {
        variant.flag("X_VEC4")
    } else {
        variant
    };
    weight_def(variant, weight.dtype)
}

/// Every variant there is, for validation.
pub fn variants() -> Vec<Variant> {
    let mut all = Vec::new();
    let mut add = |variant: Variant| {
        all.extend(weight_variants(|| variant.clone()));
        all.extend(weight_variants(|| variant.clone().flag("X_VEC4")));
    };
    add(Variant::portable("matmul", [1; 3]));
    add(Variant::portable("matmul_lanes", [1; 3]).needing(SUBGROUPS));
    add(Variant::portable("matmul_lanes", [1; 3])
        .flag("WIDE")
        .needing(SUBGROUPS));
    for rows in MATVEC_VARIANTS {
        add(matvec(rows, false, 1));
        add(matvec(rows, true, 1));
    }
    all
}

fn tiled(out: &Tensor) -> Variant {
    let groups = [
        out.cols.div_ceil(64) as u32,
        out.rows.div_ceil(64) as u32,
        1,
    ];
    Variant::portable("matmul", groups)
}

/// Rasterisers on the CPU, whose subgroups are one 256-bit vector.
fn suits_lanes(tier: &Tier) -> bool {
    tier.software && tier.subgroups && tier.subgroup_size == (8, 8)
}

/// Blocks of 8 rows, or of 16 where there are more.
fn lanes(rows: usize, out: &Tensor) -> Variant {
    let block = if rows > 8 { 16 } else { 8 };
    let groups = [out.cols.div_ceil(16) as u32, rows.div_ceil(block) as u32, 1];
    let variant = Variant::portable("matmul_lanes", groups).needing(SUBGROUPS);
    if block == 16 {
        variant.flag("WIDE")
    } else {
        variant
    }
}

fn matvec(rows: usize, subgroups: bool, cols: usize) -> Variant {
    let groups = [cols.div_ceil(4) as u32, 1, 1];
    let fits = MATVEC_VARIANTS.into_iter().find(|&most| rows <= most);
    let rows = fits.unwrap_or(MATVEC_ROWS) as u32;
    let variant = Variant::portable("matvec", groups).value("ROWS", rows);
    if subgroups {
        variant.flag("SUBGROUPS").needing(SUBGROUPS)
    } else {
        variant
    }
}

/// Whether four elements of any row of `x` can be loaded at once.
fn loads_vectors(x: &Tensor) -> bool {
    x.cols.is_multiple_of(4)
        && x.offset.is_multiple_of(4)
        && (x.stride.is_multiple_of(4) || x.rows <= 1)
}
