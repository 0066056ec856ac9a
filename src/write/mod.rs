//! How a memory is written: utility, allocation, steps, and the events that tell of them.

pub mod allocate;
pub mod chunk;
pub mod document;
pub mod event;
pub mod figure;
pub mod run;
pub mod sampling;
pub mod schedule;
pub mod settings;
pub mod statistics;
#[doc(hidden)]
pub mod synthetic;
