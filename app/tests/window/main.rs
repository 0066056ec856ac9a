//! The window driven by the labels a person sees, on a tiny random model.

mod asking;
mod bar;
mod bench;
mod cockpit;
mod controls;
mod crossing;
mod desk;
mod documents;
mod fetch;
mod frames;
mod keep;
mod looks;
mod methods;
mod models;
mod safety;
// It misbehaves in more ways than are tried here.
#[allow(dead_code)]
#[path = "../../../tests/pull/server.rs"]
mod server;
mod tabs;
mod training;
mod trouble;
mod writing;
