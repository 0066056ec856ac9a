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

use crate::engine::{Fetch, JobId, LoadRequest, LoadedModel, Survey, UnfinishedInfo};
use crate::trouble::{Remedy, Trouble};
use crate::vocabulary::{Dialog, Screen, Selection, fresh_version};

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
    /// That model, as preferences name it.
    pub tokens_of: String,
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
    /// Weighs an answer of this turn.
    Score(usize),
    Export,
}

/// Whether the write that goes on is to stand still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pause {
    #[default]
    No,
    /// It will before its next step.
    Asked,
    Reached,
}

#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub task: Task,
    pub since: Instant,
    pub cancelling: bool,
    /// Its document was closed: what it still tells is not shown.
    pub orphaned: bool,
}

impl Job {
    pub fn new(task: Task) -> Job {
        Job {
            task,
            since: Instant::now(),
            cancelling: false,
            orphaned: false,
        }
    }
}

#[derive(Default)]
pub struct State {
    pub screen: Screen,
    pub selection: Selection,
    pub document: Option<OpenDocument>,
    /// How many documents were opened so far: what was asked for one is not done with another.
    pub opened: u64,
    /// What is read or written now, or was last.
    pub run: Run,
    /// Whether the run that was asked for last has told anything of itself yet.
    pub run_began: bool,
    /// The model of that run, as preferences name it.
    pub run_model: String,
    pub preview: Preview,
    pub model: ModelState,
    /// What the newest job that loads a model was asked for.
    pub loading: Option<LoadRequest>,
    pub survey: Option<Survey>,
    /// Sent to the engine and not ended, the first one running.
    pub jobs: BTreeMap<JobId, Job>,
    /// Where the memory of this document stands, or is to stand while it is written.
    pub memory: Option<PathBuf>,
    /// Whether it stands there.
    pub memory_written: bool,
    /// Both of these before the write that was asked for last, which may never begin.
    pub before: Option<(Option<PathBuf>, bool)>,
    pub pause: Pause,
    pub ask: AskState,
    pub troubles: Vec<Trouble>,
    /// What was done last, in a few words, and when.
    pub note: Option<(String, Instant)>,
    pub prefs: Prefs,
    pub dialog: Dialog,
    /// A text that is pasted or typed and not opened yet.
    pub draft: String,
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

    /// What is shown to go on. Cutting a text into tokens takes no time worth showing, and what is
    /// being stopped hides nothing that comes after it.
    pub fn current_job(&self) -> Option<Job> {
        let mut jobs = self.jobs.values().filter(|job| job.task != Task::Tokenize);
        let lasting = jobs.clone().find(|job| !job.cancelling);
        lasting.or_else(|| jobs.next()).copied()
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

    /// Whether a write goes on, also one of a document that was closed: it keeps what it learned
    /// before it ends.
    pub fn is_writing(&self) -> bool {
        self.jobs.values().any(|job| job.task == Task::Write)
    }

    /// The memory of this document, where one is written.
    pub fn written_memory(&self) -> Option<PathBuf> {
        self.memory.clone().filter(|_| self.memory_written)
    }

    /// Writes that were stopped, without the one that goes on.
    pub fn stopped_writes(&self) -> impl Iterator<Item = &UnfinishedInfo> {
        let running = self.memory.as_ref().filter(|_| self.is_writing());
        let found = self.survey.iter().flat_map(|survey| &survey.unfinished);
        found.filter(move |run| Some(&run.folder) != running)
    }

    /// Lets go of what was read with another model than the one in use now: no steps of this model
    /// are planned by it.
    pub fn forget_plan_of_another_model(&mut self) {
        let only_read = !self.memory_written && self.run.record.steps.is_empty();
        if only_read && !self.is_running() && self.run_model != self.prefs.model {
            self.run = Run::empty();
        }
    }

    /// What went wrong with a write that is no longer at hand cannot be gone on with.
    pub fn take_way_on_from_troubles(&mut self) {
        for trouble in &mut self.troubles {
            if trouble.remedy == Some(Remedy::GoOn) {
                trouble.remedy = None;
            }
        }
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
            && (presets::needs_utility(of_run.allocate) || !presets::needs_utility(now.allocate))
    }
}
