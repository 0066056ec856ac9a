//! What the end of a job changes.

use std::path::Path;

use inscribe::words;
use inscribe::write::event::Event;
use inscribe::write::record::Status;

use crate::app::InscribeApp;
use crate::engine::{End, JobId};
use crate::state::{Job, ModelState, Pause, State, Task, estimate};
use crate::trouble::{About, Remedy, Trouble};
use crate::vocabulary::fresh_version;

impl InscribeApp {
    pub(crate) fn end(&mut self, id: JobId, end: End) {
        let Some(Job { task, orphaned, .. }) = self.state.jobs.remove(&id) else {
            return;
        };
        if task == Task::Write && matches!(end, End::Failed(_)) {
            // What was to be kept before closing may not be.
            self.state.quit_when_stopped = false;
        }
        if orphaned {
            return self.end_of_a_closed_document(task, end);
        }
        match task {
            Task::Load if !matches!(end, End::Done) => self.state.model = ModelState::None,
            Task::Ask => {
                self.state.ask.reading = None;
                if let Some(turn) = self.state.ask.turns.last_mut() {
                    turn.ended = true;
                    turn.streaming = None;
                }
            }
            Task::Score(turn) => {
                self.state.ask.reading = None;
                if let Some(turn) = self.state.ask.turns.get_mut(turn) {
                    turn.scoring = None;
                }
            }
            Task::Measure | Task::Write => self.end_of_a_run(task, &end),
            Task::Train => self.state.train.end(),
            _ => {}
        }
        match end {
            End::Written {
                folder,
                kept_bytes,
                left_out,
            } => self.written(&folder, kept_bytes, left_out),
            End::Exported(path) => {
                self.state.went_well(&[About::Saving]);
                self.state.note(format!("Exported to {}", path.display()));
            }
            End::Trained(folder) => {
                self.state.went_well(&[About::Training]);
                let folder = folder.display();
                self.state
                    .note(format!("The model is trained. It is in {folder}"));
            }
            End::Cancelled => self.cancelled(task),
            End::Failed(trouble) => self.failed(task, trouble),
            End::NoModel => stop(&mut self.state),
            End::Done => self.done(task),
        }
        if matches!(task, Task::Measure | Task::Write) {
            self.state.forget_plan_of_another_model();
        }
    }

    /// Reports only what could not be kept.
    fn end_of_a_closed_document(&mut self, task: Task, end: End) {
        if let (Task::Write, End::Failed(mut trouble)) = (task, end) {
            trouble.remedy = None;
            self.state.trouble(trouble);
        }
        self.survey();
    }

    fn end_of_a_run(&mut self, task: Task, end: &End) {
        if self.state.run_began {
            self.keep_speeds();
        }
        // An engine that stopped reports no pause.
        self.pause(Pause::No);
        let state = &mut self.state;
        let before = state.before.take().filter(|_| task == Task::Write);
        if let Some((memory, written)) = before
            && !state.run_began
            && !matches!(end, End::Written { .. })
        {
            state.memory = memory;
            state.memory_written = written;
        }
    }

    fn written(&mut self, folder: &Path, kept_bytes: u64, left_out: Option<String>) {
        let state = &mut self.state;
        state.went_well(&[About::Run]);
        state.memory = Some(folder.to_owned());
        state.memory_written = true;
        let kept = match (left_out, kept_bytes) {
            (Some(why), _) => format!(", without the document’s keys and values: {why}"),
            (None, 0) => String::new(),
            (None, bytes) => format!(
                ", with the document’s keys and values beside it ({})",
                words::bytes(bytes)
            ),
        };
        state.note(format!("The memory is written{kept}. Ask it something."));
        state.prefs.remember(folder, true);
        state.ask.reset(Vec::new());
        self.survey();
    }

    fn cancelled(&mut self, task: Task) {
        let state = &mut self.state;
        if task == Task::Bench {
            if !state.is_busy_with(Task::Bench) {
                // It was not for other pairs that it ended.
                state.bench.ask_again();
            }
            return;
        }
        if task == Task::Train {
            return state.note("Stopped. The model is kept, and its training can go on.");
        }
        stop(state);
        match task {
            // Another one may be on its way in its place.
            Task::Load if !state.is_busy_with(Task::Load) => {
                state.note("Stopped. What was fetched so far is kept.");
            }
            Task::Write => {
                let kept = |event: &Event| matches!(event, Event::Checkpointed { .. });
                state.note(if state.run_began && state.run.events.iter().any(kept) {
                    "Stopped. What was learned so far is kept."
                } else {
                    "Stopped."
                });
                self.survey();
            }
            _ => {}
        }
    }

    fn failed(&mut self, task: Task, mut trouble: Trouble) {
        let state = &mut self.state;
        if !matches!(task, Task::Bench | Task::Train) {
            stop(state);
        }
        let goes_on = task == Task::Write && state.memory.is_some() && !state.memory_written;
        if trouble.remedy == Some(Remedy::GoOn) && !goes_on {
            trouble.remedy = None;
        }
        state.trouble(trouble.about(about(task)));
        if task == Task::Write {
            self.survey();
        }
    }

    fn done(&mut self, task: Task) {
        match task {
            Task::Measure => {
                self.state.went_well(&[About::Run]);
                stop(&mut self.state);
            }
            Task::Ask | Task::Score(_) => self.state.went_well(&[About::Asking]),
            Task::Load => {
                self.survey();
                self.tokenize();
            }
            // Another model may have been chosen meanwhile.
            Task::Tokenize => self.tokenize(),
            _ => {}
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
    }
}

/// What a message about this work is about.
fn about(task: Task) -> About {
    match task {
        Task::Load => About::Model,
        Task::Measure | Task::Write => About::Run,
        Task::Ask | Task::Score(_) => About::Asking,
        Task::Export => About::Saving,
        Task::Bench => About::Other,
        Task::Train => About::Training,
        Task::Tokenize => About::Other,
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
