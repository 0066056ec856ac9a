//! Writing a document into a memory.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Error, Inscriber, Remembered};
use crate::memory::store::{DocumentInfo, MemoryWriter, NewRun, Resumed};
use crate::memory::{Content, MemoryError};
use crate::write::document::Document;
use crate::write::error::WriteError;
use crate::write::event::{Done, Event, PhaseSeconds};
use crate::write::learner::Segment;
use crate::write::persist;
use crate::write::record::RunRecord;
use crate::write::settings::WriteSettings;
use crate::write::writer::{self, Job, Keeper, ReadBefore, Resume, RunState, Tokens};

/// Watches a run, and may pause it.
pub trait Watcher {
    /// Something happened. An error ends the run.
    fn event(&mut self, event: &Event) -> Result<(), WriteError>;

    /// Called once, when all checks have passed and the run begins.
    fn begins(&mut self) -> Result<(), WriteError> {
        Ok(())
    }

    /// Receives again what happened before the run was stopped, as it goes on.
    fn earlier(&mut self, event: &Event) -> Result<(), WriteError> {
        self.event(event)
    }

    /// Whether to wait before the next step.
    fn paused(&self) -> bool {
        false
    }
}

/// A closure as a watcher.
struct Told<F>(F);

impl<F: FnMut(&Event)> Watcher for Told<F> {
    fn event(&mut self, event: &Event) -> Result<(), WriteError> {
        (self.0)(event);
        Ok(())
    }
}

/// What to do if the folder holds something already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    New,
    Replace,
    Resume { finish: bool },
}

/// A run about to begin.
pub struct Writing<'a> {
    inscriber: &'a Inscriber,
    document: &'a Document,
    settings: WriteSettings,
    tokens: Option<&'a Tokens>,
    folder: Option<PathBuf>,
    start: Start,
    known: Option<&'a mut ReadBefore>,
}

/// A run that came to its end.
pub struct Outcome {
    /// The memory, ready for questions.
    pub memory: Remembered,
    /// Steps and times of the run, including those before a stop; `None` if the run had ended
    /// before.
    pub done: Option<Done>,
    /// Why the document's keys and values are not kept beside the memory, where they should have been.
    pub left_out: Option<String>,
}

impl<'a> Writing<'a> {
    pub(super) fn new(
        inscriber: &'a Inscriber,
        document: &'a Document,
        settings: WriteSettings,
    ) -> Writing<'a> {
        Writing {
            inscriber,
            document,
            settings,
            tokens: None,
            folder: None,
            start: Start::New,
            known: None,
        }
    }

    /// Keeps the memory in this folder. Without a folder, the memory is lost with the last clone of
    /// the value that the run returns.
    pub fn keep_at(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Replaces what the folder holds already: a memory, or an unfinished run.
    pub fn replace(mut self) -> Self {
        self.start = Start::Replace;
        self
    }

    /// Goes on with a run of the same document and settings that was stopped.
    pub fn resume(mut self) -> Self {
        self.start = Start::Resume { finish: false };
        self
    }

    /// Takes no more steps of a run that was stopped, and makes a memory of what it learned.
    pub fn finish(mut self) -> Self {
        self.start = Start::Resume { finish: true };
        self
    }

    /// Uses these tokens of the document, so that it is not cut into tokens again.
    pub fn tokens(mut self, tokens: &'a Tokens) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Reads the document only where it is not yet known, and remembers what was read.
    pub fn knowing(mut self, known: &'a mut ReadBefore) -> Self {
        self.known = Some(known);
        self
    }

    /// Writes, and calls `on_event` with each event.
    pub fn run(self, on_event: impl FnMut(&Event)) -> Result<Remembered, Error> {
        let outcome = self.watched(&mut Told(on_event))?;
        Ok(outcome.memory)
    }

    /// As [`Writing::run`], with all that a [`Watcher`] may do.
    pub fn watched(self, watcher: &mut dyn Watcher) -> Result<Outcome, Error> {
        let tokens = self.cut()?;
        let passing = match &self.folder {
            Some(_) => None,
            None => Some(temporary_folder()?),
        };
        let folder = match (&self.folder, &passing) {
            (Some(folder), _) => folder.clone(),
            (None, Some(passing)) => passing.path().join("memory"),
            (None, None) => return Err(WriteError::NothingToLearn.into()),
        };
        let (store, resume) = match self.open(&folder, &tokens)? {
            Begun::Finished => {
                let memory = Remembered::open(self.inscriber, &folder)?;
                return Ok(Outcome {
                    memory,
                    done: None,
                    left_out: None,
                });
            }
            Begun::At(store, resume) => (*store, resume),
        };
        let mut store = store;
        if let Some(path) = self.inscriber.own_path() {
            store.note_model_path(&path);
        }
        watcher.begins()?;
        if resume.is_some() {
            for event in store.events::<Event>()? {
                watcher.earlier(&event)?;
            }
        }
        let (inscriber, cancel) = (self.inscriber, &self.inscriber.cancel);
        let job = inscriber.job(self.document, &tokens, &self.settings);
        let mut keeper = FolderKeeper { store, watcher };
        let done = match (resume, self.known) {
            (None, Some(known)) => writer::write_again(&job, &mut keeper, cancel, known),
            (resume, _) => writer::write(&job, &mut keeper, cancel, resume),
        };
        let (mut done, store) = (done?, keeper.store);
        let told = RunRecord::from_events(&store.events::<Event>()?).seconds();
        done.seconds = PhaseSeconds {
            save: done.seconds.save,
            ..told
        };
        let left_out = store.left_out().map(ToString::to_string);
        store.finish()?;
        Ok(Outcome {
            memory: Remembered::of_run(inscriber, &folder, passing)?,
            done: Some(done),
            left_out,
        })
    }

    /// Writes with the caller's own keeper; nothing else keeps anything on disk.
    pub fn kept_by(self, keeper: &mut dyn Keeper) -> Result<Done, Error> {
        let tokens = self.cut()?;
        let job = self.inscriber.job(self.document, &tokens, &self.settings);
        let done = match self.known {
            Some(known) => writer::write_again(&job, keeper, &self.inscriber.cancel, known),
            None => writer::write(&job, keeper, &self.inscriber.cancel, None),
        };
        Ok(done?)
    }

    /// Reads, weighs the chunks and shares out the steps, and takes none of them.
    pub fn measure(self, on_event: impl FnMut(&Event)) -> Result<(), Error> {
        let tokens = self.cut()?;
        let job = self.inscriber.job(self.document, &tokens, &self.settings);
        let mut keeper = Unkept(Told(on_event));
        match self.known {
            Some(known) => writer::plan_again(&job, &mut keeper, &self.inscriber.cancel, known)?,
            None => writer::plan(&job, &mut keeper, &self.inscriber.cancel)?,
        }
        Ok(())
    }

    fn cut(&self) -> Result<Cow<'a, Tokens>, Error> {
        match self.tokens {
            Some(tokens) => Ok(Cow::Borrowed(tokens)),
            None => Ok(Cow::Owned(
                self.inscriber.tokens(self.document, &mut |_| {})?,
            )),
        }
    }

    /// The folder's run, begun or gone on with.
    fn open(&self, folder: &Path, tokens: &Tokens) -> Result<Begun, Error> {
        let document = self.document;
        let model = self.inscriber.stored_model();
        let info = DocumentInfo {
            pages: document.pages.as_ref().map(ToString::to_string),
            ..DocumentInfo::new(&document.name, &document.text, tokens.ids.len())
        };
        let plan = NewRun {
            model: &model,
            config: self.inscriber.loaded.config(),
            document: &info,
            text: &document.text,
            tokens: &tokens.ids,
            settings: &self.settings,
        };
        let finish = match self.start {
            Start::New => return Ok(Begun::at(MemoryWriter::create(folder, &plan)?)),
            Start::Replace => return Ok(Begun::at(MemoryWriter::replace(folder, &plan)?)),
            Start::Resume { finish } => finish,
        };
        match MemoryWriter::resume(folder, &plan)? {
            Resumed::Finished(_) => Ok(Begun::Finished),
            Resumed::GoesOn(_, stored) if finish && stored.as_ref().is_none_or(|s| s.step == 0) => {
                Err(WriteError::NothingLearned(folder.to_owned()).into())
            }
            Resumed::GoesOn(store, None) => Ok(Begun::at(*store)),
            Resumed::GoesOn(store, Some(stored)) => {
                let going_on = persist::going_on(&store, stored)?;
                let resume = Resume { finish, ..going_on };
                Ok(Begun::At(store, Some(resume)))
            }
        }
    }
}

