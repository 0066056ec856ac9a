//! Gradient of the rotary position embedding, and of the per-head normalisation before it.
//!
//! A rotation's transpose rotates back; what comes out is the gradient of the normalised heads,
//! which `norm_back` has the formula for.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::Variant;
use crate::engine::{Access, Binding, DType, Dispatch, Joins, Kernel, Recording, Tensor, Tier};
use crate::kernel_params;
use crate::kernels::cpu::{Simd, rows_back};
use crate::kernels::norm::grain;
use crate::kernels::rope::RopeShape;

kernel_params! {
    pub struct RopeBackParams {
        heads: u32,
        head_dim: u32,
        interleaved: u32,
        eps: f32,
    }
}

pub static ROPE_BACK: Kernel = Kernel {
    name: "rope_back",
    bindings: &[
        Binding {
            name: "x",
            access: Access::Read,
        },
        Binding {
            name: "norm",
            access: Access::Read,
        },
        Binding {
            name: "angles",
            access: Access::Read,
        },
        Binding {
            name: "positions",
            access: Access::Read,
        },
        Binding {
            name: "dy",
            access: Access::Read,
        },
        Binding {
            name: "dx",
            access: Access::ReadWrite,
        },
    ],
    params: RopeBackParams::FIELDS,
    cpu: twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        let params: RopeBackParams = dispatch.params();
        Variant::portable("rope_back", [params.heads, dispatch.view(4).rows as u32, 1])
    },
    variants: || vec![Variant::portable("rope_back", [1; 3])],
};

/// Appends `dx`, the gradient of what `rope` read, from `dy`, that of what it wrote. Row `i` of
/// all of them belongs to `positions[i]`. `x` is what `rope` read; only the gradient of a
/// normalisation depends on it.
pub fn rope_back(
    recording: &mut Recording,
    x: &Tensor,
    norm: Option<&Tensor>,
    angles: &Tensor,
    positions: &Tensor,
    dy: &Tensor,
    dx: &Tensor,
    shape: RopeShape,
) {
    assert_eq!(dy.cols, shape.heads * shape.head_dim, "rope_back: width");
    assert_eq!((dy.rows, dy.cols), (dx.rows, dx.cols), "rope_back: shapes");
    assert_eq!(angles.cols, shape.head_dim, "rope_back: angles");
    assert_eq!(
        (positions.dtype, positions.cols),
        (DType::U32, dy.rows),
        "rope_back: positions"
    );
    assert!(
        norm.is_none_or(|n| n.cols == shape.head_dim && (x.rows, x.cols) == (dy.rows, dy.cols)),
        "rope_back: norm"
    );
    let elements = (dy.rows * dy.cols) as u64;
    recording.dispatch(
        &ROPE_BACK,
        vec![
            norm.map(|_| x.clone()),
            norm.cloned(),
            Some(angles.clone()),
            Some(positions.clone()),
            Some(dy.clone()),
            Some(dx.clone()),
        ],
        RopeBackParams {
            heads: shape.heads as u32,
            head_dim: shape.head_dim as u32,
            interleaved: shape.interleaved.into(),
            eps: shape.eps,
        },
        (if norm.is_some() { 15 } else { 6 }) * elements,
        (if norm.is_some() { 12 } else { 8 }) * elements,
    );
}

fn twin(team: &Team, mut call: CpuCall<'_>) {
    let p: RopeBackParams = call.params();
    let dim = p.head_dim as usize;
    let x = call.take(0).map(|view| view.mat::<f32>());
    let norm = call.take(1).map(|view| view.mat::<f32>().row(0));
    let (angles, positions) = (call.mat::<f32>(2), call.mat::<u32>(3).row(0));
    let (dy, mut dx, simd) = (call.mat::<f32>(4), call.mat_mut(5), Simd::best());
    team.rows(&mut dx, grain(dy.cols), |r, dx| {
        dx.copy_from_slice(dy.row(r));
        let angles = angles.row(positions[r] as usize);
        for (h, head) in dx.chunks_exact_mut(dim).enumerate() {
            rotate_back(head, angles, p.interleaved != 0);
            if let (Some(x), Some(norm)) = (x, norm) {
                let x = &x.row(r)[h * dim..][..dim];
                rows_back::rms_norm_back(simd, x, norm, p.eps, head);
            }
        }
    });
}

