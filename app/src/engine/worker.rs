//! The engine's thread: one piece of work after another, on one model.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;

use inscribe::Remembered;
use inscribe::model::hub::Setup;
use inscribe::write::writer::ReadBefore;

use super::control::{Control, JobId};
use super::load::{Loaded, load};
use super::message::{Command, End, LoadRequest, Report, Work, WriteRequest};
use super::{Outbox, ask, bench, train, write};
use crate::trouble::{Failure, Trouble};

pub fn run(inbox: &Receiver<Command>, out: &Outbox, control: &Control, hub: &Setup) {
    let mut desk = None;
    let mut own = None;
    while let Ok(Command { job, work }) = inbox.recv() {
        control.begin(job);
        let done = match work {
            Work::Bench(request) => {
                let done = guarded(|| bench::write(&mut own, &request, out, control));
                if done.as_ref().is_err_and(|failure| !failure.is_cancelled()) {
                    own = None;
                }
                // The model for documents has no part in it, whatever went wrong.
                end(out, job, done);
                continue;
            }
            Work::Train(request) => {
                let done = guarded(|| train::train(&request, out, control));
                end(out, job, done);
                continue;
            }
            Work::Load(request) => {
                // Before the next one is opened: two may not fit.
                let_go(&mut desk, out);
                guarded(|| take(&mut desk, &request, out, control, hub))
            }
            Work::Unload => {
                let_go(&mut desk, out);
                Ok(End::Done)
            }
            work => match &mut desk {
                // Also where it was cancelled with the load: that says what there is to say.
                None => Ok(End::NoModel),
                Some(_) if control.token().is_cancelled() => Err(Failure::Cancelled),
                Some(desk) => guarded(|| one(work, desk, out, control)),
            },
        };
        if done.as_ref().is_err_and(Failure::needs_a_new_device) {
            // Before the end is reported: whoever receives it may ask for the next thing at once.
            let_go(&mut desk, out);
        }
        end(out, job, done);
    }
}

/// A model, and what stays between pieces of work on it.
struct Desk {
    loaded: Loaded,
    /// What was read of the document with this hash.
    known: Option<(String, ReadBefore)>,
    memory: Option<Remembered>,
}

fn let_go(desk: &mut Option<Desk>, out: &Outbox) {
    if desk.take().is_some() {
        out.tell(Report::Unloaded);
    }
}

fn take(
    desk: &mut Option<Desk>,
    request: &LoadRequest,
    out: &Outbox,
    control: &Control,
    hub: &Setup,
) -> Result<End, Failure> {
    let loaded = load(request, hub, out, control)?;
    out.tell(Report::Loaded(Box::new(loaded.info.clone())));
    *desk = Some(Desk {
        loaded,
        known: None,
        memory: None,
    });
    Ok(End::Done)
}

fn one(work: Work, desk: &mut Desk, out: &Outbox, control: &Control) -> Result<End, Failure> {
    let loaded = &desk.loaded;
    match work {
        Work::Load(_) | Work::Unload | Work::Bench(_) | Work::Train(_) => Ok(End::Done),
        Work::Tokenize(document) => {
            let tokens = loaded.inscriber.tokens(&document, &mut |_| {})?;
            out.tell(Report::Tokens {
                sha256: document.sha256.clone(),
                model: loaded.info.request.model.clone(),
                bytes: std::sync::Arc::new(tokens.bytes),
            });
            Ok(End::Done)
        }
        Work::Measure(request) => {
            desk.memory = None;
            let known = known_of(&mut desk.known, &request);
            write::measure(&request, loaded, known, out)
        }
        Work::Write(request) => {
            desk.memory = None;
            let known = known_of(&mut desk.known, &request);
            write::write(&request, loaded, known, out, control)
        }
        Work::Ask(request) => {
            // A reader has keys and values of its own: two copies would not fit everywhere.
            desk.known = None;
            let memory = ask::opened(&mut desk.memory, &request.memory, loaded)?;
            ask::ask(&memory, &request, loaded, out)
        }
        Work::Score(request) => {
            let memory = ask::opened(&mut desk.memory, &request.memory, loaded)?;
            ask::score(&memory, &request, out)
        }
        Work::Export(request) => write::export(&request, loaded),
    }
}

/// What is known of this document; what was known of another is let go.
fn known_of<'k>(
    known: &'k mut Option<(String, ReadBefore)>,
    request: &WriteRequest,
) -> &'k mut ReadBefore {
    let of = request.document.sha256.clone();
    if known.as_ref().is_none_or(|(last, _)| *last != of) {
        *known = None;
    }
    &mut known.get_or_insert_with(|| (of, ReadBefore::default())).1
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
