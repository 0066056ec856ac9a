//! Takes what the threads report into the state.

use std::path::PathBuf;
use std::sync::Arc;

use inscribe::memory::store::Discarded;
use inscribe::write::event::Event;

use crate::app::InscribeApp;
use crate::engine::{Answered, Begin, FileReport, FileWork, Report};
use crate::replay::load::Source;
use crate::state::{ModelState, Pause, Run, State, Undo};
use crate::trouble::{About, Remedy};
use crate::vocabulary::{PendingOpen, Purpose, Screen};

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
            Report::Loaded(model) => {
                state.went_well(&[About::Model]);
                state.model = ModelState::Ready(model);
            }
            Report::Unloaded => state.model = ModelState::None,
            Report::Tokens {
                sha256,
                model,
                bytes,
            } => state.take_tokens(&sha256, model, bytes),
            Report::Event(event) => take_event(state, *event),
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
            Report::Benched(benched) => state.bench.take(*benched),
            Report::Training(report) => state.train.take(*report),
            Report::Ended { job, end } => self.end(job, end),
            Report::File { report, opens } => {
                state.opening -= usize::from(opens);
                self.take_file(*report, opens);
            }
            Report::Picked {
                purpose, opened, ..
            } if purpose.is_of_the_document() && opened != state.opened => {
                state.note("Another document is open by now: nothing was saved.");
            }
            Report::Picked { purpose, path, .. } => self.take_path(purpose, path),
        }
    }

    fn take_file(&mut self, report: FileReport, opens: bool) {
        match report {
            FileReport::Document { document, path } => {
                if let Some(path) = &path {
                    self.state.prefs.remember(path, false);
                }
                for note in &document.notes {
                    self.state.note(note.clone());
                }
                self.state.went_well(&[About::Opening]);
                self.set_document(document, path);
                self.state.screen = Screen::Write;
            }
            FileReport::Memory(memory) => {
                self.state.went_well(&[About::Opening]);
                self.take_memory(*memory);
            }
            FileReport::Unfinished(run) => {
                self.state.went_well(&[About::Opening]);
                self.take_unfinished(*run);
            }
            FileReport::Survey(survey) => self.state.survey = Some(survey),
            FileReport::Saved(path) => {
                self.state.went_well(&[About::Saving]);
                self.state.note(format!("Saved {}", path.display()));
            }
            FileReport::MemorySaved { from, to } => {
                self.state.went_well(&[About::Saving]);
                self.state.prefs.remember(&to, true);
                self.state.note(format!("Saved {}", to.display()));
                // Another document may have been opened meanwhile.
                if self.state.memory.as_ref() == Some(&from) {
                    self.state.memory = Some(to);
                }
            }
            FileReport::Discarded(discarded) => self.take_discarded(discarded),
            FileReport::Restored(_) => {
                self.state.note("It is back.");
                self.survey();
            }
            FileReport::Failed(mut trouble) => {
                trouble.about = if opens { About::Opening } else { About::Saving };
                // No write has failed here.
                trouble.remedy = trouble.remedy.filter(|&remedy| remedy != Remedy::GoOn);
                self.state.trouble(trouble);
            }
        }
    }

    fn take_discarded(&mut self, discarded: Discarded) {
        let state = &mut self.state;
        let at_hand = state.memory.as_ref() == Some(&discarded.folder) && !state.memory_written;
        if at_hand && !state.is_writing() {
            state.memory = None;
            state.run = Run::empty();
        }
        state.note = None;
        state.undo = Some(Undo::of(discarded));
        self.survey();
    }

    fn take_path(&mut self, purpose: Purpose, path: PathBuf) {
        match purpose {
            Purpose::OpenDocument => self.open_path(path),
            Purpose::OpenMemory => self.open(PendingOpen::Memory(path)),
            Purpose::ModelFile => self.open(PendingOpen::Model(path.display().to_string())),
            Purpose::WriteTo => self.write(path, Begin::New),
            Purpose::TrainInto => self.state.train.form.folder = path.display().to_string(),
            Purpose::GoOnTraining => self.go_on_training(path),
            Purpose::ReplayRun => self.views.replay.open(&self.ctx, Source::Path(path)),
            Purpose::CompareRun(side) => {
                self.views.compare.open(&self.ctx, side, Source::Path(path));
            }
            Purpose::SaveMemoryAs => {
                if let Some(from) = self.state.written_memory() {
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

fn take_answer(state: &mut State, answer: Answered) {
    if let Some(turn) = state.ask.turns.last_mut() {
        turn.streaming = None;
        turn.answers.push(answer);
    }
}

fn take_event(state: &mut State, event: Event) {
    state.run_began = true;
    state.pause = match (&event, state.pause) {
        (Event::Paused, Pause::Asked) => Pause::Reached,
        (Event::Resumed { .. }, Pause::Reached) => Pause::No,
        (_, pause) => pause,
    };
    state.run.fold(event);
}
