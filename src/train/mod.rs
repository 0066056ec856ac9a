//! Training models to be written to.
//!
//! [`Net`] is a model with the memory that precedes its tokens, all its numbers trained; [`meta`]
//! makes the gradients of GradMem's training step.

pub mod base;
pub mod bench;
pub mod corpus;
pub mod episode;
pub mod error;
pub mod event;
pub mod lm;
pub mod meta;
pub mod net;
pub mod reproduce;
pub mod rmt;
pub mod run;
pub mod saved;
pub mod settings;
pub mod shipped;
pub mod store;
pub mod task;

pub use episode::{Question, Sample};
pub use net::Net;
