//! One to eight rows with AVX-512: the weight is expanded in registers.

use std::arch::x86_64::*;

use super::{Matmul, few_grain};
use crate::engine::DType;
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::unpack::{Unpack, first, with_format};

pub fn run(job: &Matmul<'_>, team: &Team, out: &mut MatMut<'_>) {
    let weight = &job.weight;
    let grain = few_grain(weight.rows, weight.row_bytes, team.threads());
    let parts = out.parts();
    team.ranges(weight.rows, grain, |rows| {
        // SAFETY: `Matmul::run` checked every extent and chose this path on AVX-512; each task has
        // its own columns of the output.
        unsafe { with_format!(weight.dtype, U => by_count::<U>(job, rows, parts)) }
    });
}

/// # Safety
/// As `run` says.
unsafe fn by_count<U: Unpack>(job: &Matmul<'_>, rows: std::ops::Range<usize>, out: Parts<'_>) {
    // SAFETY: as `run` says.
    unsafe {
        match job.x.rows {
            1 => columns::<U, 1, 4>(job, rows, out),
            2 => columns::<U, 2, 2>(job, rows, out),
            3..=4 => columns::<U, 4, 2>(job, rows, out),
            _ => columns::<U, 8, 1>(job, rows, out),
        }
    }
}

/// The products of up to `M` rows of `x` with the weight's `rows`, `R` of these at a time.
///
/// # Safety
/// As `run` says.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,f16c,fma")]
unsafe fn columns<U: Unpack, const M: usize, const R: usize>(
    job: &Matmul<'_>,
    rows: std::ops::Range<usize>,
    out: Parts<'_>,
) {
    let count = job.x.rows;
    // Rows that are not there repeat the last one.
    let x: [*const f32; M] = std::array::from_fn(|m| job.x.row(m.min(count - 1)).as_ptr());
    let mut n = rows.start;
    while n < rows.end {
        let left = (rows.end - n).min(R);
        let w: [*const u8; R] =
            std::array::from_fn(|r| job.weight.row(n + r.min(left - 1)).as_ptr());
        // SAFETY: whole rows of `x` and the weight.
        let dots = unsafe { dots::<U, M, R>(w, job.x.cols, x) };
        for m in 0..count {
            // SAFETY: this task's own columns.
            let out = unsafe { out.cols_mut(m, n..n + left) };
            for (r, (out, dots)) in out.iter_mut().zip(&dots).enumerate() {
                let before = if job.accumulate { *out } else { 0.0 };
                *out = before + dots[m] + job.bias_at(n + r);
            }
        }
        n += left;
    }
}

/// # Safety
/// Each pointer leads a whole row of `len` values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,f16c,fma")]
unsafe fn dots<U: Unpack, const M: usize, const R: usize>(
    w: [*const u8; R],
    len: usize,
    x: [*const f32; M],
) -> [[f32; M]; R] {
    // How far ahead to fetch the weight: the hardware stops at the end of a page.
    const AHEAD: usize = 3 << 10;
    let mut sums = [[_mm512_setzero_ps(); M]; R];
    let (steps, rest) = (len / U::LEN, len % U::LEN);
    for s in 0..steps {
        for r in 0..R {
            // SAFETY: inside the rows; a prefetch may name any address.
            unsafe {
                let from = w[r].wrapping_add(s * U::BYTES);
                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(AHEAD).cast());
                U::step(from, |i, weight| {
                    for m in 0..M {
                        let x = _mm512_loadu_ps(x[m].add(s * U::LEN + 16 * i));
                        sums[r][m] = _mm512_fmadd_ps(weight, x, sums[r][m]);
                    }
                });
            }
        }
    }
    if rest > 0 {
        for r in 0..R {
            // SAFETY: only the `rest` values that are left are read.
            unsafe {
                let weight = U::tail(w[r].add(steps * U::BYTES), rest);
                for m in 0..M {
                    let x = _mm512_maskz_loadu_ps(first(rest), x[m].add(steps * U::LEN));
                    sums[r][m] = _mm512_fmadd_ps(weight, x, sums[r][m]);
                }
            }
        }
    }
    sums.map(|row| row.map(|sum| _mm512_reduce_add_ps(sum)))
}
