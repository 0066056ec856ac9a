//! What is written: the memories, and the folders they are kept in.

pub mod lora;
pub mod prefix;

pub use lora::{Lora, LoraConfig, LoraMatrix};
pub use prefix::Prefix;
