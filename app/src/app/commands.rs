//! What widgets asked for, carried out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use eframe::egui;
use inscribe::write::figure::{FigureKind, Theme};
use inscribe::write::reader::View;
use inscribe::write::record::Status;

use crate::action::Action;
use crate::app::InscribeApp;
use crate::dialogs;
use crate::engine::{
    AskRequest, Begin, ExportRequest, FileWork, JobId, ScoreRequest, Work, WriteRequest,
};
use crate::state::ask::{Turn, VIEWS};
use crate::state::presets::Preset;
use crate::state::{Job, Pause, Task};
use crate::trouble::Remedy;
use crate::vocabulary::{Dialog, ExportFormat, Purpose, Screen, fresh_version};

impl InscribeApp {
    pub(crate) fn carry_out(&mut self, action: Action, ctx: &egui::Context) {
        match action {
            Action::Show(screen) => {
                if screen == Screen::Ask {
                    // What it said to do is being done, and it would cover the field.
                    self.state.note = None;
                    self.state.ask.wants_focus = true;
                }
                self.state.screen = screen;
            }
            Action::Pick(purpose) => self.pick(purpose),
            Action::Open(pending) => self.open(pending),
            Action::StopAndOpen(pending) => self.stop_and_open(pending),
            Action::Settings(settings) => {
                self.state.prefs.preset = Preset::of(&settings);
                self.state.prefs.settings = *settings;
            }
            Action::Controls(open) => self.state.prefs.controls_open = open,
            Action::Theme(theme) => {
                self.state.prefs.theme = theme;
                self.apply_look(ctx);
            }
            Action::Zoom(zoom) => {
                self.state.prefs.zoom = zoom.clamp(0.5, 3.0);
                self.apply_look(ctx);
            }
            Action::PickDevice(choice) => {
                self.state.prefs.device = device_text(&choice);
                self.state.dialog = Dialog::None;
                self.let_go_of_another_model();
            }
            Action::Load => {
                self.load();
                self.tokenize();
            }
            Action::Measure => self.measure(),
            Action::Write(folder) => {
                let folder = folder.unwrap_or_else(|| self.new_folder());
                self.write(folder, Begin::New);
            }
            Action::Pause => self.pause(Pause::Asked),
            Action::Resume => self.pause(Pause::No),
            Action::Cancel => self.cancel(|_| true),
            Action::Discard(folder) => self.engine.send_file(FileWork::Discard(folder)),
            Action::Restore => {
                if let Some(undo) = self.state.undo.take() {
                    self.engine.send_file(FileWork::Restore(undo.discarded));
                }
            }
            Action::Ask(question) => self.ask(question),
            Action::Score { turn, answer } => self.score(turn, answer),
            Action::Bench => self.bench(),
            Action::TryOnBench(folder) => self.try_on_bench(folder),
            Action::Train => self.train(),
            Action::GoOnTraining(folder) => self.go_on_training(folder),
            Action::PauseTraining(pause) => self.state.train.set_pause(pause),
            Action::StopTraining => self.cancel(|job| job.task == Task::Train),
            Action::ForgetRecent(path) => self.state.prefs.forget(&path),
            Action::Remedy(remedy) => self.remedy(remedy),
            Action::Dismiss(index) => {
                if index < self.state.troubles.len() {
                    self.state.troubles.remove(index);
                }
            }
            Action::DismissAll => self.state.troubles.clear(),
            Action::Dialog(dialog) => self.state.dialog = dialog,
            Action::StopAndQuit => {
                self.state.dialog = Dialog::None;
                self.state.quit_when_stopped = true;
                self.cancel(|_| true);
            }
            Action::ScrollTo(byte) => self.state.scroll_to = Some(byte),
        }
    }

    /// Queues work for the engine.
    pub(crate) fn start(&mut self, task: Task, work: Work) -> JobId {
        let id = self.engine.send(work);
        self.state.jobs.insert(id, Job::new(task));
        id
    }

    pub(crate) fn cancel(&mut self, which: impl Fn(&Job) -> bool) {
        for (&id, job) in self.state.jobs.iter_mut().filter(|(_, job)| which(job)) {
            job.cancelling = true;
            self.engine.control.cancel(id);
        }
    }

