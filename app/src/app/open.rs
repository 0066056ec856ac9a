//! What takes the place of the open document: documents, memories and stopped writes. Where a run
//! goes on, the person is asked first.

use std::path::PathBuf;
use std::sync::Arc;

use inscribe::write::document::Document;
use inscribe::write::record::Status;
use inscribe::write::settings::WriteSettings;

use crate::app::InscribeApp;
use crate::engine::{Begin, FileWork, OpenedMemory, UnfinishedWrite};
use crate::state::{Job, OpenDocument, Pause, Run, Task};
use crate::vocabulary::{Dialog, PendingOpen, Screen, Selection};

/// The document that comes with the program.
pub const SAMPLE: &[u8] = include_bytes!("../../../assets/sample.md");
const SAMPLE_NAME: &str = "sample.md";

impl InscribeApp {
    pub(crate) fn open_path(&mut self, path: PathBuf) {
        self.open(PendingOpen::of(path));
    }

    /// Opens something, and asks first where a run goes on.
    pub(crate) fn open(&mut self, pending: PendingOpen) {
        if self.state.is_running() {
            self.state.dialog = Dialog::Replace(pending)
        } else {
            self.open_now(pending)
        }
    }

    pub(crate) fn stop_and_open(&mut self, pending: PendingOpen) {
        self.cancel(|job| matches!(job.task, Task::Measure | Task::Write));
        self.open_now(pending);
    }

    fn open_now(&mut self, pending: PendingOpen) {
        self.state.dialog = Dialog::None;
        match pending {
            PendingOpen::Document(path) => self.read(FileWork::ReadDocument(path)),
            PendingOpen::Bytes { name, bytes } => {
                self.state.draft.clear();
                self.read(FileWork::DocumentOf { name, bytes });
            }
            PendingOpen::Sample => {
                let (name, bytes) = (SAMPLE_NAME.to_owned(), SAMPLE.to_vec());
                self.read(FileWork::DocumentOf { name, bytes });
            }
            PendingOpen::Memory(folder) => self.read(FileWork::OpenMemory(folder)),
            PendingOpen::Unfinished(folder) => self.read_unfinished(folder, false),
            PendingOpen::AsItIs(folder) => self.read_unfinished(folder, true),
            PendingOpen::Model(model) => self.pick_model(model),
        }
    }

    fn read_unfinished(&mut self, folder: PathBuf, finish: bool) {
        let source = self.state.prefs.sources.get(&folder).cloned();
        self.read(FileWork::OpenUnfinished {
            folder,
            source,
            finish,
        });
    }

    fn read(&mut self, work: FileWork) {
        self.state.opening += 1;
        self.engine.send_file(work);
    }

    pub(crate) fn set_document(&mut self, document: Arc<Document>, path: Option<PathBuf>) {
        self.cancel_for_another_document();
        self.pause(Pause::No);
        let state = &mut self.state;
        let version = state.document.as_ref().map_or(1, |open| open.version + 1);
        state.document = Some(OpenDocument {
            document,
            path,
            tokens: None,
            tokens_of: String::new(),
            version,
        });
        state.opened += 1;
        state.run = Run::empty();
        state.selection = Selection::default();
        state.memory = None;
        state.memory_written = false;
        state.before = None;
        state.ask.reset(Vec::new());
        state.take_way_on_from_troubles();
        self.tokenize();
    }

    /// Ends what goes on for the document that was open; a model that is being loaded serves the
    /// next one as well, and what is exported is wanted still.
    fn cancel_for_another_document(&mut self) {
        let is_its_own = |job: &Job| {
            !matches!(
                job.task,
                Task::Load | Task::Export | Task::Bench | Task::Train
            )
        };
        self.cancel(is_its_own);
        for job in self.state.jobs.values_mut().filter(|job| is_its_own(job)) {
            job.orphaned = true;
        }
    }

    pub(crate) fn take_memory(&mut self, memory: OpenedMemory) {
        self.choose_model_of(&memory.model_name);
        let source = self.state.prefs.sources.get(&memory.folder).cloned();
        self.set_document(memory.document, source);
        let state = &mut self.state;
        state.run = Run::of_events(memory.events);
        state.prefs.settings = memory.settings;
        state.prefs.remember(&memory.folder, true);
        state.memory = Some(memory.folder);
        state.memory_written = true;
        state.ask.reset(memory.history);
        state.screen = Screen::Write;
    }

    pub(crate) fn take_unfinished(&mut self, run: UnfinishedWrite) {
        let mut settings = run.settings;
        if self.state.memory.as_ref() == Some(&run.folder) {
            take_changes(&mut settings, self.state.settings());
        }
        self.choose_model_of(&run.model_name);
        let source = self.state.prefs.sources.get(&run.folder).cloned();
        self.set_document(run.document, source);
        let state = &mut self.state;
        state.run = Run::of_events(run.events);
        state.run.record.status = Status::Paused;
        state.prefs.settings = settings;
        state.memory = Some(run.folder.clone());
        state.screen = Screen::Write;
        let begin = if run.finish {
            Begin::Finish
        } else {
            Begin::GoOn
        };
        self.write(run.folder, begin);
    }
}

/// What may be set otherwise where a stopped run goes on, such as a learning rate that ran away: as
/// it is set in the window since then.
fn take_changes(of_run: &mut WriteSettings, now: &WriteSettings) {
    if of_run.method == now.method {
        of_run.lr = now.lr;
        of_run.clip = now.clip;
        of_run.weight_decay = now.weight_decay;
    }
}
