//! Tensors, recordings and the two executors that run them.

mod dtype;

pub use dtype::DType;
