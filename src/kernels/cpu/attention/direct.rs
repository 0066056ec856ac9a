//! A few query rows against keys and values where they lie (AVX-512): copying a tile into another
//! layout pays only where many rows use it.

use std::arch::x86_64::*;

use crate::kernels::cpu::unpack::first;

/// One head's columns of some consecutive rows of the cache.
#[derive(Clone, Copy)]
pub struct Rows {
    pub data: *const f32,
    pub stride: usize,
    pub count: usize,
    pub dim: usize,
}

/// Fetches into the cache rows of a tile some way after row `j`, and as many of the tile of
/// `values` that is read next: rows lie apart, which the hardware does not foresee.
#[inline]
#[target_feature(enable = "avx512f")]
fn fetch(keys: Rows, values: Rows, j: usize, rows: usize) {
    const AHEAD: usize = 16;
    const LINE: usize = 16;
    for i in j..j + rows {
        for d in (0..keys.dim).step_by(LINE) {
            let key = keys.data.wrapping_add((i + AHEAD) * keys.stride + d);
            let value = values.data.wrapping_add(i * values.stride + d);
            _mm_prefetch::<_MM_HINT_T0>(key.cast());
            _mm_prefetch::<_MM_HINT_T0>(value.cast());
        }
    }
}

/// `scores[j] = query . row j`; the first query of a tile of keys names the values that follow.
///
/// # Safety
/// The rows must be there, `query` and `scores` as long as they say, and the processor must have
/// AVX-512 F.
#[target_feature(enable = "avx512f,fma")]
pub unsafe fn scores(query: &[f32], rows: Rows, values: Option<Rows>, scores: &mut [f32]) {
    assert!(query.len() >= rows.dim && scores.len() >= rows.count);
    const AT_ONCE: usize = 4;
    let mut j = 0;
    while j < rows.count {
        // The last few rows are done again rather than one at a time.
        let start = j.min(rows.count.saturating_sub(AT_ONCE));
        let last = rows.count - 1;
        if let Some(values) = values {
            fetch(rows, values, start, AT_ONCE);
        }
        let mut sums = [_mm512_setzero_ps(); AT_ONCE];
        for d in (0..rows.dim).step_by(16) {
            let mask = first((rows.dim - d).min(16));
            // SAFETY: the masks keep to the columns of rows that are there.
            unsafe {
                let q = _mm512_maskz_loadu_ps(mask, query.as_ptr().add(d));
                for (i, sum) in sums.iter_mut().enumerate() {
                    let at = (start + i).min(last) * rows.stride + d;
                    let key = _mm512_maskz_loadu_ps(mask, rows.data.add(at));
                    *sum = _mm512_fmadd_ps(q, key, *sum);
                }
            }
        }
        for (score, sum) in scores[start..rows.count].iter_mut().zip(sums) {
            *score = _mm512_reduce_add_ps(sum);
        }
        j = start + AT_ONCE;
    }
}

/// `sums += shares[j] * row j`
///
/// # Safety
/// As for [`scores`].
#[target_feature(enable = "avx512f,fma")]
pub unsafe fn add_shares(shares: &[f32], rows: Rows, sums: &mut [f32]) {
    assert!(shares.len() >= rows.count && sums.len() >= rows.dim);
    for d in (0..rows.dim).step_by(64) {
        let masks: [__mmask16; 4] =
            std::array::from_fn(|v| first(rows.dim.saturating_sub(d + 16 * v).min(16)));
        // Even and odd rows in sums of their own, to cover the latency.
        let mut parts = [[_mm512_setzero_ps(); 4]; 2];
        for j in (0..rows.count).step_by(2) {
            for (i, part) in parts.iter_mut().enumerate() {
                // An odd count adds nothing of its last row again.
                let row = (j + i).min(rows.count - 1);
                let share = if row < j + i { 0.0 } else { shares[row] };
                let share = _mm512_set1_ps(share);
                for (v, sum) in part.iter_mut().enumerate() {
                    let from = rows.data.wrapping_add(row * rows.stride + d + 16 * v);
                    // SAFETY: the masks keep to the columns of a row that is there.
                    let value = unsafe { _mm512_maskz_loadu_ps(masks[v], from) };
                    *sum = _mm512_fmadd_ps(share, value, *sum);
                }
            }
        }
        for v in 0..4 {
            let to = sums.as_mut_ptr().wrapping_add(d + 16 * v);
            let part = _mm512_add_ps(parts[0][v], parts[1][v]);
            // SAFETY: the masks keep to `dim` values.
            unsafe {
                let sum = _mm512_add_ps(_mm512_maskz_loadu_ps(masks[v], to), part);
                _mm512_mask_storeu_ps(to, masks[v], sum);
            }
        }
    }
}
