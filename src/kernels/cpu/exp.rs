//! The exponential function in vectors.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// `ln 2` in two parts; the first has few bits, so that its multiples are exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// Coefficients of `(exp(r) - 1 - r) / r^2` on `|r| <= ln(2) / 2` (Cephes).
const POLY: [f32; 6] = [
    1.987_569_2e-4,
    1.398_199_9e-3,
    8.333_452e-3,
    4.166_579_6e-2,
    1.666_666_5e-1,
    0.500_000_06,
];

/// `exp` of 16 floats, to about one unit in the last place; 0 below -87.3, where processors are
/// slow to make what is smaller than normal.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,fma")]
pub fn exp_512(x: __m512) -> __m512 {
    let set = |v| _mm512_set1_ps(v);
    let normal = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, set(-87.3));
    // Beyond this the result is infinite anyway.
    let x = _mm512_max_ps(_mm512_min_ps(x, set(89.0)), set(-87.3));
    let scaled = _mm512_mul_ps(x, set(std::f32::consts::LOG2_E));
    let n = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(scaled);
    let r = _mm512_fnmadd_ps(n, set(LN2_HIGH), x);
    let r = _mm512_fnmadd_ps(n, set(LN2_LOW), r);
    let mut p = set(POLY[0]);
    for &c in &POLY[1..] {
        p = _mm512_fmadd_ps(p, r, set(c));
    }
    let p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), _mm512_add_ps(r, set(1.0)));
    _mm512_maskz_scalef_ps(normal, p, n)
}

/// `exp`, written so that loops over it become vectors: to about two units in the last place,
/// never below `exp(-87.3)`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding this rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > 88.37 { 88.37 } else { x };
    let x = if x < -87.3 { -87.3 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let p = POLY[1..].iter().fold(POLY[0], |p, c| p * r + c);
    let p = p * (r * r) + r + 1.0;
    let power = shifted
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .wrapping_add(127)
        << 23;
    p * f32::from_bits(power)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::kernels::cpu::Simd;

    /// [`exp_512`] of one.
    fn one(x: f32) -> f64 {
        let mut out = [0f32; 16];
        // SAFETY: the callers have looked for AVX-512, and there is room for 16 floats.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), exp_512(_mm512_set1_ps(x))) };
        f64::from(out[0])
    }

    #[test]
    fn vectors_are_as_exact_as_they_say() {
        if !Simd::supported().contains(&Simd::Avx512) {
            return;
        }
        for i in 0..40_000 {
            let x = -200.0 + i as f32 * 288.0 / 40_000.0;
            let wide = f64::from(x);
            let want = if x < -87.3 { 0.0 } else { wide.exp() };
            let got = one(x);
            assert!((got - want).abs() <= 2e-7 * want, "exp({x}): {got}");
        }
        assert_eq!(one(f32::NEG_INFINITY), 0.0);
    }
}
