//! The fast insides of the CPU twins.
//!
//! Each twin picks the best code its processor can run. The plain loops in the reference
//! functions are what the tests hold every faster path against.

pub mod simd;

mod exp;
pub mod rows;
mod scratch;
#[cfg(target_arch = "x86_64")]
mod tile;
#[cfg(target_arch = "x86_64")]
mod unpack;

pub mod attention;
pub mod matmul;

pub use simd::Simd;
