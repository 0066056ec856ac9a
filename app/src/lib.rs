//! The window of Inscribe.

pub mod action;
pub mod app;
pub mod carry;
mod closing;
pub mod compare;
pub mod dialogs;
mod ending;
pub mod engine;
mod models;
mod opening;
pub mod replay;
pub mod reports;
pub mod run;
pub mod screens;
pub mod state;
pub mod teach;
pub mod theme;
pub mod trouble;

pub use app::InscribeApp;
