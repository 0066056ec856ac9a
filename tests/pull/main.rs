//! Pulling models as a person does, from a hub that misbehaves.

mod broken;
mod command;
mod elsewhere;
mod known;
mod packages;
mod server;
mod whole;
