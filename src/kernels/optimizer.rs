//! Optimiser steps on tensors that stay on the device.
//!
//! Rates change from step to step, so they lie in a tensor of their own ([`Hyper`]): a step's
//! recording is prepared once and run many times. Clipping is by the global norm, as
//! `torch.nn.utils.clip_grad_norm_` does it: gradients are multiplied by
//! `min(1, max_norm / (norm + 1e-6))`.

use crate::engine::cpu::{CpuCall, Team};
use crate::engine::gpu::Variant;
use crate::engine::view::Mat;
use crate::engine::{Access, Binding, DType, Dispatch, Joins, Kernel, Recording, Tensor, Tier};
use crate::kernel_params;
use crate::kernels::cpu::rows_back::{self, AdamwFactors};
use crate::kernels::cpu::{Simd, pieces};

/// Elements that one partial sum covers. Keep in sync with shaders/sum_squares.wgsl.
const PARTIAL: usize = 8192;

kernel_params! {
    pub struct ScaleParams { factor: f32, }
}

/// What a step multiplies by. Keep in sync with shaders/adamw.wgsl and shaders/sgd.wgsl.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper {
    pub lr: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    pub weight_decay: f32,
    /// The largest global norm a gradient keeps; 0 where none is clipped.
    pub max_norm: f32,
}

impl Hyper {
    /// Elements of the tensor that the kernels read.
    pub const LEN: usize = 8;

    /// That tensor's contents for step `t`, which counts from 1. The corrections of Adam's
    /// averages follow from the betas as 32-bit floats hold them, so that the first step's
    /// averages come out as the gradient itself.
    pub fn at_step(&self, t: u64) -> [f32; Hyper::LEN] {
        let t = i32::try_from(t).unwrap_or(i32::MAX);
        let correction = |beta: f32| (1.0 - f64::from(beta).powi(t)) as f32;
        [
            self.lr,
            self.beta1,
            self.beta2,
            self.eps,
            self.weight_decay,
            correction(self.beta1),
            correction(self.beta2),
            self.max_norm,
        ]
    }
}

const fn read(name: &'static str) -> Binding {
    Binding {
        name,
        access: Access::Read,
    }
}

const fn update(name: &'static str) -> Binding {
    Binding {
        name,
        access: Access::ReadWrite,
    }
}

pub static ADD: Kernel = Kernel {
    name: "add",
    bindings: &[update("sum"), read("x")],
    params: &[],
    cpu: add_twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| each_element("add", dispatch),
    variants: || vec![Variant::portable("add", [1; 3])],
};

pub static SCALE: Kernel = Kernel {
    name: "scale",
    bindings: &[update("x")],
    params: ScaleParams::FIELDS,
    cpu: scale_twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| each_element("scale", dispatch),
    variants: || vec![Variant::portable("scale", [1; 3])],
};

/// Sums of the squares of `PARTIAL` elements each.
pub static SUM_SQUARES: Kernel = Kernel {
    name: "sum_squares",
    bindings: &[read("x"), update("out")],
    params: &[],
    cpu: squares_twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| {
        Variant::portable("sum_squares", [dispatch.view(1).cols as u32, 1, 1]).flag("SQUARES")
    },
    variants: || vec![Variant::portable("sum_squares", [1; 3]).flag("SQUARES")],
};

/// The sum of all elements.
pub static SUM: Kernel = Kernel {
    name: "sum",
    bindings: SUM_SQUARES.bindings,
    params: &[],
    cpu: sum_twin,
    cpu_joins: Joins::Nothing,
    gpu: |_: &Dispatch, _: &Tier| Variant::portable("sum_squares", [1; 3]),
    variants: || vec![Variant::portable("sum_squares", [1; 3])],
};

pub static ADAMW: Kernel = Kernel {
    name: "adamw",
    bindings: &[
        update("param"),
        read("grad"),
        update("m"),
        update("v"),
        read("norm2"),
        read("hyper"),
    ],
    params: &[],
    cpu: adamw_twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| each_element("adamw", dispatch),
    variants: || vec![Variant::portable("adamw", [1; 3])],
};

