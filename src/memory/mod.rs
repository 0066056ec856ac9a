//! What is written: the memories, and the folders they are kept in.

pub(crate) mod disk;
mod error;
pub mod export;
pub mod fingerprint;
pub mod gguf_adapter;
pub mod kind;
pub mod lora;
pub mod peft;
pub mod prefix;
mod row_order;
pub mod rows;
pub mod store;
#[cfg(test)]
pub(crate) mod testing;

pub use disk::leads_nowhere;
pub use error::MemoryError;
pub use fingerprint::fingerprint;
pub use kind::Content;
pub use lora::{Lora, LoraConfig, LoraMatrix};
pub use prefix::Prefix;
pub use rows::Rows;
pub use store::{Memory, MemoryWriter};
