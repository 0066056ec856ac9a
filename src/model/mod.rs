//! Model files, tokenizers and the transformer.