pub static SGD: Kernel = Kernel {
    name: "sgd",
    bindings: &[update("param"), read("grad"), read("norm2"), read("hyper")],
    params: &[],
    cpu: sgd_twin,
    cpu_joins: Joins::Nothing,
    gpu: |dispatch: &Dispatch, _: &Tier| each_element("sgd", dispatch),
    variants: || vec![Variant::portable("sgd", [1; 3])],
};

/// An invocation for each element of the first view.
fn each_element(shader: &'static str, dispatch: &Dispatch) -> Variant {
    let x = dispatch.view(0);
    Variant::portable(shader, [x.cols.div_ceil(256) as u32, x.rows as u32, 1])
}

/// Appends `sum += x`.
pub fn add(recording: &mut Recording, sum: &Tensor, x: &Tensor) {
    assert_eq!((sum.rows, sum.cols), (x.rows, x.cols), "add: shapes differ");
    let elements = (x.rows * x.cols) as u64;
    recording.dispatch(
        &ADD,
        vec![Some(sum.clone()), Some(x.clone())],
        [0u32; 0],
        elements,
        12 * elements,
    );
}

/// Appends `x = factor * x`.
pub fn scale(recording: &mut Recording, x: &Tensor, factor: f32) {
    let elements = (x.rows * x.cols) as u64;
    recording.dispatch(
        &SCALE,
        vec![Some(x.clone())],
        ScaleParams { factor },
        elements,
        8 * elements,
    );
}

/// Appends `out = sum(x^2)` of one row, into one element. The order of the sums depends on the
/// row's length only.
pub fn sum_squares(recording: &mut Recording, x: &Tensor, out: &Tensor) {
    assert_eq!(x.rows, 1, "sum_squares: one row");
    assert_eq!((out.rows, out.cols), (1, 1), "sum_squares: shape of out");
    let partials = recording.temp(DType::F32, 1, x.cols.div_ceil(PARTIAL));
    recording.dispatch(
        &SUM_SQUARES,
        vec![Some(x.clone()), Some(partials.clone())],
        [0u32; 0],
        2 * x.cols as u64,
        4 * x.cols as u64,
    );
    let count = partials.cols as u64;
    // A temporary that nothing has written has no memory.
    let partials = (count > 0).then_some(partials);
    recording.dispatch(
        &SUM,
        vec![partials, Some(out.clone())],
        [0u32; 0],
        count,
        4 * count,
    );
}

/// Appends a step of AdamW with decoupled decay (Loshchilov and Hutter, arXiv 1711.05101), as
/// `torch.optim.AdamW` takes it. `norm2` is the square of the gradient's global norm; `hyper` as
/// [`Hyper::at_step`] gives it.
pub fn adamw(
    recording: &mut Recording,
    params: &Tensor,
    grads: &Tensor,
    m: &Tensor,
    v: &Tensor,
    norm2: &Tensor,
    hyper: &Tensor,
) {
    check("adamw", params, &[grads, m, v], norm2, hyper);
    let elements = (params.rows * params.cols) as u64;
    recording.dispatch(
        &ADAMW,
        [params, grads, m, v, norm2, hyper]
            .map(|t| Some(t.clone()))
            .into(),
        [0u32; 0],
        12 * elements,
        28 * elements,
    );
}

/// Appends a step of gradient descent: `params -= lr * (clipped grads + weight_decay * params)`.
pub fn sgd(
    recording: &mut Recording,
    params: &Tensor,
    grads: &Tensor,
    norm2: &Tensor,
    hyper: &Tensor,
) {
    check("sgd", params, &[grads], norm2, hyper);
    let elements = (params.rows * params.cols) as u64;
    recording.dispatch(
        &SGD,
        [params, grads, norm2, hyper]
            .map(|t| Some(t.clone()))
            .into(),
        [0u32; 0],
        5 * elements,
        12 * elements,
    );
}

fn check(kernel: &str, params: &Tensor, same: &[&Tensor], norm2: &Tensor, hyper: &Tensor) {
    for other in same {
        assert_eq!(
            (params.rows, params.cols),
            (other.rows, other.cols),
            "{kernel}: shapes differ"
        );
    }
    assert_eq!((norm2.rows, norm2.cols), (1, 1), "{kernel}: norm");
    assert_eq!((hyper.rows, hyper.cols), (1, Hyper::LEN), "{kernel}: rates");
}

