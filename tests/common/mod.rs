//! What integration tests share.

pub mod golden;
