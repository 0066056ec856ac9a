//! How a memory is written: utility, allocation, steps, and the events that tell of them.

pub mod allocate;
pub mod asker;
pub mod chart;
pub mod chunk;
pub mod document;
pub mod error;
pub mod event;
#[cfg(feature = "figures")]
pub mod figure;
mod fit;
pub mod frame;
pub mod keep;
pub mod learn;
pub mod method;
pub mod plan;
pub mod prefix;
pub mod reader;
pub mod run;
pub mod sampling;
pub mod schedule;
pub mod setting;
pub mod setting_error;
pub mod settings;
pub mod statistics;
pub mod study;
#[doc(hidden)]
pub mod synthetic;
pub mod utility;
pub mod variance;
pub mod writer;
