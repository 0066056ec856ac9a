//! The window of Inscribe.

pub mod action;
pub mod app;
pub mod engine;
pub mod screens;
pub mod state;
pub mod theme;

pub use app::InscribeApp;