    /// Pauses the write that goes on or comes next, or lets it go on.
    pub(crate) fn pause(&mut self, pause: Pause) {
        self.state.pause = pause;
        self.engine.control.pause(pause != Pause::No);
    }

    fn pick(&mut self, purpose: Purpose) {
        let document = self.state.document.as_ref();
        let document = document.map_or("document", |open| open.document.name.as_str());
        let name = dialogs::suggested_name(purpose, document);
        let question = dialogs::Question {
            purpose,
            name,
            opened: self.state.opened,
        };
        let picker = self.options.picker.as_ref();
        dialogs::pick(question, picker, &self.engine.outbox());
    }

    /// The request for a run, where one may begin; its model is then being loaded.
    fn begin_run(&mut self, folder: PathBuf, begin: Begin) -> Option<WriteRequest> {
        let state = &mut self.state;
        let document = Arc::clone(&state.document.as_ref()?.document);
        if state.is_running() {
            return None;
        }
        if state.opening > 0 {
            state.note("Another document is being opened first.");
            return None;
        }
        state.run_began = false;
        state.run_model = state.prefs.model.clone();
        let settings = state.settings().clone();
        self.load();
        self.tokenize();
        Some(WriteRequest {
            document,
            settings,
            folder,
            begin,
        })
    }

    fn measure(&mut self) {
        if let Some(request) = self.begin_run(PathBuf::new(), Begin::New) {
            self.start(Task::Measure, Work::Measure(request));
        }
    }

    pub(crate) fn write(&mut self, folder: PathBuf, begin: Begin) {
        let Some(request) = self.begin_run(folder.clone(), begin) else {
            return;
        };
        let state = &mut self.state;
        let source = state.document.as_ref().and_then(|open| open.path.clone());
        if let Some(source) = source {
            state.prefs.sources.insert(folder.clone(), source);
        }
        state.before = Some((state.memory.replace(folder), state.memory_written));
        state.memory_written = false;
        if begin != Begin::New {
            // It is not paused any more, whatever it says until it is heard of again.
            state.run.record.status = Status::Running;
            state.run.record.progress = None;
            state.run.version = fresh_version();
        }
        self.start(Task::Write, Work::Write(request));
    }

