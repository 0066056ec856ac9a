//! Pulling models as a person does, from a hub that misbehaves.

mod broken;
mod command;
mod packages;
mod server;
mod whole;
