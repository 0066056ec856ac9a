//! Model files, tokenizers and the transformer.

pub mod config;
pub mod error;
pub mod gguf;
pub mod hub;
pub mod locate;
pub mod names;
pub mod safetensors;
pub mod sample;
pub mod session;
pub mod transformer;
pub mod weights;

pub use error::ModelError;
