//! What is about to be opened, and the dialogs that the window asks its questions in.

use std::path::{Path, PathBuf};

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
    /// The folder of a stopped write, to make a memory of what it learned.
    AsItIs(PathBuf),
    /// A known name, a path or a hub id of a model.
    Model(String),
}

impl PendingOpen {
    /// What a person calls it.
    pub fn name(&self) -> String {
        let of_path = |path: &Path| {
            let name = path.file_name().unwrap_or(path.as_os_str());
            name.to_string_lossy().into_owned()
        };
        match self {
            PendingOpen::Document(path)
            | PendingOpen::Memory(path)
            | PendingOpen::Unfinished(path)
            | PendingOpen::AsItIs(path) => of_path(path),
            PendingOpen::Bytes { name, .. } => name.clone(),
            PendingOpen::Sample => "the sample".to_owned(),
            PendingOpen::Model(model) => of_path(Path::new(model)),
        }
    }

    /// What a path that was dropped or chosen is: a memory, a model or a document. File managers open
    /// files and not folders, so the file that a memory is known by stands for it.
    pub fn of(path: PathBuf) -> PendingOpen {
        const MEMORY: &str = "memory.json";
        if path.join(MEMORY).is_file() {
            return PendingOpen::Memory(path);
        }
        if path.file_name().is_some_and(|name| name == MEMORY) && path.is_file() {
            let folder = path.canonicalize().unwrap_or(path);
            return PendingOpen::Memory(folder.parent().map(PathBuf::from).unwrap_or(folder));
        }
        let ending = path.extension();
        if ending.is_some_and(|e| e.eq_ignore_ascii_case("gguf")) {
            PendingOpen::Model(path.display().to_string())
        } else {
            PendingOpen::Document(path)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_a_memory_is_known_by_stands_for_its_folder() -> std::io::Result<()> {
        let place = tempfile::tempdir()?;
        let folder = place.path().canonicalize()?.join("a.memory");
        std::fs::create_dir(&folder)?;
        let file = folder.join("memory.json");
        assert_eq!(
            PendingOpen::of(file.clone()),
            PendingOpen::Document(file.clone())
        );
        std::fs::write(&file, "{}")?;
        assert_eq!(PendingOpen::of(file), PendingOpen::Memory(folder.clone()));
        assert_eq!(PendingOpen::of(folder.clone()), PendingOpen::Memory(folder));
        Ok(())
    }
}
