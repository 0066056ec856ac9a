//! The window driven by the labels a person sees, on a tiny random model.

mod desk;
mod documents;
mod writing;
