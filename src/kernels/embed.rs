//! Embedding gather: row `ids[i]` of a weight, scaled, becomes row `i`.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::Variant;
use crate::engine::{
    Access, Binding, DType, Dispatch, Joins, Kernel, Recording, Tensor, Tier, Weight,
};
use crate::kernel_params;
use crate::kernels::quant::dequantize_row;
use crate::kernels::{weight_def, weight_variants};

kernel_params! {
    pub struct EmbedParams { scale: f32, first_row: u32, }
}

pub static EMBED: Kernel = Kernel {
    name: "embed",
    bindings: &[
        Binding {
            name: "ids",
            access: Access::Read,
        },
        Binding {
            name: "weight",
            access: Access::Read,
        },
        Binding {
            name: "out",
            access: Access::ReadWrite,
        },
    ],
    params: EmbedParams::FIELDS,
    cpu: twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        let (weight, out) = (dispatch.view(1), dispatch.view(2));
        let groups = [out.cols.div_ceil(256) as u32, out.rows as u32, 1];
        weight_def(Variant::portable("embed", groups), weight.dtype)
    },
    variants: || weight_variants(|| Variant::portable("embed", [1; 3])),
};

/// Appends `out[i] = scale * weight[ids[i]]`, once a shard: each writes the rows it holds.
pub fn embed(recording: &mut Recording, ids: &Tensor, weight: &Weight, scale: f32, out: &Tensor) {
    assert_eq!(
        (ids.dtype, ids.rows, ids.cols),
        (DType::U32, 1, out.rows),
        "embed: ids"
    );
    assert_eq!(weight.cols, out.cols, "embed: width");
    for shard in &weight.shards {
        recording.dispatch(
            &EMBED,
            vec![
                Some(ids.clone()),
                Some(shard.tensor.clone()),
                Some(out.clone()),
            ],
            EmbedParams {
                scale,
                first_row: shard.first_row as u32,
            },
            (out.rows * out.cols) as u64,
            (8 * out.rows * out.cols) as u64,
        );
    }
}

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let EmbedParams { scale, first_row } = call.params();
    let (ids, weight, mut out) = (call.mat::<u32>(0), call.rows(1), call.mat_mut(2));
    team.rows(&mut out, 16, |r, out| {
        // Ids below the shard wrap around to rows it does not have.
        let row = ids.row(0)[r].wrapping_sub(first_row) as usize;
        if row < weight.rows {
            dequantize_row(weight.dtype, weight.row(row), out);
            out.iter_mut().for_each(|v| *v *= scale);
        }
    });
}