fn add_twin(team: &Team, mut call: CpuCall<'_>) {
    let (mut sum, x, simd) = (call.mat_mut(0), call.mat::<f32>(1), Simd::best());
    let sum = sum.parts();
    pieces(team, x.rows, x.cols, |r, cols| {
        let x = &x.row(r)[cols.clone()];
        // SAFETY: every element belongs to one piece.
        rows_back::add(simd, unsafe { sum.cols_mut(r, cols) }, x);
    });
}

fn scale_twin(team: &Team, mut call: CpuCall<'_>) {
    let ScaleParams { factor } = call.params();
    let (mut x, simd) = (call.mat_mut(0), Simd::best());
    let x = x.parts();
    pieces(team, x.rows(), x.cols(), |r, cols| {
        // SAFETY: every element belongs to one piece.
        rows_back::scale(simd, unsafe { x.cols_mut(r, cols) }, factor);
    });
}

fn squares_twin(team: &Team, mut call: CpuCall<'_>) {
    let (x, mut out, simd) = (call.mat::<f32>(0).row(0), call.mat_mut(1), Simd::best());
    let out = out.parts();
    team.run(out.cols(), |i| {
        let part = &x[i * PARTIAL..x.len().min((i + 1) * PARTIAL)];
        // SAFETY: each task has its own element.
        let sum = unsafe { out.cols_mut(0, i..i + 1) };
        sum[0] = rows_back::sum_squares(simd, part);
    });
}

fn sum_twin(_: &Team, mut call: CpuCall<'_>) {
    let x = call.take(0).map(|view| view.mat::<f32>().row(0));
    let values = x.unwrap_or_default().iter();
    let sum = values.map(|&v| f64::from(v)).sum::<f64>();
    call.mat_mut(1).row_mut(0)[0] = sum as f32;
}

/// What gradients are multiplied by. Keeps NaN, which would otherwise pass for no clipping.
fn clip_factor(norm2: Mat, max_norm: f32) -> f32 {
    if max_norm <= 0.0 {
        return 1.0;
    }
    let factor = max_norm / (norm2.row(0)[0].sqrt() + 1e-6);
    if factor > 1.0 { 1.0 } else { factor }
}

fn adamw_twin(team: &Team, mut call: CpuCall<'_>) {
    let (mut param, grad) = (call.mat_mut(0), call.mat::<f32>(1));
    let (mut m, mut v) = (call.mat_mut(2), call.mat_mut(3));
    let (norm2, hyper) = (call.mat::<f32>(4), call.mat::<f32>(5).row(0));
    let factors = AdamwFactors {
        clip: clip_factor(norm2, hyper[7]),
        keep: 1.0 - hyper[0] * hyper[4],
        beta1: hyper[1],
        beta2: hyper[2],
        eps: hyper[3],
        step: hyper[0] / hyper[5],
        root: 1.0 / hyper[6].sqrt(),
    };
    let (param, m, v, simd) = (param.parts(), m.parts(), v.parts(), Simd::best());
    pieces(team, grad.rows, grad.cols, |r, cols| {
        let grad = &grad.row(r)[cols.clone()];
        // SAFETY: every element belongs to one piece.
        let [param, m, v] = unsafe { [param, m, v].map(|t| t.cols_mut(r, cols.clone())) };
        rows_back::adamw(simd, factors, param, grad, m, v);
    });
}

fn sgd_twin(team: &Team, mut call: CpuCall<'_>) {
    let (mut param, grad) = (call.mat_mut(0), call.mat::<f32>(1));
    let (norm2, hyper) = (call.mat::<f32>(2), call.mat::<f32>(3).row(0));
    let clip = clip_factor(norm2, hyper[7]);
    let (param, simd) = (param.parts(), Simd::best());
    pieces(team, grad.rows, grad.cols, |r, cols| {
        let grad = &grad.row(r)[cols.clone()];
        // SAFETY: every element belongs to one piece.
        let param = unsafe { param.cols_mut(r, cols) };
        rows_back::sgd(simd, param, grad, clip, hyper[0], hyper[4]);
    });
}

#[cfg(test)]
mod tests;
