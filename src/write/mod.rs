//! How a memory is written: utility, allocation, steps, and the events that tell of them.

pub mod event;
pub mod settings;
