//! Everything the window knows.

pub mod ask;
pub mod bench;
pub mod clock;
pub mod estimate;
pub mod prefs;
pub mod presets;
pub mod preview;
pub mod train;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use inscribe::memory::store::Discarded;
use inscribe::write::document::Document;
use inscribe::write::event::Event;
use inscribe::write::record::{RunRecord, Status};
use inscribe::write::settings::WriteSettings;

use crate::engine::{Fetch, JobId, LoadRequest, LoadedModel, Survey, UnfinishedInfo};
use crate::trouble::{About, Remedy, Trouble};
use crate::vocabulary::{Dialog, Lesson, Screen, Selection, fresh_version};

pub use ask::AskState;
pub use bench::BenchState;
pub use clock::Clock;
pub use estimate::Footprints;
pub use prefs::Prefs;
pub use preview::Preview;
pub use train::TrainState;

/// The events of a run so far, and a version that changes with each of them, by which views know
/// when to draw again.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub record: RunRecord,
    pub version: u64,
    /// All events except progress, for saving.
    pub events: Arc<Vec<Event>>,
    /// Bytes of the document's text that each token covers, where the run tells.
    pub tokens: Option<Arc<Vec<Range<usize>>>>,
    pub clock: Clock,
}

impl Run {
    pub fn of_events(events: Arc<Vec<Event>>) -> Run {
        let record = RunRecord::from_events(events.iter());
        Run {
            tokens: record.token_bytes().map(Arc::new),
            record,
            version: fresh_version(),
            events,
            clock: Clock::default(),
        }
    }

    /// A run without events, with a version of its own.
    pub fn empty() -> Run {
        Run {
            version: fresh_version(),
            ..Run::default()
        }
    }

    pub fn fold(&mut self, event: Event) {
        self.record.fold(&event);
        self.clock.hear(&self.record, Instant::now());
        self.version = fresh_version();
        if matches!(event, Event::SegmentStarted { .. }) {
            self.tokens = self.record.token_bytes().map(Arc::new);
        }
        if matches!(event, Event::Progress { .. }) {
            return;
        }
        let events = Arc::make_mut(&mut self.events);
        if matches!(event, Event::Started(_)) {
            events.clear();
        }
        events.push(event);
    }

    /// Whether both passes are done, so that the shares of steps are known.
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
    /// Bytes of the text that each token covers, once a model has cut it.
    pub tokens: Option<Arc<Vec<Range<usize>>>>,
    /// The model that cut the text into tokens, as preferences name it.
    pub tokens_of: String,
    /// A number that changes with the text and with its tokens.
    pub version: u64,
}

/// How far the loading of the model is.
#[derive(Clone, Debug, Default)]
pub enum ModelState {
    #[default]
    None,
    /// The file is looked for, fetched or opened.
    Fetching(Fetch),
    /// The weights are being copied to the device.
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
    /// Scoring an answer of the turn with this index.
    Score(usize),
    Export,
    /// Writing pairs into the small model.
    Bench,
    /// Training a model.
    Train,
}

/// Whether the running write is to pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pause {
    #[default]
    No,
    /// The write will pause before its next step.
    Asked,
    Reached,
}

#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub task: Task,
    pub since: Instant,
    pub cancelling: bool,
    /// Whether its document was closed, so that what it still reports is not shown.
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

/// A stopped write that was discarded, and when.
#[derive(Clone, Debug)]
pub struct Undo {
    pub discarded: Discarded,
    pub since: Instant,
}

impl Undo {
    pub fn of(discarded: Discarded) -> Undo {
        Undo {
            discarded,
            since: Instant::now(),
        }
    }
}

#[derive(Default)]
pub struct State {
    pub screen: Screen,
    pub selection: Selection,
    pub document: Option<OpenDocument>,
    /// Number of documents opened so far, so that an answer to a question about one is not applied
    /// to another.
    pub opened: u64,
    /// The run that goes on, or the last one.
    pub run: Run,
    /// Whether the run that was asked for last has reported anything yet.
    pub run_began: bool,
    /// The model of that run, as preferences name it.
    pub run_model: String,
    pub preview: Preview,
    pub model: ModelState,
    /// The request of the newest job that loads a model.
    pub loading: Option<LoadRequest>,
    pub survey: Option<Survey>,
    /// Jobs sent to the engine and not ended; the first one runs.
    pub jobs: BTreeMap<JobId, Job>,
    /// The folder of this document's memory, also while it is being written.
    pub memory: Option<PathBuf>,
    /// Whether that folder holds a finished memory.
    pub memory_written: bool,
    /// `memory` and `memory_written` before the write that was asked for last, which may never
    /// begin.
    pub before: Option<(Option<PathBuf>, bool)>,
    pub pause: Pause,
    pub ask: AskState,
    pub bench: BenchState,
    pub train: TrainState,
    /// Which part of the Learn screen is in front.
    pub lesson: Lesson,
    pub troubles: Vec<Trouble>,
    /// A message of what was done last, and when.
    pub note: Option<(String, Instant)>,
    /// What was discarded last, for as long as it is offered back.
    pub undo: Option<Undo>,
    pub prefs: Prefs,
    /// Device memory that writes take, as planned so far.
    pub footprints: Footprints,
    pub dialog: Dialog,
    /// The text of the paste dialog.
    pub draft: String,
    /// Whether a file is dragged over the window.
    pub drop_hover: bool,
    /// Number of documents and memories still to be read; the last of them stays open.
    pub opening: usize,
    /// The byte of the text to scroll to.
    pub scroll_to: Option<usize>,
    /// Whether nothing is to move by itself, such as in pictures that are compared.
    pub still: bool,
    /// Whether the window may close.
    pub may_quit: bool,
    /// Whether to close the window once the write has stopped.
    pub quit_when_stopped: bool,
}

