//! The window driven by the labels a person sees, on a tiny random model.

mod controls;
mod desk;
mod documents;
mod frames;
mod keep;
mod trouble;
mod writing;
