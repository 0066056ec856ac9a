//! Paths for processors without AVX-512.

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::{Matmul, by_quantised, few_grain};
use crate::engine::DType;
use crate::engine::cpu::Team;
use crate::engine::view::MatMut;
use crate::kernels::cpu::Simd;
use crate::kernels::cpu::scratch::with_scratch;
use crate::kernels::quant::{dequantize_row, levels_of};

/// One to eight rows: each row of the weight is multiplied with all of them as it is expanded.
pub fn few(job: &Matmul<'_>, team: &Team, simd: Simd, out: &mut MatMut<'_>) {
    let weight = &job.weight;
    let grain = few_grain(weight.rows, weight.row_bytes, team.threads());
    let parts = out.parts();
    team.ranges(weight.rows, grain, |range| {
        for n in range {
            for first in (0..job.x.rows).step_by(AT_ONCE) {
                let dots = match weight.dtype.is_plain() {
                    true => plain_dots(job, simd, n, first),
                    false => dots(job, simd, n, first),
                };
                for (r, dot) in (first..job.x.rows).zip(dots) {
                    // SAFETY: each column belongs to one range.
                    let out = unsafe { parts.cols_mut(r, n..n + 1) };
                    let before = if job.accumulate { out[0] } else { 0.0 };
                    out[0] = before + dot + job.bias_at(n);
                }
            }
        }
    });
}

/// Rows of `x` multiplied at once: their sums stay in registers.
const AT_ONCE: usize = 4;
/// Weights expanded at once.
const BLOCK: usize = 32;

/// The products of the weight's row `n`, which is plain, with the rows of `x` from `first` on.
fn plain_dots(job: &Matmul<'_>, simd: Simd, n: usize, first: usize) -> [f32; AT_ONCE] {
    let weight = &job.weight;
    let mut dots = [0.0; AT_ONCE];
    with_scratch(weight.cols, |dense| {
        expand(simd, weight.dtype, weight.row(n), dense);
        for (r, to) in (first..job.x.rows).zip(&mut dots) {
            *to = dot(simd, job.x.row(r), dense);
        }
    });
    dots
}

/// The same for a row that is quantised.
fn dots(job: &Matmul<'_>, simd: Simd, n: usize, first: usize) -> [f32; AT_ONCE] {
    let (row, last) = (job.weight.row(n), job.x.rows - 1);
    if first == last {
        return [row_dots(simd, job.weight.dtype, row, [job.x.row(first)])[0]; AT_ONCE];
    }
    // Rows that are not there repeat the last one.
    let x: [&[f32]; AT_ONCE] = std::array::from_fn(|i| job.x.row((first + i).min(last)));
    row_dots(simd, job.weight.dtype, row, x)
}

/// Products of one row with `M` rows of `x`.
fn row_dots<const M: usize>(simd: Simd, dtype: DType, row: &[u8], x: [&[f32]; M]) -> [f32; M] {
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level says that the processor has these instructions.
        Simd::Avx2 | Simd::Avx512 | Simd::Vnni | Simd::Amx => unsafe {
            avx2::row_dots(dtype, row, x)
        },
        _ => by_quantised!(dtype, D => row_dots_of(D, row, x)),
    }
}

/// In loops that the compiler can turn into vectors.
#[inline(always)]
fn row_dots_of<const M: usize>(dtype: DType, row: &[u8], x: [&[f32]; M]) -> [f32; M] {
    const LANES: usize = 8;
    let mut sums = [[0f32; LANES]; M];
    let mut weights = [0f32; BLOCK];
    let mut at = 0;
    for block in row.chunks_exact(dtype.block_bytes()) {
        for j in 0..dtype.block_len() / BLOCK {
            let part = levels_of(dtype, block, j);
            for (i, (weight, level)) in weights.iter_mut().zip(part.levels).enumerate() {
                *weight = f32::from(level) * part.scales[i / 16] + part.offset;
            }
            for (x, sums) in x.iter().zip(&mut sums) {
                let x = &x[at..at + BLOCK];
                for (x, weights) in x.chunks_exact(LANES).zip(weights.chunks_exact(LANES)) {
                    for ((sum, x), weight) in sums.iter_mut().zip(x).zip(weights) {
                        *sum += x * weight;
                    }
                }
            }
            at += BLOCK;
        }
    }
    sums.map(|sums| sums.iter().sum())
}

/// [`dequantize_row`] with the vectors that the processor has.
fn expand(simd: Simd, dtype: DType, row: &[u8], out: &mut [f32]) {
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level says that the processor has these instructions.
        Simd::Avx2 | Simd::Avx512 | Simd::Vnni | Simd::Amx => unsafe {
            avx2::expand(dtype, row, out);
        },
        _ => dequantize_row(dtype, row, out),
    }
}

fn dot(simd: Simd, a: &[f32], b: &[f32]) -> f32 {
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level says that the processor has these instructions.
        Simd::Avx2 | Simd::Avx512 | Simd::Vnni | Simd::Amx => unsafe { dot_avx2(a, b) },
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

/// Many rows: a panel of the weight is expanded and given to the `gemm` crate.
pub fn many(job: &Matmul<'_>, team: &Team, simd: Simd, out: &mut MatMut<'_>) {
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
                    expand(simd, weight.dtype, weight.row(n), dense);
                }
                for r in 0..rows {
                    // SAFETY: each column belongs to one range.
                    let out = unsafe { parts.cols_mut(r, range.clone()) };
                    for (n, out) in range.clone().zip(out) {
                        let before = if job.accumulate { *out } else { 0.0 };
                        *out = before + job.bias_at(n);
                    }
                }
                // SAFETY: `Matmul::run` checked every extent; this task's own columns of the output.
                unsafe {
                    gemm::gemm(
                        rows,
                        range.len(),
                        x.cols,
                        parts.at(0, range.start),
                        1,
                        parts.stride() as isize,
                        true,
                        x.data.as_ptr(),
                        1,
                        x.stride as isize,
                        dense.as_ptr(),
                        weight.cols as isize,
                        1,
                        1.0,
                        1.0,
                        false,
                        false,
                        false,
                        gemm::Parallelism::None,
                    );
                }
            });
        },
    );
}
