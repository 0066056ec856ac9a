//! Random numbers that are the same on every machine.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// The numbers of one step, or of another stream, of a seed.
pub fn generator(seed: u64, stream: u64) -> Pcg64Mcg {
    // SplitMix64's finaliser (Steele, Lea, Flood 2014) takes neighbouring streams far apart.
    let mut mixed = stream.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed.rotate_left(32);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    let mut state = [0; 16];
    state[..8].copy_from_slice(&mixed.to_le_bytes());
    state[8..].copy_from_slice(&seed.to_le_bytes());
    let mut random = Pcg64Mcg::from_seed(state);
    // The first outputs of a multiplicative generator still show the pattern of its seed.
    random.next_u64();
    random.next_u64();
    random
}

/// A whole number below `bound`, the same on every machine; its bias is under `bound / 2^64`.
pub fn below(random: &mut Pcg64Mcg, bound: u64) -> u64 {
    ((u128::from(random.next_u64()) * u128::from(bound)) >> 64) as u64
}

/// An even number in [0, 1), of 24 bits.
pub fn unit(random: &mut Pcg64Mcg) -> f32 {
    (random.next_u64() >> 40) as f32 / (1u32 << 24) as f32
}

/// A number of the normal distribution of deviation 1 (Box and Muller 1958).
pub fn normal(random: &mut Pcg64Mcg) -> f32 {
    let half =
        |random: &mut Pcg64Mcg| ((random.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let (radius, turn) = (half(random), half(random));
    let wide = (-2.0 * radius.ln()).sqrt() * (2.0 * std::f64::consts::PI * turn).cos();
    wide as f32
}

/// Puts a list into random order (Fisher and Yates).
pub fn shuffle<T>(random: &mut Pcg64Mcg, list: &mut [T]) {
    for last in (1..list.len()).rev() {
        list.swap(last, below(random, last as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_the_moments_of_the_distribution() {
        let mut random = generator(1, 2);
        let numbers: Vec<f64> = (0..40_000)
            .map(|_| f64::from(normal(&mut random)))
            .collect();
        let mean = |power: i32| numbers.iter().map(|v| v.powi(power)).sum::<f64>() / 40_000.0;
        assert!(mean(1).abs() < 0.02 && (mean(2) - 1.0).abs() < 0.03);
        assert!(mean(3).abs() < 0.1 && (mean(4) - 3.0).abs() < 0.2);
    }

    #[test]
    fn shuffling_keeps_every_element() {
        let mut list: Vec<u32> = (0..100).collect();
        shuffle(&mut generator(3, 0), &mut list);
        assert_ne!(list, (0..100).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..100).collect::<Vec<_>>());
    }
}
