//! Tensors, recordings and the two executors that run them.

#![warn(missing_docs)]

pub mod copies;
pub mod cpu;
mod device;
mod dtype;
mod error;
pub mod gpu;
mod joining;
mod plan;
mod profile;
mod recording;
pub mod select;
pub(crate) mod system;
mod team;
mod tensor;
pub mod view;

pub use device::{Arena, CancelToken, Device, Program, RunOptions};
pub use dtype::DType;
pub use error::{EngineError, Result, mib};
pub use gpu::Tier;
pub use plan::{Plan, share};
pub use profile::{Entry, Profile};
pub use recording::{Access, Binding, Dispatch, Joins, Kernel, Op, Recording};
pub use team::Team;
pub use tensor::{Buffer, Place, Shard, TempId, Tensor, Weight};

#[cfg(test)]
mod device_tests;
