//! The engine's thread: one piece of work after another, on one model.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;

use inscribe::model::hub::Setup;
use inscribe::write::writer::Known;

use super::control::{Control, JobId};
use super::load::{Loaded, load};
use super::message::{Command, End, Report, Work, WriteRequest};
use super::{Outbox, ask, write};
use crate::trouble::{Failure, Trouble};

/// What the thread does when it lets go of a model.
enum Leave {
    /// The window is gone.
    End,
    /// Another model is asked for.
    Next(Box<Command>),
    /// The model is let go of at the end of this job, or its device is of no more use.
    Lost(JobId, Result<End, Failure>),
}

pub fn run(inbox: &Receiver<Command>, out: &Outbox, control: &Control, hub: &Setup) {
    let mut next = None;
    loop {
        let Some(command) = next.take().or_else(|| inbox.recv().ok()) else {
            return;
        };
        let job = command.job;
        control.begin(job);
        let Work::Load(request) = command.work else {
            out.tell(Report::Ended {
                job,
                end: End::NoModel,
            });
            continue;
        };
        let loaded = guarded(|| load(&request, hub, out, control));
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(failure) => {
                end(out, job, Err(failure));
                continue;
            }
        };
        out.tell(Report::Loaded(Box::new(loaded.info.clone())));
        end(out, job, Ok(End::Done));
        let leave = serve(&loaded, inbox, out, control);
        drop(loaded);
        out.tell(Report::Unloaded);
        match leave {
            Leave::End => return,
            Leave::Next(command) => next = Some(*command),
            // After the model: who hears of the end may ask for the next thing at once.
            Leave::Lost(job, done) => end(out, job, done),
        }
    }
}

/// What stays between pieces of work on one model.
struct Desk<'m> {
    /// What was read of the document with this hash (and chunks, where only some of it was).
    known: Option<(String, Known)>,
    asker: Option<ask::Opened<'m>>,
}

fn serve(loaded: &Loaded, inbox: &Receiver<Command>, out: &Outbox, control: &Control) -> Leave {
    let mut desk = Desk {
        known: None,
        asker: None,
    };
    while let Ok(command) = inbox.recv() {
        let Command { job, work } = command;
        if matches!(work, Work::Load(_)) {
            return Leave::Next(Box::new(Command { job, work }));
        }
        control.begin(job);
        if control.token().is_cancelled() {
            end(out, job, Err(Failure::Cancelled));
            continue;
        }
        let unload = matches!(work, Work::Unload);
        let done = guarded(|| one(work, loaded, &mut desk, out, control));
        let lost = done.as_ref().is_err_and(Failure::needs_a_new_device);
        if lost || unload {
            return Leave::Lost(job, done);
        }
        end(out, job, done);
    }
    Leave::End
}

fn one<'m>(
    work: Work,
    loaded: &'m Loaded,
    desk: &mut Desk<'m>,
    out: &Outbox,
    control: &'m Control,
) -> Result<End, Failure> {
    match work {
        Work::Load(_) | Work::Unload => Ok(End::Done),
        Work::Tokenize(document) => {
            let tokens = write::tokens_of(&document, loaded, control)?;
            out.tell(Report::Tokens {
                sha256: document.sha256.clone(),
                model: loaded.info.request.model.clone(),
                bytes: std::sync::Arc::new(tokens.bytes),
            });
            Ok(End::Done)
        }
        Work::Measure(request) => {
            desk.asker = None;
            let known = known_of(&mut desk.known, &request);
            write::measure(&request, loaded, known, out, control)
        }
        Work::Write(request) => {
            desk.asker = None;
            let known = known_of(&mut desk.known, &request);
            write::write(&request, loaded, known, out, control)
        }
        Work::Ask(request) => {
            // A reader has keys and values of its own: two copies would not fit everywhere.
            desk.known = None;
            let (memory, most) = (&request.memory, request.max_tokens);
            let asker = ask::opened(&mut desk.asker, memory, most, loaded, control)?;
            ask::ask(asker, &request, loaded, out)
        }
        Work::Score(request) => {
            let (memory, most) = (&request.memory, request.max_tokens);
            let asker = ask::opened(&mut desk.asker, memory, most, loaded, control)?;
            ask::score(asker, &request, out)
        }
        Work::Export(request) => write::export(&request, loaded),
    }
}

/// What is known of this document; what was known of another is let go.
fn known_of<'k>(known: &'k mut Option<(String, Known)>, request: &WriteRequest) -> &'k mut Known {
    let of = request.document.sha256.clone();
    if known.as_ref().is_none_or(|(last, _)| *last != of) {
        *known = None;
    }
    &mut known.get_or_insert_with(|| (of, Known::default())).1
}

/// A panic of a driver or of the program ends its piece of work, never the thread.
fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            Err(Failure::Broken(text.unwrap_or("unknown").to_owned()))
        }
    }
}

fn end(out: &Outbox, job: JobId, done: Result<End, Failure>) {
    let end = match done {
        Ok(end) => end,
        Err(failure) if failure.is_cancelled() => End::Cancelled,
        Err(failure) => End::Failed(Trouble::of(&failure)),
    };
    out.tell(Report::Ended { job, end });
}
