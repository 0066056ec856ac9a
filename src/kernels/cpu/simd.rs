//! Which instructions the twins use.

use std::sync::OnceLock;

static BEST: OnceLock<Simd> = OnceLock::new();

/// A level of vector instructions; each includes those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Simd {
    /// What every processor of this architecture has.
    Portable,
    /// 8 lanes with fused multiply-add (x86-64).
    Avx2,
    /// 16 lanes (x86-64).
    Avx512,
    /// Those with dot products of bytes, for few rows of quantised weights (x86-64).
    Vnni,
    /// Those and the tile unit, for large multiplications (x86-64, Linux).
    Amx,
}

impl Simd {
    const ALL: [Simd; 5] = [
        Simd::Portable,
        Simd::Avx2,
        Simd::Avx512,
        Simd::Vnni,
        Simd::Amx,
    ];

    /// The best level of this processor, or less where `INSCRIBE_SIMD` asks for less
    /// (`scalar`, `avx2`, `avx512`, `vnni`, `amx`).
    pub fn best() -> Simd {
        *BEST.get_or_init(|| {
            Simd::up_to(match std::env::var("INSCRIBE_SIMD").as_deref() {
                Ok("scalar") => Simd::Portable,
                Ok("avx2") => Simd::Avx2,
                Ok("avx512") => Simd::Avx512,
                Ok("vnni") => Simd::Vnni,
                _ => Simd::Amx,
            })
        })
    }

    /// Makes the twins use no more than `cap`: for comparisons that the tile unit's sums of split
    /// products are too coarse for. Does nothing once a twin has run.
    pub fn limit(cap: Simd) {
        BEST.get_or_init(|| Simd::up_to(cap));
    }

    fn up_to(cap: Simd) -> Simd {
        let supported = Simd::ALL.into_iter().filter(|s| s.is_supported());
        supported
            .filter(|&s| s <= cap)
            .max()
            .unwrap_or(Simd::Portable)
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
            Simd::Vnni => has_vnni(),
            Simd::Amx => has_amx(),
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

#[cfg(target_arch = "x86_64")]
fn has_vnni() -> bool {
    has_avx512() && is_x86_feature_detected!("avx512vnni")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_vnni() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512() -> bool {
    false
}

/// Whether there is a tile unit and the system lets this process use it.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn has_amx() -> bool {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    *ALLOWED.get_or_init(|| {
        // Leaf 7: bit 22 of EDX says `bf16` products, bit 24 tiles.
        const TILES_AND_BF16: u32 = 1 << 22 | 1 << 24;
        let leaves = std::arch::x86_64::__cpuid(0).eax;
        has_vnni()
            && is_x86_feature_detected!("avx512bf16")
            && leaves >= 7
            && std::arch::x86_64::__cpuid_count(7, 0).edx & TILES_AND_BF16 == TILES_AND_BF16
            && may_use_tiles()
    })
}

/// Asks Linux for the right to keep 8 KiB of tiles for each thread.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn may_use_tiles() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let result: i64;
    // SAFETY: the call takes two numbers and touches no memory of this process; kernels that do
    // not know it return an error.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn has_amx() -> bool {
    false
}
