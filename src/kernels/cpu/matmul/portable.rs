//! Few rows on processors without AVX-512, and many without vectors known here.

#[cfg(target_arch = "x86_64")]
use super::avx2;
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::{FEW_ROWS, Matmul, few_grain};
use crate::engine::DType;
use crate::engine::cpu::Team;
use crate::engine::view::MatMut;
use crate::kernels::cpu::general::{self, Operand};
use crate::kernels::cpu::scratch::with_scratch;
use crate::kernels::cpu::simd::{Floats, Simd};
use crate::kernels::quant::dequantize_row;

/// One to eight rows: each row of the weight is expanded once, in registers where the processor has
/// vectors for that, else into the first-level cache.
pub fn few(job: &Matmul<'_>, team: &Team, simd: Simd, out: &mut MatMut<'_>) {
    let weight = &job.weight;
    let grain = few_grain(weight.rows, weight.row_bytes, team.threads());
    let parts = out.parts();
    team.ranges(weight.rows, grain, |range| {
        let mut dots = [0.0; FEW_ROWS];
        let dots = &mut dots[..job.x.rows];
        for n in range {
            row_dots(job, simd, n, dots);
            for (r, dot) in dots.iter().enumerate() {
                // SAFETY: each column belongs to one range.
                let out = unsafe { parts.cols_mut(r, n..n + 1) };
                let before = if job.accumulate { out[0] } else { 0.0 };
                out[0] = before + dot + job.bias_at(n);
            }
        }
    });
}

/// The products of the weight's row `n` with every row of `x`.
fn row_dots(job: &Matmul<'_>, simd: Simd, n: usize, dots: &mut [f32]) {
    let weight = &job.weight;
    match simd.floats() {
        _ if weight.dtype.is_plain() => {}
        #[cfg(target_arch = "x86_64")]
        Floats::Avx2 | Floats::Avx512 => {
            // SAFETY: the level says that the processor has these instructions.
            unsafe { avx2::row_dots(weight.dtype, weight.row(n), &job.x, dots) };
            return;
        }
        #[cfg(target_arch = "aarch64")]
        Floats::Neon => {
            // SAFETY: as above.
            unsafe { neon::row_dots(weight.dtype, weight.row(n), &job.x, dots) };
            return;
        }
        _ => {}
    }
    with_scratch(weight.cols, |dense| {
        expand(simd, weight.dtype, weight.row(n), dense);
        for (r, to) in dots.iter_mut().enumerate() {
            *to = dot(simd, job.x.row(r), dense);
        }
    });
}

/// [`dequantize_row`] with the vectors that the processor has.
fn expand(simd: Simd, dtype: DType, row: &[u8], out: &mut [f32]) {
    match simd.floats() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level says that the processor has these instructions.
        Floats::Avx2 | Floats::Avx512 => unsafe { avx2::expand(dtype, row, out) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Floats::Neon => unsafe { neon::expand(dtype, row, out) },
        _ => dequantize_row(dtype, row, out),
    }
}

fn dot(simd: Simd, a: &[f32], b: &[f32]) -> f32 {
    match simd.floats() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level says that the processor has these instructions.
        Floats::Avx2 | Floats::Avx512 => unsafe { dot_avx2(a, b) },
        // Every ARM processor of 64 bits multiplies and adds at once.
        Floats::Neon => lanes(a, b, |a, b, sum| a.mul_add(b, sum)),
        _ => lanes(a, b, |a, b, sum| a * b + sum),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn dot_avx2(a: &[f32], b: &[f32]) -> f32 {
    lanes(a, b, |a, b, sum| a.mul_add(b, sum))
}

/// Sums in 32 lanes, which the compiler turns into vectors.
#[inline(always)]
fn lanes(a: &[f32], b: &[f32], fma: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut sums = [0f32; 32];
    let (a, b) = (a.chunks_exact(32), b.chunks_exact(32));
    let tail = a.remainder().iter().zip(b.remainder());
    let mut rest = 0f32;
    for (&a, &b) in tail {
        rest = fma(a, b, rest);
    }
    for (a, b) in a.zip(b) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum = fma(a, b, *sum);
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// Many rows: a panel of the weight is expanded and multiplied by `general`.
pub fn many(job: &Matmul<'_>, team: &Team, out: &mut MatMut<'_>) {
    const PANEL: usize = 64;
    let (x, weight) = (&job.x, &job.weight);
    let rows = out.rows;
    let parts = out.parts();
    team.ranges(
        weight.rows,
        PANEL.min(weight.rows.div_ceil(team.threads())),
        |range| {
            with_scratch(range.len() * weight.cols, |dense| {
                for (n, dense) in range
                    .clone()
                    .zip(dense.chunks_exact_mut(weight.cols.max(1)))
                {
                    dequantize_row(weight.dtype, weight.row(n), dense);
                }
                for r in 0..rows {
                    // SAFETY: each column belongs to one range.
                    let out = unsafe { parts.cols_mut(r, range.clone()) };
                    for (n, out) in range.clone().zip(out) {
                        let before = if job.accumulate { *out } else { 0.0 };
                        *out = before + job.bias_at(n);
                    }
                }
                // SAFETY: `Matmul::run` checked every extent; this task's own columns of the
                // output.
                unsafe {
                    general::add(
                        (rows, x.cols, range.len()),
                        Operand {
                            at: x.data.as_ptr(),
                            by_row: x.stride,
                            by_col: 1,
                        },
                        Operand {
                            at: dense.as_ptr(),
                            by_row: 1,
                            by_col: weight.cols,
                        },
                        parts.at(0, range.start),
                        parts.stride(),
                    );
                }
            });
        },
    );
}
