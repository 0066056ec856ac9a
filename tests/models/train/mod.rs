//! Whole-model gradients of what is trained beside the frozen weights.

mod autograd;
mod exact;
mod finite_differences;
mod frozen;
mod golden;
mod gradmem;
mod meta;
mod rig;
mod smollm2;
mod steps;
