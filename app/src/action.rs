//! What widgets ask for. They push actions while a frame is drawn; the application carries them
//! out after it.

use std::path::PathBuf;

use inscribe::engine::select::DeviceChoice;
use inscribe::write::settings::WriteSettings;

use crate::state::prefs::ThemeChoice;
use crate::trouble::Remedy;
use crate::vocabulary::{Dialog, PendingOpen, Purpose, Screen};

#[derive(Clone, Debug)]
pub enum Action {
    Show(Screen),
    /// Opens a system dialog to choose a path for something.
    Pick(Purpose),
    /// Opens something; asks first where a run goes on.
    Open(PendingOpen),
    /// Stops the run that goes on and opens something: the person agreed.
    StopAndOpen(PendingOpen),
    /// New settings of the next run.
    Settings(Box<WriteSettings>),
    /// Shows the settings, or hides them.
    Controls(bool),
    Theme(ThemeChoice),
    Zoom(f32),
    PickDevice(DeviceChoice),
    /// Loads the model in use and cuts the document into its tokens.
    Load,
    /// Reads the document in both passes and takes no step.
    Measure,
    /// Writes the document into a memory in this folder, or in a new one where `None`.
    Write(Option<PathBuf>),
    Pause,
    Resume,
    Cancel,
    /// Throws away what a stopped write has written.
    Discard(PathBuf),
    /// Takes the last of these back.
    Restore,
    Ask(String),
    /// Weighs the tokens of an answer in every view.
    Score {
        turn: usize,
        answer: usize,
    },
    /// Writes the pairs of the bench as they stand.
    Bench,
    /// Takes the model of a training run to the bench.
    TryOnBench(PathBuf),
    /// Trains a model as it is set.
    Train,
    /// Goes on with the training run in a folder.
    GoOnTraining(PathBuf),
    PauseTraining(bool),
    StopTraining,
    ForgetRecent(PathBuf),
    Remedy(Remedy),
    /// Takes a message away.
    Dismiss(usize),
    DismissAll,
    Dialog(Dialog),
    /// Stops the write, keeps it, and closes the window.
    StopAndQuit,
    /// Scrolls the text to a byte.
    ScrollTo(usize),
}
