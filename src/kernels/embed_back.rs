//! Gradient of the embedding gather: `d_weight[ids[i]] += scale * dx[i]`.
//!
//! Ids repeat, and two invocations may not add to one row. So the places of the ids are sorted
//! first; what has the same id then lies together and is summed in the order of the rows. Counting
//! what comes before each id takes as many comparisons as there are ids, squared, which for some
//! thousand of them is little beside the sums.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::Variant;
use crate::engine::{Access, Binding, DType, Dispatch, Joins, Kernel, Recording, Tensor, Tier};
use crate::kernel_params;
use crate::kernels::cpu::{Simd, TILE, rows_back};

kernel_params! {
    pub struct EmbedBackParams { scale: f32, }
}

/// Row 0 of `order` becomes the places of the ids in their order, equal ones as they come; row 1,
/// where equal ids begin, how many there are, else 0.
pub static SORT_IDS: Kernel = Kernel {
    name: "sort_ids",
    bindings: &[
        Binding {
            name: "ids",
            access: Access::Read,
        },
        Binding {
            name: "order",
            access: Access::Write,
        },
    ],
    params: &[],
    cpu: sort_twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        let ids = dispatch.view(0);
        Variant::portable("sort_ids", [ids.cols.div_ceil(64) as u32, 1, 1])
    },
    variants: || vec![Variant::portable("sort_ids", [1; 3])],
};

pub static EMBED_BACK: Kernel = Kernel {
    name: "embed_back",
    bindings: &[
        Binding {
            name: "ids",
            access: Access::Read,
        },
        Binding {
            name: "order",
            access: Access::Read,
        },
        Binding {
            name: "dx",
            access: Access::Read,
        },
        Binding {
            name: "d_weight",
            access: Access::ReadWrite,
        },
    ],
    params: EmbedBackParams::FIELDS,
    cpu: twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        let dx = dispatch.view(2);
        let groups = [dx.cols.div_ceil(64) as u32, dx.rows as u32, 1];
        Variant::portable("embed_back", groups)
    },
    variants: || vec![Variant::portable("embed_back", [1; 3])],
};

/// Appends `d_weight[ids[i]] += scale * dx[i]`. Rows of `dx` whose id `d_weight` has no row for are
/// left out and not read.
pub fn embed_back(
    recording: &mut Recording,
    ids: &Tensor,
    dx: &Tensor,
    scale: f32,
    d_weight: &Tensor,
) {
    assert_eq!(
        (ids.dtype, ids.rows, ids.cols),
        (DType::U32, 1, dx.rows),
        "embed_back: ids"
    );
    assert_eq!(
        (d_weight.cols, d_weight.dtype),
        (dx.cols, DType::F32),
        "embed_back: d_weight"
    );
    if dx.is_empty() {
        return;
    }
    let order = recording.temp(DType::U32, 2, dx.rows);
    let rows = dx.rows as u64;
    recording.dispatch(
        &SORT_IDS,
        vec![Some(ids.clone()), Some(order.clone())],
        [0u32; 0],
        // Comparisons.
        rows * rows,
        12 * rows,
    );
    let elements = rows * dx.cols as u64;
    recording.dispatch(
        &EMBED_BACK,
        [ids, &order, dx, d_weight].map(|t| Some(t.clone())).into(),
        EmbedBackParams { scale },
        2 * elements,
        // Where no id repeats.
        12 * elements,
    );
}

fn sort_twin(_: &Team, mut call: CpuCall<'_>) {
    let ids = call.mat::<u32>(0).row(0);
    let Some(order) = call.take(1).map(|view| view.slice_mut::<u32>()) else {
        return;
    };
    // A temporary of the launch function's own, without a gap.
    let (order, counts) = order.split_at_mut(ids.len());
    order.iter_mut().zip(0..).for_each(|(o, i)| *o = i);
    order.sort_by_key(|&i| ids[i as usize]);
    counts.fill(0);
    let mut at = 0;
    for equal in order.chunk_by(|&a, &b| ids[a as usize] == ids[b as usize]) {
        counts[at] = equal.len() as u32;
        at += equal.len();
    }
}

/// Places of a task: each is some columns of a row.
const PLACES: usize = 64;
/// Rows that are summed at a time, so that rounding errors stay those of short sums.
const BLOCK: usize = 64;

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let EmbedBackParams { scale } = call.params();
    let (ids, order, dx) = (call.mat::<u32>(0), call.mat::<u32>(1), call.mat::<f32>(2));
    let (ids, places, counts) = (ids.row(0), order.row(0), order.row(1));
    let mut d_weight = call.mat_mut(3);
    let (d_weight, simd) = (d_weight.parts(), Simd::best());
    let tiles = dx.cols.div_ceil(TILE);
    team.run(places.len().div_ceil(PLACES) * tiles, |task| {
        let (first, start) = (task / tiles * PLACES, task % tiles * TILE);
        let cols = start..dx.cols.min(start + TILE);
        for at in first..places.len().min(first + PLACES) {
            let equal = &places[at..][..counts[at] as usize];
            let Some(&row) = equal.first() else { continue };
            let id = ids[row as usize] as usize;
            if id >= d_weight.rows() {
                continue;
            }
            // SAFETY: each id has one place that counts it, and each of its tiles is one task's.
            let to = unsafe { d_weight.cols_mut(id, cols.clone()) };
            for rows in equal.chunks(BLOCK) {
                let mut sums = [0.0; TILE];
                let sums = &mut sums[..cols.len()];
                for &r in rows {
                    rows_back::add(simd, sums, &dx.row(r as usize)[cols.clone()]);
                }
                rows_back::add_scaled(simd, to, sums, scale);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::finite::{F32, U32, assert_near, noise, on_twin};

    fn agrees(ids: &[u32], vocabulary: usize, cols: usize) {
        let mut dx = noise(1, ids.len() * cols);
        let before = noise(2, vocabulary * cols);
        let mut expected: Vec<f64> = before.iter().map(|&b| f64::from(b)).collect();
        for (&id, row) in ids.iter().zip(dx.chunks_exact_mut(cols)) {
            let from = id as usize * cols;
            if id as usize >= vocabulary {
                row.fill(f32::NAN);
                continue;
            }
            for (e, &d) in expected[from..].iter_mut().zip(&*row) {
                *e += 1.5 * f64::from(d);
            }
        }
        let inputs = [U32(ids), F32(&dx, ids.len()), F32(&before, vocabulary)];
        let found = on_twin(&inputs, |rec, t| {
            embed_back(rec, &t[0], &t[1], 1.5, &t[2]);
        });
        assert_near(&found[2], &expected, 1e-5);
    }

    #[test]
    fn agrees_with_64_bits() {
        agrees(&[2], 3, 1);
        agrees(&[1, u32::MAX, 0, 1, 3, 1], 3, 5);
        agrees(&[u32::MAX; 4], 3, 5);
    }

    #[test]
    fn few_ids_that_repeat_agree_with_64_bits() {
        // Half of the rows have one id.
        let ids: Vec<u32> = (0..4000u32)
            .map(|i| if i % 2 == 0 { 7 } else { (i * i) % 70 })
            .collect();
        agrees(&ids, 70, 300);
    }

    #[test]
    fn a_large_vocabulary_agrees_with_64_bits() {
        let ids: Vec<u32> = (0..1000u32).map(|i| i * 7919 % 49_152).collect();
        agrees(&ids, 49_152, 16);
    }
}
