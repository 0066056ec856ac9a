//! Inscribe writes a long document into a small language model's memory with gradient steps at
//! test time, on any GPU that wgpu reaches, and on the CPU where there is none.

pub mod engine;
pub mod kernels;
pub mod memory;
pub mod model;
pub mod write;
