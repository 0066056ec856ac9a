//! The window of Inscribe.

pub mod action;
pub mod app;
pub mod carry;
pub mod dialogs;
pub mod engine;
pub mod reports;
pub mod screens;
pub mod state;
pub mod theme;
pub mod trouble;

pub use app::InscribeApp;
