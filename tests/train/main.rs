//! Whole-model gradients of what is trained beside the frozen weights.

mod finite_differences;
mod rig;
