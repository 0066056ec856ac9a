//! How a memory is written: utility, allocation, steps, and the events that tell of them.

#![warn(missing_docs)]

pub mod allocate;
pub mod asker;
pub mod chart;
mod chunk;
pub mod document;
pub mod error;
pub mod event;
pub mod experiment;
#[cfg(feature = "figures")]
pub mod figure;
pub mod forecast;
pub mod learner;
pub mod method;
pub(crate) mod persist;
mod prefix;
pub mod prompt;
pub mod reader;
pub mod record;
mod retrieve;
pub mod sampling;
mod schedule;
pub mod setting;
pub mod setting_error;
pub mod settings;
pub mod statistics;
#[doc(hidden)]
pub mod synthetic;
mod utility;
pub mod variance;
pub mod writer;
