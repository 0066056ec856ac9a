//! The kernels: for each family a typed launch function, its CPU twin and a test that holds the
//! shader against the twin.

pub mod attention;
pub mod attention_back;
mod attention_back_gpu;
mod attention_gpu;
pub mod column_sums;
pub mod cpu;
pub mod cross_entropy;
pub mod cross_entropy_back;
pub mod embed;
pub mod embed_back;
#[cfg(test)]
pub(crate) mod finite;
pub mod gated;
pub mod gated_back;
pub mod matmul;
pub mod matmul_back;
mod matmul_gpu;
pub mod norm;
pub mod norm_back;
pub mod norm_gain_back;
pub mod optimizer;
pub mod outer;
pub mod quant;
pub mod random;
pub mod rope;
pub mod rope_back;
pub mod rope_gain_back;
pub mod self_test;

use crate::engine::gpu::{Def, Variant};
use crate::engine::{DType, Kernel};

/// Every kernel, for validation and benchmarks.
pub static ALL: &[&Kernel] = &[
    &attention::ATTENTION,
    &attention_back::ATTENTION_BACK_Q,
    &attention_back::ATTENTION_BACK_KV,
    &column_sums::COLUMN_SUMS,
    &cross_entropy::CROSS_ENTROPY,
    &cross_entropy_back::CROSS_ENTROPY_BACK,
    &embed::EMBED,
    &embed_back::EMBED_BACK,
    &embed_back::SORT_IDS,
    &gated::GATED,
    &gated::GATED_INTO,
    &gated_back::GATED_BACK,
    &matmul::MATMUL,
    &matmul_back::MATMUL_BACK,
    &norm::RMS_NORM,
    &norm::RMS_NORM_ADD,
    &norm_back::RMS_NORM_BACK,
    &norm_back::RMS_NORM_BACK_ADD,
    &norm_gain_back::RMS_NORM_GAIN_BACK,
    &norm_gain_back::RMS_SCALES,
    &optimizer::ADAMW,
    &optimizer::ADD,
    &optimizer::SCALE,
    &optimizer::SGD,
    &optimizer::SUM,
    &optimizer::SUM_SQUARES,
    &outer::OUTER,
    &rope::ROPE,
    &rope::SCATTER_ROWS,
    &rope_back::ROPE_BACK,
    &rope_gain_back::ROPE_GAIN_BACK,
];

/// Defines the weight type for a shader that reads weights through `shaders/shared/weight.wgsl`.
pub(crate) fn weight_def(mut variant: Variant, dtype: DType) -> Variant {
    variant.defs.push((weight_flag(dtype), Def::Flag));
    let layout = match (dtype, dtype.block_len()) {
        (DType::Q4_K | DType::Q5_K, _) => Some("WEIGHT_K_SCALES"),
        (_, 1) => Some("WEIGHT_PLAIN"),
        (_, 32) => Some("WEIGHT_BLOCK_32"),
        _ => None,
    };
    variant.defs.extend(layout.map(|flag| (flag, Def::Flag)));
    variant
}

/// A variant for each weight type.
pub(crate) fn weight_variants(variant: impl Fn() -> Variant) -> Vec<Variant> {
    DType::WEIGHTS
        .iter()
        .map(|&dtype| weight_def(variant(), dtype))
        .collect()
}

fn weight_flag(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 | DType::U32 => "WEIGHT_F32",
        DType::F16 => "WEIGHT_F16",
        DType::BF16 => "WEIGHT_BF16",
        DType::Q8_0 => "WEIGHT_Q8_0",
        DType::Q4_0 => "WEIGHT_Q4_0",
        DType::Q4_1 => "WEIGHT_Q4_1",
        DType::Q5_0 => "WEIGHT_Q5_0",
        DType::Q5_1 => "WEIGHT_Q5_1",
        DType::Q4_K => "WEIGHT_Q4_K",
        DType::Q5_K => "WEIGHT_Q5_K",
        DType::Q6_K => "WEIGHT_Q6_K",
    }
}
