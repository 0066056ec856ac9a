//! Model files, tokenizers and the transformer.

pub mod adapter;
pub mod chat;
pub mod config;
pub mod draws;
pub mod elsewhere;
pub mod error;
pub mod flat;
pub mod generate;
pub mod gguf;
pub mod gradmem;
pub mod hub;
pub mod loaded;
pub mod locate;
pub mod mapping;
pub mod model_file;
pub mod names;
pub mod safetensors;
pub mod sample;
pub mod session;
pub mod shapes;
pub mod tokenizer;
pub mod train;
pub mod transformer;
pub mod weights;

pub use error::ModelError;