/// Turns a head back by its position's angles.
pub(super) fn rotate_back(head: &mut [f32], angles: &[f32], interleaved: bool) {
    let half = head.len() / 2;
    let (cos, sin) = angles.split_at(half);
    if interleaved {
        for ((pair, &c), &s) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
            (pair[0], pair[1]) = (pair[0] * c + pair[1] * s, pair[1] * c - pair[0] * s);
        }
    } else {
        let (low, high) = head.split_at_mut(half);
        for (((a, b), &c), &s) in low.iter_mut().zip(high).zip(cos).zip(sin) {
            (*a, *b) = (*a * c + *b * s, *b * c - *a * s);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kernels::finite::{F32, U32, assert_near, gradient, noise, on_twin};

    /// What `rope` computes, weighted by `dy`, in 64 bits.
    pub(crate) fn rotated(
        x: &[f64],
        norm: Option<&[f64]>,
        angles: &[f32],
        positions: &[u32],
        dy: &[f32],
        shape: RopeShape,
    ) -> f64 {
        let dim = shape.head_dim;
        let half = dim / 2;
        let mut sum = 0.0;
        for (h, (head, dy)) in x.chunks_exact(dim).zip(dy.chunks_exact(dim)).enumerate() {
            let mean = head.iter().map(|v| v * v).sum::<f64>() / dim as f64;
            let scale = 1.0 / (mean + f64::from(shape.eps)).sqrt();
            let value = |i: usize| norm.map_or(head[i], |n| head[i] * scale * n[i]);
            let angles = &angles[positions[h / shape.heads] as usize * dim..][..dim];
            for i in 0..half {
                let pair = if shape.interleaved {
                    (2 * i, 2 * i + 1)
                } else {
                    (i, i + half)
                };
                let (c, s) = (f64::from(angles[i]), f64::from(angles[half + i]));
                let (a, b) = (value(pair.0), value(pair.1));
                sum += f64::from(dy[pair.0]) * (a * c - b * s);
                sum += f64::from(dy[pair.1]) * (a * s + b * c);
            }
        }
        sum
    }

    #[test]
    fn agrees_with_finite_differences() {
        let positions = [4u32, 1, 2];
        for (heads, head_dim, interleaved, normed) in [
            (1, 2, false, false),
            (3, 10, true, false),
            (2, 16, false, true),
            (2, 66, true, true),
        ] {
            let shape = RopeShape {
                heads,
                head_dim,
                interleaved,
                eps: 1e-3,
            };
            let len = 3 * heads * head_dim;
            let (x, weight, dy) = (noise(1, len), noise(2, head_dim), noise(3, len));
            let angles = noise(4, 5 * head_dim);
            let wide: Vec<f64> = weight.iter().map(|&w| f64::from(w)).collect();
            let norm = normed.then_some(wide.as_slice());
            let expected = gradient(&x, |x| rotated(x, norm, &angles, &positions, &dy, shape));
            let inputs = [
                F32(&x, 3),
                F32(&weight, 1),
                F32(&angles, 5),
                U32(&positions),
                F32(&dy, 3),
                F32(&vec![f32::NAN; len], 3),
            ];
            let found = on_twin(&inputs, |rec, t| {
                let norm = normed.then_some(&t[1]);
                rope_back(rec, &t[0], norm, &t[2], &t[3], &t[4], &t[5], shape);
            });
            assert_near(&found[5], &expected, 1e-5);
        }
    }
}
