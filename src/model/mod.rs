//! Model files, tokenizers and the transformer.

pub mod hub;
pub mod locate;
