//! What the threads tell, taken into the state.

use std::path::PathBuf;
use std::sync::Arc;

use inscribe::write::run::Status;

use crate::action::{Screen, Selection};
use crate::app::InscribeApp;
use crate::engine::{
    Answered, End, FileReport, FileWork, JobId, OpenedMemory, Purpose, Report, UnfinishedWrite,
    Work,
};
use crate::replay::load::Source;
use crate::run::fresh_version;
use crate::state::{Job, ModelState, OpenDocument, Run, State, Task, estimate};
use crate::trouble::Remedy;

impl InscribeApp {
    pub(crate) fn take_in(&mut self, report: Report) {
        let state = &mut self.state;
        let of_a_closed_document = matches!(
            report,
            Report::Event(_)
                | Report::Reading { .. }
                | Report::Answering(_)
                | Report::Text(_)
                | Report::Answered(_)
                | Report::Scored { .. }
        ) && state.is_orphaned();
        if of_a_closed_document {
            return;
        }
        match report {
            Report::Fetch(fetch) => state.model = ModelState::Fetching(fetch),
            Report::Loading { done, total } => state.model = ModelState::Loading { done, total },
            Report::Loaded(model) => state.model = ModelState::Ready(model),
            Report::Unloaded => state.model = ModelState::None,
            Report::Tokens { sha256, bytes } => take_tokens(state, &sha256, bytes),
            Report::Event(event) => state.run.fold(*event),
            Report::Reading { done, total } => {
                state.ask.reading = (done < total).then_some((done, total));
            }
            Report::Answering(view) => {
                state.ask.reading = None;
                if let Some(turn) = state.ask.turns.last_mut() {
                    turn.streaming = Some((view, String::new()));
                }
            }
            Report::Text(piece) => {
                state.ask.reading = None;
                let turn = state.ask.turns.last_mut();
                if let Some((_, text)) = turn.and_then(|turn| turn.streaming.as_mut()) {
                    text.push_str(&piece);
                }
            }
            Report::Answered(answer) => take_answer(state, *answer),
            Report::Scored {
                turn,
                answer,
                scores,
            } => {
                if let Some(turn) = state.ask.turns.get_mut(turn) {
                    turn.scores.insert(answer, scores);
                    turn.scoring = None;
                }
            }
            Report::Ended { job, end } => self.end(job, end),
            Report::File { report, opens } => {
                state.opening -= usize::from(opens);
                self.take_file(*report);
            }
            Report::Picked { purpose, path } => self.take_path(purpose, path),
        }
    }

    fn end(&mut self, id: JobId, end: End) {
        let state = &mut self.state;
        let Some(Job { task, orphaned, .. }) = state.jobs.remove(&id) else {
            return;
        };
        if orphaned {
            self.engine.control.pause(false);
            return self.survey();
        }
        if task == Task::Load && !matches!(end, End::Done) {
            state.model = ModelState::None;
        }
        if matches!(task, Task::Ask | Task::Score) {
            state.ask.reading = None;
            if let Some(turn) = state.ask.turns.last_mut() {
                turn.ended = true;
                turn.streaming = None;
                turn.scoring = None;
            }
        }
        if matches!(task, Task::Measure | Task::Write) {
            self.keep_speeds();
            // An engine that stopped reports no pause.
            self.engine.control.pause(false);
        }
        let state = &mut self.state;
        match end {
            End::Written(folder) => {
                state.memory = Some(folder.clone());
                state.memory_written = true;
                state.note("The memory is written. Ask it something.");
                state.prefs.remember(&folder, true);
                state.ask.reset(Vec::new());
                self.survey();
            }
            End::Exported(path) => state.note(format!("Exported to {}", path.display())),
            End::Cancelled => {
                stop(state);
                match task {
                    Task::Load => state.note("Stopped. What was fetched so far is kept."),
                    Task::Write => {
                        state.note("Stopped. What was learned so far is kept.");
                        self.survey();
                    }
                    _ => {}
                }
            }
            End::Failed(mut trouble) => {
                stop(state);
                if trouble.remedy == Some(Remedy::GoOn) && task != Task::Write {
                    trouble.remedy = None;
                }
                state.trouble(trouble);
                if task == Task::Write {
                    self.survey();
                }
            }
            End::NoModel => stop(state),
            End::Done => {
                if task == Task::Measure {
                    stop(state);
                }
                if task == Task::Load {
                    self.survey();
                    self.tokenize();
                }
            }
        }
    }

    /// Has the document cut into tokens, so that they can be counted and shaded.
    pub(crate) fn tokenize(&mut self) {
        let Some(open) = &self.state.document else {
            return;
        };
        if open.tokens.is_none() && self.state.model.ready().is_some() {
            let work = Work::Tokenize(Arc::clone(&open.document));
            self.start(Task::Tokenize, work);
        }
    }

