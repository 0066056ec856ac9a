//! The window of Inscribe.

pub mod action;
pub mod app;
pub mod compare;
pub mod dialogs;
pub mod engine;
pub mod replay;
pub mod run;
pub mod screens;
pub mod state;
pub mod teach;
pub mod theme;
pub mod trouble;
pub mod vocabulary;

pub use app::InscribeApp;
