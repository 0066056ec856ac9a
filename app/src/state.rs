//! Everything the window knows.

use inscribe::write::run::RunRecord;
use inscribe::write::settings::WriteSettings;

use crate::action::{Screen, Selection};

/// A run's events so far, with a version that changes with each of them: views keep what they
/// worked out for as long as it stays the same.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub record: RunRecord,
    pub version: u64,
}

#[derive(Default)]
pub struct State {
    pub screen: Screen,
    pub selection: Selection,
    pub run: Run,
    /// Of the next run.
    pub settings: WriteSettings,
}
