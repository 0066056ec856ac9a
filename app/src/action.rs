//! What widgets ask for. They push actions while a frame is drawn; the application carries them
//! out after it.

use std::path::PathBuf;

use inscribe::write::settings::WriteSettings;

/// What the person looks at, the same in every view of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub segment: usize,
    /// Within the segment.
    pub chunk: Option<usize>,
    /// Within the segment.
    pub token: Option<usize>,
}

impl Selection {
    pub fn chunk(segment: usize, chunk: usize) -> Selection {
        Selection {
            segment,
            chunk: Some(chunk),
            token: None,
        }
    }
}

/// The parts of the window that fill it in turn.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Screen {
    #[default]
    Welcome,
    /// The document, its strips and the live run.
    Write,
    Ask,
    Compare,
    Learn,
    Replay,
}

#[derive(Clone, Debug)]
pub enum Action {
    Show(Screen),
    OpenDialog,
    OpenPath(PathBuf),
    OpenBytes {
        name: String,
        bytes: Vec<u8>,
    },
    OpenSample,
    /// New settings of the next run.
    Settings(Box<WriteSettings>),
    /// Both passes, no steps.
    Measure,
    Write,
    Pause,
    Resume,
    Cancel,
    Ask(String),
}
