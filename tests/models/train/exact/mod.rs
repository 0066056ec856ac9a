//! Gradients through the steps of writing, exactly: a small transformer forward and backward in
//! plain loops over any kind of number.
//!
//! In dual numbers the tangent of the gradient at `M + eps v` is the gradient's derivative along
//! `v`: the products with second derivatives that training takes from differences come out as
//! exact as the gradient itself.

mod cases;
mod gradients;
mod net;
mod perturbation;
mod rows;
mod scalar;
mod through_writing;
mod writing;