    /// A folder of the document's name that is not taken.
    fn new_folder(&self) -> PathBuf {
        let open = self.state.document.as_ref();
        let name = open.map_or("document", |open| open.document.name.as_str());
        let stem = Path::new(name).file_stem().unwrap_or_default();
        let mut stem: String = stem
            .to_string_lossy()
            .chars()
            .map(|c| {
                if c.is_alphanumeric() || "-_ .".contains(c) {
                    c
                } else {
                    '-'
                }
            })
            .take(60)
            .collect();
        if stem.trim().is_empty() {
            "document".clone_into(&mut stem);
        }
        let parent = self.memories();
        // What a run left that never reached a checkpoint is cleared away by the next.
        let taken = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let writing = path.with_file_name(format!("{name}.writing"));
            path.exists() || writing.join("checkpoint.bin").exists()
        };
        let first = parent.join(format!("{stem}.memory"));
        if !taken(&first) {
            return first;
        }
        let numbered = (2..10_000).map(|n| parent.join(format!("{stem} {n}.memory")));
        let mut free = numbered.filter(|path| !taken(path));
        free.next().unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            parent.join(format!("{stem} {}.memory", now.map_or(0, |d| d.as_secs())))
        })
    }

    fn ask(&mut self, question: String) {
        let question = question.trim().to_owned();
        let memory = self.state.written_memory();
        let Some(memory) = memory.filter(|_| !question.is_empty()) else {
            return;
        };
        if self.state.is_busy_with(Task::Ask) {
            return;
        }
        let views = if self.state.ask.side_by_side {
            VIEWS.to_vec()
        } else {
            vec![View::Memory]
        };
        self.load();
        self.state.ask.turns.push(Turn {
            question: question.clone(),
            views: views.clone(),
            ..Turn::default()
        });
        self.state.ask.question.clear();
        let request = AskRequest {
            memory,
            question,
            views,
            max_tokens: self.state.prefs.max_tokens,
            temperature: 0.0,
            seed: 0,
        };
        self.start(Task::Ask, Work::Ask(request));
    }

    fn score(&mut self, turn: usize, answer: usize) {
        let Some(memory) = self.state.written_memory() else {
            return;
        };
        let max_tokens = self.state.prefs.max_tokens;
        let Some(of) = self.state.ask.turns.get_mut(turn) else {
            return;
        };
        let Some(given) = of.answers.get(answer) else {
            return;
        };
        if of.scores.contains_key(&answer) || of.scoring.is_some() {
            return;
        }
        of.scoring = Some(answer);
        let request = ScoreRequest {
            memory,
            question: of.question.clone(),
            ids: given.ids.clone(),
            segment: given.segment,
            max_tokens,
            turn,
            answer,
        };
        self.load();
        self.start(Task::Score(turn), Work::Score(request));
    }

    pub(crate) fn export(&mut self, format: ExportFormat, out: PathBuf) {
        let Some(memory) = self.state.written_memory() else {
            return;
        };
        self.load();
        let segments = self.state.run.record.segments.len().max(1);
        for segment in 0..segments {
            let request = ExportRequest {
                memory: memory.clone(),
                format,
                out: part_path(&out, segment, segments),
                segment,
            };
            self.start(Task::Export, Work::Export(request));
        }
    }

    pub(crate) fn save_figure(&mut self, kind: FigureKind, out: PathBuf) {
        let theme = match self.state.prefs.theme {
            crate::state::prefs::ThemeChoice::Dark => Theme::Dark,
            _ => Theme::Light,
        };
        self.engine.send_file(FileWork::Figure {
            run: Box::new(self.state.run.record.clone()),
            kind,
            theme,
            out,
        });
    }

    fn remedy(&mut self, remedy: Remedy) {
        match remedy {
            Remedy::UseProcessor => {
                self.state.prefs.device = "cpu".to_owned();
                self.let_go_of_another_model();
                self.load();
            }
            Remedy::ChooseModel => self.state.dialog = Dialog::Model,
            Remedy::FetchAgain => self.load(),
            Remedy::GoOn => {
                if let Some(folder) = self.state.memory.clone()
                    && !self.state.memory_written
                {
                    self.write(folder, Begin::GoOn);
                }
            }
            Remedy::OpenAnother => self.pick(Purpose::OpenDocument),
            Remedy::Settings => {
                self.state.screen = Screen::Write;
                self.state.prefs.controls_open = true;
            }
        }
    }
}

/// A file of its own for each part of a document that was written in several.
fn part_path(out: &Path, segment: usize, segments: usize) -> PathBuf {
    if segments == 1 {
        return out.to_owned();
    }
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    let name = match out.extension() {
        Some(ending) => format!("{stem}-{}.{}", segment + 1, ending.to_string_lossy()),
        None => format!("{stem}-{}", segment + 1),
    };
    out.with_file_name(name)
}

fn device_text(choice: &inscribe::engine::select::DeviceChoice) -> String {
    use inscribe::engine::select::DeviceChoice;
    match choice {
        DeviceChoice::Auto => "auto".to_owned(),
        DeviceChoice::Cpu => "cpu".to_owned(),
        DeviceChoice::Gpu => "gpu".to_owned(),
        DeviceChoice::Index(index) => index.to_string(),
        DeviceChoice::Named(name) => name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_exported_beside_each_other() {
        let name = |out: &str, at, of| part_path(Path::new(out), at, of).display().to_string();
        assert_eq!(name("a/notes.gguf", 0, 1), "a/notes.gguf");
        assert_eq!(name("a/notes.gguf", 1, 3), "a/notes-2.gguf");
        assert_eq!(name("a/notes-peft", 2, 3), "a/notes-peft-3");
    }

    #[test]
    fn every_device_is_found_again() {
        use inscribe::engine::select::DeviceChoice;
        let named = DeviceChoice::Named("llvmpipe".to_owned());
        for choice in [
            DeviceChoice::Auto,
            DeviceChoice::Cpu,
            DeviceChoice::Index(2),
            named,
        ] {
            assert_eq!(device_text(&choice).parse(), Ok(choice));
        }
    }
}
