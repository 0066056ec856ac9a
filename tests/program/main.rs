//! The program as people call it.

mod cli;
#[path = "../common/mod.rs"]
mod common;
mod report;
mod training;
mod training_on_texts;
mod writing;
