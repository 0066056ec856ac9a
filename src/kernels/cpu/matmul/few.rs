//! One to eight rows with AVX-512: the weight is expanded in registers.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Matmul, few_grain};
use crate::engine::DType;
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::scratch::with_scratch;
use crate::kernels::cpu::unpack::{Unpack, first, scales, with_format};

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
unsafe fn by_count<U: Unpack>(job: &Matmul<'_>, rows: Range<usize>, out: Parts<'_>) {
    // SAFETY: as `run` says.
    unsafe {
        match job.x.rows {
            1 => columns::<U, 1, 4>(job, rows, out),
            2..=4 => columns::<U, 4, 2>(job, rows, out),
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
    rows: Range<usize>,
    out: Parts<'_>,
) {
    let (count, len) = (job.x.rows, job.x.cols);
    // Rows that are not there repeat the last one.
    let x: [*const f32; M] = std::array::from_fn(|m| job.x.row(m.min(count - 1)).as_ptr());
    let blocks = if U::SCALES_AHEAD { len / U::LEN } else { 0 };
    let room = (R * blocks).next_multiple_of(16);
    with_scratch(2 * room, |scratch| {
        let (scale, min) = scratch.split_at_mut(room);
        let mut n = rows.start;
        while n < rows.end {
            let w = job.weight.row(n).as_ptr();
            if n + R <= rows.end {
                // SAFETY: `R` whole rows of the weight and room for the scales of all.
                let dots = unsafe {
                    scales::<U>(w, R * blocks, scale.as_mut_ptr(), min.as_mut_ptr());
                    dots::<U, M, R>(w, job.weight.row_bytes, (scale, min), len, x)
                };
                // SAFETY: this task's own columns.
                unsafe { write(job, n, &dots, out) };
                n += R;
            } else {
                // SAFETY: as above, for one row.
                let dots = unsafe {
                    scales::<U>(w, blocks, scale.as_mut_ptr(), min.as_mut_ptr());
                    dots::<U, M, 1>(w, job.weight.row_bytes, (scale, min), len, x)
                };
                // SAFETY: this task's own columns.
                unsafe { write(job, n, &dots, out) };
                n += 1;
            }
        }
    });
}

/// Puts the products of the weight's rows from `n` on where they belong.
///
/// # Safety
/// The columns must be this task's own.
unsafe fn write<const M: usize>(job: &Matmul<'_>, n: usize, dots: &[[f32; M]], out: Parts<'_>) {
    for m in 0..job.x.rows {
        // SAFETY: the caller's.
        let out = unsafe { out.cols_mut(m, n..n + dots.len()) };
        for (r, (out, dots)) in out.iter_mut().zip(dots).enumerate() {
            let before = if job.accumulate { *out } else { 0.0 };
            *out = before + dots[m] + job.bias_at(n + r);
        }
    }
}

/// # Safety
/// `w` leads `R` rows of `len` weights, `row_bytes` apart; each `x` leads `len` values; the scales
/// are those of these rows where the type wants them ahead.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,f16c,fma")]
unsafe fn dots<U: Unpack, const M: usize, const R: usize>(
    w: *const u8,
    row_bytes: usize,
    (scale, min): (&[f32], &[f32]),
    len: usize,
    x: [*const f32; M],
) -> [[f32; M]; R] {
    // Fetch what later rows will need, since the hardware stops at the end of a page: whole groups
    // of rows ahead, or the rows of one group would fetch each other's present.
    const AHEAD: usize = 8 << 10;
    let group = R * row_bytes;
    let ahead = group * AHEAD.div_ceil(group.max(1));
    let mut sums = [[_mm512_setzero_ps(); M]; R];
    let (steps, rest) = (len / U::LEN, len % U::LEN);
    let (scale, min) = (scale.as_ptr(), min.as_ptr());
    for s in 0..steps {
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: inside the rows; a prefetch may name any address.
            unsafe {
                let from = w.add(r * row_bytes + s * U::BYTES);
                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(ahead).cast());
                let (scale, min) = (
                    scale.wrapping_add(r * steps + s),
                    min.wrapping_add(r * steps + s),
                );
                U::scaled(from, scale, min, |i, weight| {
                    for (x, sum) in x.iter().zip(sums.iter_mut()) {
                        let x = _mm512_loadu_ps(x.add(s * U::LEN + 16 * i));
                        *sum = _mm512_fmadd_ps(weight, x, *sum);
                    }
                });
            }
        }
    }
    if rest > 0 {
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: only the `rest` values that are left are read.
            unsafe {
                let weight = U::tail(w.add(r * row_bytes + steps * U::BYTES), rest);
                for (x, sum) in x.iter().zip(sums.iter_mut()) {
                    let x = _mm512_maskz_loadu_ps(first(rest), x.add(steps * U::LEN));
                    *sum = _mm512_fmadd_ps(weight, x, *sum);
                }
            }
        }
    }
    sums.map(|row| row.map(|sum| _mm512_reduce_add_ps(sum)))
}