    fn keep_speeds(&mut self) {
        let Some(model) = self.state.model.ready() else {
            return;
        };
        let Some(speeds) = estimate::measured(&self.state.run.record) else {
            return;
        };
        let key = estimate::speed_key(&model.request.model, &model.device);
        let kept = self.state.prefs.speeds.entry(key).or_default();
        kept.prefill = speeds.prefill;
        for (kept, new) in [
            (&mut kept.local, speeds.local),
            (&mut kept.step, speeds.step),
        ] {
            if new > 0.0 {
                *kept = new;
            }
        }
        if speeds.peak_bytes > 0 {
            kept.peak_bytes = speeds.peak_bytes;
        }
    }

    fn take_file(&mut self, report: FileReport) {
        match report {
            FileReport::Document { document, path } => {
                if let Some(path) = &path {
                    self.state.prefs.remember(path, false);
                }
                for note in &document.notes {
                    self.state.note(note.clone());
                }
                self.set_document(document, path);
                self.state.screen = Screen::Write;
            }
            FileReport::Memory(memory) => self.take_memory(*memory),
            FileReport::Unfinished(run) => self.take_unfinished(*run),
            FileReport::Survey(survey) => self.state.survey = Some(survey),
            FileReport::Saved(path) => {
                self.state.note(format!("Saved {}", path.display()));
            }
            FileReport::MemorySaved { from, to } => {
                self.state.prefs.remember(&to, true);
                self.state.note(format!("Saved {}", to.display()));
                // Another document may have been opened meanwhile.
                if self.state.memory.as_ref() == Some(&from) {
                    self.state.memory = Some(to);
                }
            }
            FileReport::Discarded(_) => self.survey(),
            FileReport::Failed(trouble) => self.state.trouble(trouble),
        }
    }

    pub(crate) fn set_document(
        &mut self,
        document: Arc<inscribe::write::document::Document>,
        path: Option<PathBuf>,
    ) {
        self.cancel_for_another_document();
        let state = &mut self.state;
        let version = state.document.as_ref().map_or(1, |open| open.version + 1);
        state.document = Some(OpenDocument {
            document,
            path,
            tokens: None,
            version,
        });
        state.run = Run::empty();
        state.selection = Selection::default();
        state.memory = None;
        state.memory_written = false;
        state.ask.reset(Vec::new());
        self.tokenize();
    }

    /// Ends what goes on for the document that was open; a model that is being loaded serves the
    /// next one as well.
    fn cancel_for_another_document(&mut self) {
        for (&id, job) in &mut self.state.jobs {
            if job.task != Task::Load {
                job.orphaned = true;
                job.cancelling = true;
                self.engine.control.cancel(id);
            }
        }
    }

    fn take_memory(&mut self, memory: OpenedMemory) {
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
        self.choose_model_of(&memory.model_name);
    }

    fn take_unfinished(&mut self, run: UnfinishedWrite) {
        let source = self.state.prefs.sources.get(&run.folder).cloned();
        self.set_document(Arc::clone(&run.document), source);
        let state = &mut self.state;
        state.run = Run::of_events(run.events);
        state.run.record.status = Status::Paused;
        state.prefs.settings = run.settings;
        state.memory = Some(run.folder.clone());
        state.screen = Screen::Write;
        self.choose_model_of(&run.model_name);
        self.write(run.folder, true);
    }

    /// The model that a memory names, where it is one of those known here.
    fn choose_model_of(&mut self, file_name: &str) {
        use inscribe::model::hub::KNOWN;
        if let Some(known) = KNOWN.iter().find(|known| known.file == file_name) {
            self.state.prefs.model = known.name.to_owned();
        }
    }

    fn take_path(&mut self, purpose: Purpose, path: PathBuf) {
        match purpose {
            Purpose::OpenDocument => self.open_path(path),
            Purpose::OpenMemory => self.open_memory(path),
            Purpose::ModelFile => self.pick_model(path.display().to_string()),
            Purpose::WriteTo => self.write(path, false),
            Purpose::ReplayRun => self.views.replay.open(&self.ctx, Source::Path(path)),
            Purpose::CompareRun(side) => {
                self.views.compare.open(&self.ctx, side, Source::Path(path));
            }
            Purpose::SaveMemoryAs => {
                if let Some(from) = self.state.memory.clone() {
                    self.engine
                        .send_file(FileWork::SaveMemory { from, to: path });
                }
            }
            Purpose::Export(format) => self.export(format, path),
            Purpose::Figure(kind) => self.save_figure(kind, path),
            Purpose::Events { csv } => self.engine.send_file(FileWork::Events {
                events: Arc::clone(&self.state.run.events),
                csv,
                out: path,
            }),
        }
    }
}

fn take_tokens(state: &mut State, sha256: &str, bytes: Arc<Vec<std::ops::Range<usize>>>) {
    let same = |open: &&mut OpenDocument| open.document.sha256 == sha256;
    if let Some(open) = state.document.as_mut().filter(same) {
        open.tokens = Some(bytes);
        open.version += 1;
    }
}

fn take_answer(state: &mut State, answer: Answered) {
    if let Some(turn) = state.ask.turns.last_mut() {
        turn.streaming = None;
        turn.answers.push(answer);
    }
}

/// A run that ended before its end goes on no more.
fn stop(state: &mut State) {
    let record = &mut state.run.record;
    if record.status == Status::Running {
        record.status = Status::Paused;
    }
    record.progress = None;
    state.run.version = fresh_version();
}
