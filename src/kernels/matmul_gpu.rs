//! Which shader multiplies: by the number of rows, the weight's type and the device's tier.

use crate::engine::gpu::{Needs, Variant};
use crate::engine::{Dispatch, Tensor, Tier};
use crate::kernels::{weight_def, weight_variants};

/// Rows of `x` up to which each weight is read once for a dot product a row.
const MATVEC_ROWS: usize = 8;

pub fn choose(dispatch: &Dispatch, tier: &Tier) -> Variant {
    let (x, weight, out) = (dispatch.view(0), dispatch.view(1), dispatch.view(3));
    let variant = if x.rows <= MATVEC_ROWS {
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
    for rows in [1, 2, 4, 8] {
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

fn matvec(rows: usize, subgroups: bool, cols: usize) -> Variant {
    let groups = [cols.div_ceil(4) as u32, 1, 1];
    let rows = rows.next_power_of_two() as u32;
    let variant = Variant::portable("matvec", groups).value("ROWS", rows);
    if subgroups {
        variant.flag("SUBGROUPS").needing(Needs {
            subgroups: true,
            ..Needs::default()
        })
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
