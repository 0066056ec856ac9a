//! Gradients and optimiser steps on one row at a time, compiled as [`rows`](super::rows) is.

use super::Simd;
use super::exp::exp;
use super::rows::{for_each_level, lanes};

for_each_level! {
    /// Turns `grad`, the gradient of `x / sqrt(mean(x^2) + eps) * weight`, into the gradient of x.
    rms_norm_back = rms_norm_back_body(x: &[f32], weight: &[f32], eps: f32, grad: &mut [f32])
}

#[inline(always)]
fn rms_norm_back_body(x: &[f32], weight: &[f32], eps: f32, grad: &mut [f32]) {
    let (scale, along) = norm_back_factors(x, weight, grad, eps);
    for ((g, &x), &w) in grad.iter_mut().zip(x).zip(weight) {
        *g = scale * w * *g - along * x;
    }
}

for_each_level! {
    /// Adds to `dx` what [`rms_norm_back`] makes of `dy`.
    rms_norm_back_add =
        rms_norm_back_add_body(x: &[f32], weight: &[f32], eps: f32, dy: &[f32], dx: &mut [f32])
}

#[inline(always)]
fn rms_norm_back_add_body(x: &[f32], weight: &[f32], eps: f32, dy: &[f32], dx: &mut [f32]) {
    let (scale, along) = norm_back_factors(x, weight, dy, eps);
    for (((dx, &g), &x), &w) in dx.iter_mut().zip(dy).zip(x).zip(weight) {
        *dx += scale * w * g - along * x;
    }
}

/// With `s = 1 / sqrt(mean(x^2) + eps)`: `s`, and `s^3 * mean(dy * weight * x)`.
#[inline(always)]
fn norm_back_factors(x: &[f32], weight: &[f32], dy: &[f32], eps: f32) -> (f32, f32) {
    const LANES: usize = 32;
    let (mut squares, mut dots) = ([0.0f32; LANES], [0.0f32; LANES]);
    let mut fold = |x: &[f32], weight: &[f32], dy: &[f32]| {
        let sums = squares.iter_mut().zip(&mut dots);
        for ((((square, dot), &x), &w), &g) in sums.zip(x).zip(weight).zip(dy) {
            *square += x * x;
            *dot += g * w * x;
        }
    };
    let whole = x.len() / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        let part = start..start + LANES;
        fold(&x[part.clone()], &weight[part.clone()], &dy[part]);
    }
    fold(&x[whole..], &weight[whole..], &dy[whole..]);
    let mean = |lanes: [f32; LANES]| lanes.iter().sum::<f32>() / x.len() as f32;
    let scale = 1.0 / (mean(squares) + eps).sqrt();
    (scale, scale * scale * scale * mean(dots))
}

/// A gate's activation `x * sigmoid(z)` and its derivative, from `x`, `z` and `dz/dx`.
#[inline(always)]
fn activation_back(x: f32, z: f32, slope: f32) -> (f32, f32) {
    let e = exp(-z);
    let sigmoid = 1.0 / (1.0 + e);
    (x * sigmoid, sigmoid + x * sigmoid * (e * sigmoid) * slope)
}

for_each_level! {
    /// Gradients of `silu(gate) * up`: `d_gate` and `d_up` from that of the product.
    silu_gate_back = silu_gate_back_body(
        gate: &[f32], up: &[f32], d_out: &[f32], d_gate: &mut [f32], d_up: &mut [f32]
    )
}

#[inline(always)]
fn silu_gate_back_body(
    gate: &[f32],
    up: &[f32],
    d_out: &[f32],
    d_gate: &mut [f32],
    d_up: &mut [f32],
) {
    let out = d_gate.iter_mut().zip(d_up);
    for ((((d_gate, d_up), &x), &u), &d) in out.zip(gate).zip(up).zip(d_out) {
        let (value, slope) = activation_back(x, x, 1.0);
        *d_gate = d * u * slope;
        *d_up = d * value;
    }
}

for_each_level! {
    /// Gradients of `gelu(gate) * up`, in its form with tanh.
    gelu_tanh_gate_back = gelu_tanh_gate_back_body(
        gate: &[f32], up: &[f32], d_out: &[f32], d_gate: &mut [f32], d_up: &mut [f32]
    )
}

#[inline(always)]
fn gelu_tanh_gate_back_body(
    gate: &[f32],
    up: &[f32],
    d_out: &[f32],
    d_gate: &mut [f32],
    d_up: &mut [f32],
) {
    const TWICE_ROOT: f32 = 1.595_769_2;
    let out = d_gate.iter_mut().zip(d_up);
    for ((((d_gate, d_up), &x), &u), &d) in out.zip(gate).zip(up).zip(d_out) {
        let square = 0.044_715 * x * x;
        let z = TWICE_ROOT * (x + square * x);
        let (value, slope) = activation_back(x, z, TWICE_ROOT * (1.0 + 3.0 * square));
        *d_gate = d * u * slope;
        *d_up = d * value;
    }
}

for_each_level! {
    /// `logits = factor * exp(logits - largest)`
    scaled_exp = scaled_exp_body(logits: &mut [f32], largest: f32, factor: f32)
}

#[inline(always)]
fn scaled_exp_body(logits: &mut [f32], largest: f32, factor: f32) {
    for logit in logits {
        *logit = factor * exp(*logit - largest);
    }
}

for_each_level! {
    /// `x = factor * x`
    scale = scale_body(x: &mut [f32], factor: f32)
}