enum Begun {
    At(Box<MemoryWriter>, Option<Resume>),
    Finished,
}

impl Begun {
    fn at(store: MemoryWriter) -> Begun {
        Begun::At(Box::new(store), None)
    }
}

impl Inscriber {
    /// Cuts a document into tokens; `progress` is called with the bytes done.
    pub fn tokens(
        &self,
        document: &Document,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Tokens, Error> {
        let model = &self.loaded.model;
        Ok(Tokens::of(model, &document.text, &self.cancel, progress)?)
    }

    /// The run as the layer below takes it.
    pub fn job<'a>(
        &'a self,
        document: &'a Document,
        tokens: &'a Tokens,
        settings: &'a WriteSettings,
    ) -> Job<'a> {
        Job {
            loaded: &self.loaded,
            fingerprint: &self.fingerprint,
            document,
            tokens,
            settings,
        }
    }
}

fn temporary_folder() -> Result<TempDir, Error> {
    let made = tempfile::Builder::new().prefix("inscribe-").tempdir();
    made.map_err(|e| MemoryError::io(&std::env::temp_dir(), "written", e).into())
}

/// Keeps a run in a folder while it is watched.
struct FolderKeeper<'w> {
    store: MemoryWriter,
    watcher: &'w mut dyn Watcher,
}

impl Keeper for FolderKeeper<'_> {
    fn event(&mut self, event: &Event) -> Result<(), WriteError> {
        self.watcher.event(event)?;
        persist::keep_event(&mut self.store, event)
    }

    fn checkpoint(&mut self, checkpoint: &RunState) -> Result<(), WriteError> {
        persist::keep_checkpoint(&mut self.store, checkpoint)
    }

    fn memory(&mut self, segment: &Segment, memory: &[Content]) -> Result<(), WriteError> {
        persist::keep_memory(&mut self.store, segment, memory)
    }

    fn paused(&self) -> bool {
        self.watcher.paused()
    }
}

/// A run that is watched and kept nowhere.
struct Unkept<W>(W);

impl<W: Watcher> Keeper for Unkept<W> {
    fn event(&mut self, event: &Event) -> Result<(), WriteError> {
        self.0.event(event)
    }

    fn memory(&mut self, _: &Segment, _: &[Content]) -> Result<(), WriteError> {
        Ok(())
    }
}