impl State {
    /// The settings of the next run.
    pub fn settings(&self) -> &WriteSettings {
        &self.prefs.settings
    }

    pub fn is_busy_with(&self, task: Task) -> bool {
        let mut jobs = self.jobs.values();
        jobs.any(|job| job.task == task && !job.orphaned)
    }

    /// The job to show as running. Cutting a text into tokens and writing pairs take no time worth
    /// showing, and a job that is being stopped does not hide the one after it.
    pub fn current_job(&self) -> Option<Job> {
        let lasts = |job: &&Job| !matches!(job.task, Task::Tokenize | Task::Bench);
        let mut jobs = self.jobs.values().filter(lasts);
        let lasting = jobs.clone().find(|job| !job.cancelling);
        lasting.or_else(|| jobs.next()).copied()
    }

    /// Whether what the engine reports now belongs to a document that was closed. Work is done in
    /// order, so everything before the end of such a job is its own.
    pub fn is_orphaned(&self) -> bool {
        self.jobs.values().any(|job| job.orphaned)
    }

    /// Whether there is anything to show on a screen.
    pub fn can_show(&self, screen: Screen) -> bool {
        let of_the_document = matches!(screen, Screen::Write | Screen::Ask);
        !of_the_document || self.document.is_some()
    }

    /// Bytes of the text that each token of the open document covers: as the run tells, or else as
    /// the model in use has cut it.
    pub fn token_bytes(&self) -> Option<Arc<Vec<Range<usize>>>> {
        let cut = || self.document.as_ref()?.tokens.clone();
        self.run.tokens.clone().or_else(cut)
    }

    /// Whether a run goes on that belongs to the open document.
    pub fn is_running(&self) -> bool {
        self.is_busy_with(Task::Measure) || self.is_busy_with(Task::Write)
    }

    /// Whether a write goes on, also one of a document that was closed: it keeps what it learned
    /// before it ends.
    pub fn is_writing(&self) -> bool {
        self.jobs.values().any(|job| job.task == Task::Write)
    }

    /// The folder of this document's memory, where it is finished.
    pub fn written_memory(&self) -> Option<PathBuf> {
        self.memory.clone().filter(|_| self.memory_written)
    }

    /// The stopped writes that were found, without the one that goes on.
    pub fn stopped_writes(&self) -> impl Iterator<Item = &UnfinishedInfo> {
        let running = self.memory.as_ref().filter(|_| self.is_writing());
        let found = self.survey.iter().flat_map(|survey| &survey.unfinished);
        found.filter(move |run| Some(&run.folder) != running)
    }

    /// Drops a reading by another model than the one in use now, so that no steps are planned by
    /// it.
    pub fn forget_plan_of_another_model(&mut self) {
        let only_read = !self.memory_written && self.run.record.steps.is_empty();
        if only_read && !self.is_running() && self.run_model != self.prefs.model {
            self.run = Run::empty();
        }
    }

    /// Takes the offer to go on from the messages about a write that is no longer open.
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

    /// Takes away the messages about what has gone well now.
    pub fn went_well(&mut self, about: &[About]) {
        self.troubles
            .retain(|trouble| !about.contains(&trouble.about));
    }

    /// Adds a message unless it is already shown.
    pub fn trouble(&mut self, trouble: Trouble) {
        if !self.troubles.contains(&trouble) {
            self.troubles.push(trouble);
        }
    }

    /// Whether steps were taken and the run came to no end.
    pub fn is_stopped(&self) -> bool {
        !self.run.record.steps.is_empty() && !self.run.is_done() && !self.is_running()
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
            && (of_run.allocate.needs_utility() || !now.allocate.needs_utility())
    }
}