#[inline(always)]
fn scale_body(x: &mut [f32], factor: f32) {
    for x in x {
        *x *= factor;
    }
}

for_each_level! {
    /// The sum of squares.
    sum_squares = sum_squares_body(x: &[f32]) -> f32
}

#[inline(always)]
fn sum_squares_body(x: &[f32]) -> f32 {
    lanes(x, 0.0, |sum, v| sum + v * v, |a, b| a + b)
}

/// What a step of AdamW multiplies by; see `kernels::optimizer`.
#[derive(Clone, Copy, Debug)]
pub struct AdamwFactors {
    /// Factor of the gradient, for clipping.
    pub clip: f32,
    /// Factor of the parameter: `1 - lr * weight_decay`.
    pub keep: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    /// Factor of the first moment: `lr / (1 - beta1^t)`.
    pub step: f32,
    /// Factor of the second moment's root: `1 / sqrt(1 - beta2^t)`.
    pub root: f32,
}

for_each_level! {
    /// One step of AdamW.
    adamw = adamw_body(
        f: AdamwFactors, param: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32]
    )
}

#[inline(always)]
fn adamw_body(f: AdamwFactors, param: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32]) {
    for (((p, &g), m), v) in param.iter_mut().zip(grad).zip(m).zip(v) {
        let g = g * f.clip;
        *m += (1.0 - f.beta1) * (g - *m);
        *v = f.beta2 * *v + (1.0 - f.beta2) * g * g;
        *p = f.keep * *p - f.step * *m / (v.sqrt() * f.root + f.eps);
    }
}

for_each_level! {
    /// `sum += x`
    add = add_body(sum: &mut [f32], x: &[f32])
}

#[inline(always)]
fn add_body(sum: &mut [f32], x: &[f32]) {
    for (sum, &x) in sum.iter_mut().zip(x) {
        *sum += x;
    }
}

for_each_level! {
    /// `sum += factor * x`
    add_scaled = add_scaled_body(sum: &mut [f32], x: &[f32], factor: f32)
}

#[inline(always)]
fn add_scaled_body(sum: &mut [f32], x: &[f32], factor: f32) {
    for (sum, &x) in sum.iter_mut().zip(x) {
        *sum += factor * x;
    }
}

for_each_level! {
    /// `sum += factor * x * y`
    add_product = add_product_body(sum: &mut [f32], x: &[f32], y: &[f32], factor: f32)
}

#[inline(always)]
fn add_product_body(sum: &mut [f32], x: &[f32], y: &[f32], factor: f32) {
    for ((sum, &x), &y) in sum.iter_mut().zip(x).zip(y) {
        *sum += factor * x * y;
    }
}

for_each_level! {
    /// `param -= lr * (clip * grad + decay * param)`
    sgd = sgd_body(param: &mut [f32], grad: &[f32], clip: f32, lr: f32, decay: f32)
}

#[inline(always)]
fn sgd_body(param: &mut [f32], grad: &[f32], clip: f32, lr: f32, decay: f32) {
    for (p, &g) in param.iter_mut().zip(grad) {
        *p -= lr * (clip * g + decay * *p);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::matmul::tests::Random;

    /// The gradients themselves are held against finite differences beside their kernels.
    #[test]
    fn every_level_agrees_with_the_plain_loops() {
        for len in [1, 15, 33, 64, 200] {
            let mut random = Random(len as u64);
            let [a, b, c] = [(); 3].map(|_| random.floats(len));
            let all = |simd: Simd| {
                let mut out = Vec::new();
                let mut one = |f: &dyn Fn(&mut [f32])| {
                    let mut x = c.clone();
                    f(&mut x);
                    out.extend(x);
                };
                one(&|x| rms_norm_back(simd, &a, &b, 1e-3, x));
                one(&|x| rms_norm_back_add(simd, &a, &b, 1e-3, &a, x));
                one(&|x| silu_gate_back(simd, &a, &b, &c, x, &mut c.clone()));
                one(&|x| silu_gate_back(simd, &a, &b, &c, &mut c.clone(), x));
                one(&|x| gelu_tanh_gate_back(simd, &a, &b, &c, x, &mut c.clone()));
                one(&|x| gelu_tanh_gate_back(simd, &a, &b, &c, &mut c.clone(), x));
                one(&|x| scaled_exp(simd, x, 1.5, -0.5));
                one(&|x| scale(simd, x, 1.5));
                one(&|x| add(simd, x, &a));
                one(&|x| add_scaled(simd, x, &a, -1.5));
                one(&|x| add_product(simd, x, &a, &b, -1.5));
                one(&|x| x[0] = sum_squares(simd, &a));
                one(&|x| sgd(simd, x, &a, 0.5, 0.1, 0.01));
                let factors = AdamwFactors {
                    clip: 0.5,
                    keep: 0.99,
                    beta1: 0.9,
                    beta2: 0.99,
                    eps: 1e-8,
                    step: 0.1,
                    root: 2.0,
                };
                let squares: Vec<f32> = b.iter().map(|b| b * b).collect();
                one(&|x| adamw(simd, factors, x, &a, &mut b.clone(), &mut squares.clone()));
                out
            };
            let expected = all(Simd::Portable);
            for simd in Simd::supported() {
                for (i, (found, expected)) in all(simd).into_iter().zip(&expected).enumerate() {
                    let error = (found - expected).abs();
                    assert!(
                        error <= 1e-5 * (1.0 + expected.abs()),
                        "{simd:?} {len}: {i}"
                    );
                }
            }
        }
    }
}
