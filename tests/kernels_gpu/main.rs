//! Every kernel on a GPU against its CPU twin, in every variant that the adapter can run, and the
//! executor's own promises. Fails where there is no adapter.

mod attention;
mod attention_back;
#[path = "../common/mod.rs"]
mod common;
mod elementwise;
mod executor;
mod gradients;
mod matmul;
mod products_back;
mod rig;
mod weight_gradients;
