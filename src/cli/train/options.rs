//! Options that kinds of training share.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use inscribe::train::settings::Schedule;

/// How the rate goes on after its rise.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ScheduleName {
    Constant,
    /// Down to a tenth at the last of --steps
    Cosine,
}

impl From<ScheduleName> for Schedule {
    fn from(name: ScheduleName) -> Schedule {
        match name {
            ScheduleName::Constant => Schedule::Constant,
            ScheduleName::Cosine => Schedule::Cosine,
        }
    }
}

pub fn open_events(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("{}: cannot be written", path.display()))
}
