//! Work on one row at a time: plain loops that the compiler turns into vectors, compiled once for
//! each level of instructions.

use super::Simd;
use super::exp::exp;

/// Defines `$name` as a choice between copies of `$body` compiled for each level.
macro_rules! for_each_level {
    ($(#[$meta:meta])* $name:ident = $body:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)?) => {
        $(#[$meta])*
        pub fn $name(simd: Simd, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                $body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                $body($($arg),*)
            }
            match simd.floats() {
                // SAFETY: the level says that the processor has these instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::cpu::simd::Floats::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::cpu::simd::Floats::Avx2 => unsafe { avx2($($arg),*) },
                _ => $body($($arg),*),
            }
        }
    };
}
pub(super) use for_each_level;

for_each_level! {
    /// `gate = gate / (1 + exp(-gate)) * up`
    silu_gate = silu_gate_body(gate: &mut [f32], up: &[f32])
}

#[inline(always)]
fn silu_gate_body(gate: &mut [f32], up: &[f32]) {
    for (g, &u) in gate.iter_mut().zip(up) {
        *g = *g / (1.0 + exp(-*g)) * u;
    }
}

for_each_level! {
    /// `gate = gelu(gate) * up` with `gelu(x) = x / 2 * (1 + tanh(t)) = x / (1 + exp(-2 t))`,
    /// `t = sqrt(2 / pi) * (x + 0.044715 x^3)`
    gelu_tanh_gate = gelu_tanh_gate_body(gate: &mut [f32], up: &[f32])
}

#[inline(always)]
fn gelu_tanh_gate_body(gate: &mut [f32], up: &[f32]) {
    const TWICE_ROOT: f32 = 1.595_769_2;
    for (g, &u) in gate.iter_mut().zip(up) {
        let x = *g;
        let twice = TWICE_ROOT * (x + 0.044_715 * x * x * x);
        *g = x / (1.0 + exp(-twice)) * u;
    }
}

for_each_level! {
    /// `out = x / sqrt(mean(x^2) + eps) * weight`
    rms_norm = rms_norm_body(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32])
}

#[inline(always)]
fn rms_norm_body(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let scale = inverse_rms_body(x, eps);
    for ((out, &x), &w) in out.iter_mut().zip(x).zip(weight) {
        *out = x * scale * w;
    }
}

for_each_level! {
    /// `out += x / sqrt(mean(x^2) + eps) * weight`
    rms_norm_add = rms_norm_add_body(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32])
}

#[inline(always)]
fn rms_norm_add_body(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let scale = inverse_rms_body(x, eps);
    for ((out, &x), &w) in out.iter_mut().zip(x).zip(weight) {
        *out += x * scale * w;
    }
}

for_each_level! {
    /// `1 / sqrt(mean(x^2) + eps)`
    inverse_rms = inverse_rms_body(x: &[f32], eps: f32) -> f32
}

#[inline(always)]
fn inverse_rms_body(x: &[f32], eps: f32) -> f32 {
    let sum = lanes(x, 0.0, |sum, v| sum + v * v, |a, b| a + b);
    1.0 / (sum / x.len() as f32 + eps).sqrt()
}

for_each_level! {
    /// The largest value, `-inf` where there is none.
    largest = largest_body(values: &[f32]) -> f32
}

#[inline(always)]
fn largest_body(values: &[f32]) -> f32 {
    let more = |a: f32, b: f32| if b > a { b } else { a };
    lanes(values, f32::NEG_INFINITY, more, more)
}

for_each_level! {
    /// The sum of `exp(value - shift)`
    sum_exp = sum_exp_body(values: &[f32], shift: f32) -> f32
}

#[inline(always)]
fn sum_exp_body(values: &[f32], shift: f32) -> f32 {
    lanes(values, 0.0, |sum, v| sum + exp(v - shift), |a, b| a + b)
}

/// Folds in 32 lanes, then the lanes.
#[inline(always)]
pub(super) fn lanes(
    values: &[f32],
    start: f32,
    fold: impl Fn(f32, f32) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut lanes = [start; 32];
    let chunks = values.chunks_exact(32);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane = fold(*lane, v);
        }
    }
    for (lane, &v) in lanes.iter_mut().zip(rest) {
        *lane = fold(*lane, v);
    }
    lanes.into_iter().fold(start, join)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::matmul::tests::Random;
    use proptest::prelude::*;

    fn close(got: f32, want: f64, tolerance: f64) -> bool {
        (f64::from(got) - want).abs() <= tolerance * want.abs() + 1e-30
    }

    fn silu(x: f64) -> f64 {
        x / (1.0 + (-x).exp())
    }

    fn gelu(x: f64) -> f64 {
        let t = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
        x / (1.0 + (-2.0 * t).exp())
    }

    #[test]
    fn exp_is_exact_to_a_few_units() {
        for i in -87_000..88_000 {
            let x = i as f32 * 1e-3;
            assert!(close(exp(x), f64::from(x).exp(), 3e-7), "{x}: {}", exp(x));
        }
        assert!(exp(f32::NAN).is_nan());
    }

    proptest! {
        #[test]
        fn rows_agree_with_64_bits(len in 1usize..200, seed: u64, size in 0.1f32..30.0) {
            let mut random = Random(seed);
            let x: Vec<f32> = (0..len).map(|_| size * random.unit()).collect();
            let weight = random.floats(len);
            let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
            let (wide_x, wide_w) = (wide(&x), wide(&weight));
            let mean = wide_x.iter().map(|v| v * v).sum::<f64>() / len as f64;
            let top = wide_x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = wide_x.iter().map(|v| (v - top).exp()).sum();
            for simd in Simd::supported() {
                let mut out = x.clone();
                silu_gate(simd, &mut out, &weight);
                for i in 0..len {
                    prop_assert!(close(out[i], silu(wide_x[i]) * wide_w[i], 1e-6), "silu {}", x[i]);
                }
                let mut out = x.clone();
                gelu_tanh_gate(simd, &mut out, &weight);
                for i in 0..len {
                    // The exponent's own rounding is magnified by its size, up to 88.
                    let want = gelu(wide_x[i]) * wide_w[i];
                    prop_assert!(close(out[i], want, 2e-5) || want.abs() < 1e-6, "gelu {}", x[i]);
                }
                let mut out = x.clone();
                rms_norm(simd, &x, &weight, 1e-5, &mut out);
                let mut added = x.clone();
                rms_norm_add(simd, &x, &weight, 1e-5, &mut added);
                for i in 0..len {
                    let want = wide_x[i] / (mean + 1e-5).sqrt() * wide_w[i];
                    prop_assert!(close(out[i], want, 1e-6));
                    prop_assert_eq!(added[i], x[i] + out[i]);
                }
                let want = 1.0 / (mean + 1e-5).sqrt();
                prop_assert!(close(inverse_rms(simd, &x, 1e-5), want, 1e-6));
                prop_assert_eq!(f64::from(largest(simd, &x)), top);
                prop_assert!(close(sum_exp(simd, &x, top as f32), total, 1e-6));
            }
        }
    }
}
