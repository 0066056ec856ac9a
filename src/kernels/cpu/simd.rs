//! Which instructions the twins use.

use std::sync::OnceLock;

/// A level of vector instructions; each includes those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Simd {
    /// What every processor of this architecture has.
    Portable,
    /// 8 lanes with fused multiply-add (x86-64).
    Avx2,
    /// 16 lanes (x86-64).
    Avx512,
}

impl Simd {
    const ALL: [Simd; 3] = [Simd::Portable, Simd::Avx2, Simd::Avx512];

    /// The best level of this processor, or less where `INSCRIBE_SIMD` asks for less
    /// (`scalar`, `avx2`, `avx512`).
    pub fn best() -> Simd {
        static BEST: OnceLock<Simd> = OnceLock::new();
        *BEST.get_or_init(|| {
            let cap = match std::env::var("INSCRIBE_SIMD").as_deref() {
                Ok("scalar") => Simd::Portable,
                Ok("avx2") => Simd::Avx2,
                _ => Simd::Avx512,
            };
            let supported = Simd::ALL.into_iter().filter(|s| s.is_supported());
            supported
                .filter(|&s| s <= cap)
                .max()
                .unwrap_or(Simd::Portable)
        })
    }

    /// Every level this processor can run.
    #[cfg(test)]
    pub fn supported() -> Vec<Simd> {
        Simd::ALL.into_iter().filter(|s| s.is_supported()).collect()
    }

    fn is_supported(self) -> bool {
        match self {
            Simd::Portable => true,
            Simd::Avx2 => has_avx2(),
            Simd::Avx512 => has_avx512(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512() -> bool {
    false
}
