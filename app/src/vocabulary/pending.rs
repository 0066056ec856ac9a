//! What is about to be opened, and the dialogs that the window asks its questions in.

use std::path::PathBuf;

/// The dialog in front of the rest of the window.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Dialog {
    #[default]
    None,
    Model,
    Device,
    /// The window is to be closed while a write goes on.
    Quit,
    /// A text to paste or type, which becomes a document.
    Paste,
    /// Something is to be opened while a run goes on.
    Replace(PendingOpen),
}

/// What replaces the open document, or the model: at once, or after the person has agreed to stop
/// the run that goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum PendingOpen {
    Document(PathBuf),
    Bytes {
        name: String,
        bytes: Vec<u8>,
    },
    Sample,
    Memory(PathBuf),
    /// The folder of a stopped write, to continue it.
    Unfinished(PathBuf),
    /// A known name, a path or a hub id of a model.
    Model(String),
}

impl PendingOpen {
    /// What a path that was dropped or chosen is: a memory, a model or a document.
    pub fn of(path: PathBuf) -> PendingOpen {
        if path.join("memory.json").is_file() {
            return PendingOpen::Memory(path);
        }
        let ending = path.extension();
        if ending.is_some_and(|e| e.eq_ignore_ascii_case("gguf")) {
            PendingOpen::Model(path.display().to_string())
        } else {
            PendingOpen::Document(path)
        }
    }
}
