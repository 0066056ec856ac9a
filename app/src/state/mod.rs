//! Everything the window knows.

pub mod ask;
pub mod estimate;
pub mod prefs;
pub mod presets;
pub mod preview;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use inscribe::write::document::Document;
use inscribe::write::event::Event;
use inscribe::write::run::{RunRecord, Status};
use inscribe::write::settings::WriteSettings;

use crate::action::{Screen, Selection};
use crate::engine::{Fetch, JobId, LoadedModel, Survey};
use crate::run::fresh_version;
use crate::trouble::Trouble;

pub use ask::AskState;
pub use prefs::Prefs;
pub use preview::Preview;

/// A run's events so far, with a version that changes with each of them: views keep what they
/// worked out for as long as it stays the same.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub record: RunRecord,
    pub version: u64,
    /// All of them but for progress, to save.
    pub events: Arc<Vec<Event>>,
}

impl Run {
    pub fn of_events(events: Arc<Vec<Event>>) -> Run {
        Run {
            record: RunRecord::from_events(events.iter()),
            version: fresh_version(),
            events,
        }
    }

    /// Nothing yet, and different from everything before.
    pub fn empty() -> Run {
        Run {
            version: fresh_version(),
            ..Run::default()
        }
    }

    pub fn fold(&mut self, event: Event) {
        self.record.fold(&event);
        self.version = fresh_version();
        if matches!(event, Event::Progress { .. }) {
            return;
        }
        let events = Arc::make_mut(&mut self.events);
        if matches!(event, Event::Started(_)) {
            events.clear();
        }
        events.push(event);
    }

    /// Whether both passes are through, so that the shares of steps are known.
    pub fn is_measured(&self) -> bool {
        let mut segments = self.record.segments.iter().peekable();
        segments.peek().is_some()
            && segments
                .all(|s| !s.chunks.is_empty() && s.chunks.iter().all(|c| c.utility.is_some()))
    }

    pub fn is_done(&self) -> bool {
        self.record.status == Status::Done
    }
}

/// The document in the window.
#[derive(Clone, Debug)]
pub struct OpenDocument {
    pub document: Arc<Document>,
    pub path: Option<PathBuf>,
    /// Bytes of its text of each token, once a model has cut it.
    pub tokens: Option<Arc<Vec<Range<usize>>>>,
    /// Changes whenever text or tokens do.
    pub version: u64,
}

/// How far the model is.
#[derive(Clone, Debug, Default)]
pub enum ModelState {
    #[default]
    None,
    /// It is looked for, fetched or opened.
    Fetching(Fetch),
    /// Its weights go to the device.
    Loading {
        done: u64,
        total: u64,
    },
    Ready(Box<LoadedModel>),
}

impl ModelState {
    pub fn ready(&self) -> Option<&LoadedModel> {
        match self {
            ModelState::Ready(model) => Some(model),
            _ => None,
        }
    }
}

/// What the engine works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Load,
    Tokenize,
    Measure,
    Write,
    Ask,
    Score,
    Export,
}

#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub task: Task,
    pub since: Instant,
    pub cancelling: bool,
    /// Its document was closed: what it still tells is not shown.
    pub orphaned: bool,
}

/// What stands over everything else.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Dialog {
    #[default]
    None,
    Model,
    Device,
    /// A write goes on while the window is to be closed.
    Quit,
    Paste(String),
    /// A document is opened while one is written.
    Replace(PendingOpen),
}

/// What is opened once the person agrees.
#[derive(Clone, Debug, PartialEq)]
pub enum PendingOpen {
    Path(PathBuf),
    Bytes { name: String, bytes: Vec<u8> },
    Sample,
}

#[derive(Default)]
pub struct State {
    pub screen: Screen,
    pub selection: Selection,
    pub document: Option<OpenDocument>,
    /// What is read or written now, or was last.
    pub run: Run,
    pub preview: Preview,
    pub model: ModelState,
    pub survey: Option<Survey>,
    /// Sent to the engine and not ended, the first one running.
    pub jobs: BTreeMap<JobId, Job>,
    /// Where the memory of this document stands, or is to stand while it is written.
    pub memory: Option<PathBuf>,
    /// Whether it stands there.
    pub memory_written: bool,
    pub ask: AskState,
    pub troubles: Vec<Trouble>,
    /// What was done last, in a few words, and when.
    pub note: Option<(String, Instant)>,
    pub prefs: Prefs,
    pub dialog: Dialog,
    /// A file hovers over the window.
    pub drop_hover: bool,
    /// How many documents and memories are still to be read; the last becomes the one at hand.
    pub opening: usize,
    /// Where to scroll the text: a byte of it.
    pub scroll_to: Option<usize>,
    /// The window may close.
    pub may_quit: bool,
    /// Close once the write has stopped.
    pub quit_when_stopped: bool,
}

impl State {
    /// Settings of the next run.
    pub fn settings(&self) -> &WriteSettings {
        &self.prefs.settings
    }

    pub fn is_busy_with(&self, task: Task) -> bool {
        let mut jobs = self.jobs.values();
        jobs.any(|job| job.task == task && !job.orphaned)
    }

    pub fn current_job(&self) -> Option<(JobId, Job)> {
        self.jobs.iter().next().map(|(&id, &job)| (id, job))
    }

    /// Whether what the engine tells now belongs to a document that was closed. Work is done in
    /// order, so everything before such a job's end is its own.
    pub fn is_orphaned(&self) -> bool {
        self.jobs.values().any(|job| job.orphaned)
    }

    /// Whether a run goes on whose end the person waits for.
    pub fn is_running(&self) -> bool {
        self.is_busy_with(Task::Measure) || self.is_busy_with(Task::Write)
    }

    pub fn note(&mut self, text: impl Into<String>) {
        self.note = Some((text.into(), Instant::now()));
    }

    /// Adds a message, once.
    pub fn trouble(&mut self, trouble: Trouble) {
        if !self.troubles.contains(&trouble) {
            self.troubles.push(trouble);
        }
    }

    /// Whether the measured chunks are those that the settings would cut and measure.
    pub fn measured_as_set(&self) -> bool {
        let Some(of_run) = &self.run.record.settings else {
            return false;
        };
        let now = self.settings();
        self.run.is_measured()
            && of_run.chunk == now.chunk
            && of_run.chunking == now.chunking
            && of_run.window == now.window
            && of_run.utility_sample == now.utility_sample
            && (presets::needs_utility(of_run.allocate) || !presets::needs_utility(now.allocate))
    }
}
