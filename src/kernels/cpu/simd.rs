//! Which instructions the twins use.

use std::sync::OnceLock;

static BEST: OnceLock<Simd> = OnceLock::new();

/// A level of vector instructions. Of those that a processor has the last is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Simd {
    /// What the compiler makes of plain loops for every processor of this architecture.
    Portable,
    /// 4 lanes with fused multiply-add (ARM, 64 bits).
    Neon,
    /// Those with dot products of bytes, for few rows of quantised weights (ARM).
    Dotprod,
    /// Those with products of 2 x 8 by 8 x 2 bytes, for few rows of quantised weights (ARM).
    I8mm,
    /// 8 lanes with fused multiply-add (x86-64).
    Avx2,
    /// Those with dot products of bytes, for few rows of quantised weights (x86-64).
    AvxVnni,
    /// 16 lanes (x86-64).
    Avx512,
    /// Those with dot products of bytes, for few rows of quantised weights (x86-64).
    Vnni,
}

/// The registers in which a level computes with floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floats {
    Portable,
    Neon,
    Avx2,
    Avx512,
}

impl Simd {
    /// Every level with its name in `INSCRIBE_SIMD`.
    const ALL: [(Simd, &str); 8] = [
        (Simd::Portable, "scalar"),
        (Simd::Neon, "neon"),
        (Simd::Dotprod, "dotprod"),
        (Simd::I8mm, "i8mm"),
        (Simd::Avx2, "avx2"),
        (Simd::AvxVnni, "avxvnni"),
        (Simd::Avx512, "avx512"),
        (Simd::Vnni, "vnni"),
    ];

    /// The best level of this processor, or less where `INSCRIBE_SIMD` asks for less.
    pub fn best() -> Simd {
        *BEST.get_or_init(|| {
            let asked = std::env::var("INSCRIBE_SIMD").ok();
            let named = |&&(_, name): &&(Simd, &str)| asked.as_deref() == Some(name);
            let cap = Simd::ALL.iter().find(named).map(|&(level, _)| level);
            let supported = Simd::supported().into_iter();
            supported
                .filter(|&level| cap.is_none_or(|cap| level <= cap))
                .max()
                .unwrap_or(Simd::Portable)
        })
    }

    /// Every level this processor can run.
    pub fn supported() -> Vec<Simd> {
        let levels = Simd::ALL.into_iter().map(|(level, _)| level);
        levels.filter(|level| level.is_supported()).collect()
    }

    pub fn floats(self) -> Floats {
        match self {
            Simd::Portable => Floats::Portable,
            Simd::Neon | Simd::Dotprod | Simd::I8mm => Floats::Neon,
            Simd::Avx2 | Simd::AvxVnni => Floats::Avx2,
            Simd::Avx512 | Simd::Vnni => Floats::Avx512,
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn is_supported(self) -> bool {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match self {
            Simd::Portable => true,
            Simd::Avx2 => avx2,
            Simd::AvxVnni => avx2 && is_x86_feature_detected!("avxvnni"),
            Simd::Avx512 => avx512,
            Simd::Vnni => avx512 && is_x86_feature_detected!("avx512vnni"),
            Simd::Neon | Simd::Dotprod | Simd::I8mm => false,
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn is_supported(self) -> bool {
        use std::arch::is_aarch64_feature_detected;
        let neon = is_aarch64_feature_detected!("neon");
        let dotprod = neon && is_aarch64_feature_detected!("dotprod");
        match self {
            Simd::Portable => true,
            Simd::Neon => neon,
            Simd::Dotprod => dotprod,
            Simd::I8mm => dotprod && is_aarch64_feature_detected!("i8mm"),
            Simd::Avx2 | Simd::AvxVnni | Simd::Avx512 | Simd::Vnni => false,
        }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn is_supported(self) -> bool {
        self == Simd::Portable
    }
}
