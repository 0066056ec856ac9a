//! `inscribe write`: a document into a memory.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use inscribe::memory::store::{DocumentInfo, MemoryWriter, Plan, Resumed, StoredModel, Unfinished};
use inscribe::memory::{Content, fingerprint};
use inscribe::write::document::Document;
use inscribe::write::error::WriteError;
use inscribe::write::event::{Done, Event, PhaseSeconds};
use inscribe::write::figure::format;
use inscribe::write::keep;
use inscribe::write::learn::Segment;
use inscribe::write::run::RunRecord;
use inscribe::write::settings::WriteSettings;
use inscribe::write::writer::{Checkpoint, Job, Keeper, Resume, write};

use super::Context;
use super::keys::Keys;
use super::live::Live;
use super::out::outln;
use super::setup::{self, Loaded};
use super::writing::{Idle, WritingArgs};

mod outlook;

use outlook::Outlook;

const EXAMPLES: &str = "\
Examples:
  inscribe write report.pdf --out report.memory
  inscribe write notes.md --out notes.memory --budget 64 --chunking structure
  inscribe write notes.md --out notes.memory --budget 64 --chunking structure --resume
  inscribe write notes.md --out alone.memory --method lora     reads without the document
  inscribe ask --memory report.memory \"What did it cost?\"";

/// Write a document into a memory that `inscribe ask` answers from
///
/// Measures where the document needs context from far away, gives the gradient steps to those
/// chunks, and takes them. On a terminal, p or the space bar pauses it. Ctrl-C stops it with
/// everything so far kept; the same call with --resume goes on, also after a crash, and ends in the
/// same memory.
///
/// A document longer than the model's context is written in parts, each with a memory of its own.
/// All parts are read before the first step, and their chunks share the budget together: a part
/// whose chunks gain nothing gets no step. Keys and values of the parts are kept up to 2 GiB, or half
/// of the free memory; a part that is not among them is read again before its steps.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Args {
    /// A .txt, .md, .html, .pdf, .docx or .epub file; - reads standard input
    document: PathBuf,
    /// The folder the memory is to stand at
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// A model: a known name, a .gguf file, a model folder or a hub id
    #[arg(long, short, default_value = setup::DEFAULT_MODEL)]
    model: String,
    /// Go on with a run that was stopped
    #[arg(long)]
    resume: bool,
    /// With --resume: take no more steps, and make a memory of what was learned so far
    #[arg(long, requires = "resume")]
    finish: bool,
    /// Replace the memory, or the unfinished run, that is there already
    #[arg(long, conflicts_with = "resume")]
    replace: bool,
    /// Keep the run's events in this file, too: one JSON object a line, as docs/events.md tells
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Do not measure the loss of every chunk at the end
    #[arg(long)]
    no_evaluation: bool,
    /// Steps between checkpoints
    #[arg(long, value_name = "N", default_value_t = 8)]
    checkpoint: usize,
    #[command(flatten)]
    writing: WritingArgs,
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    // Refused before a model is loaded.
    args.writing.settings()?;
    if args.out.join("memory.json").exists() && !args.replace && !args.resume {
        bail!(
            "{}: a memory stands there already; choose another --out, or --replace it",
            args.out.display()
        );
    }
    let document = setup::read_document(&args.document, args.writing.encoding.as_deref(), app)?;
    let loaded = setup::load(&args.model, app)?;
    let settings = WriteSettings {
        evaluate: !args.no_evaluation,
        checkpoint: args.checkpoint,
        ..args.writing.settings_on(&loaded.model)?
    };
    args.writing.tell_idle(&settings, Idle::Steps, app);
    let done = write_memory(args, app, &loaded, &document, &settings)?;
    if let Some(done) = done {
        report(args, &done);
    }
    Ok(())
}

/// Writes, or says that there is nothing left to write.
fn write_memory(
    args: &Args,
    app: &Context,
    loaded: &Loaded,
    document: &Document,
    settings: &WriteSettings,
) -> Result<Option<Done>> {
    let print = fingerprint(&loaded.model.file)?;
    let model = StoredModel::new(&loaded.model.name, &print, &loaded.model.config);
    let tokens = setup::tokens(loaded, document, app)?;
    let info = DocumentInfo::new(&document.name, &document.text, tokens.ids.len());
    let plan = Plan {
        model: &model,
        config: &loaded.model.config,
        document: &info,
        text: &document.text,
        tokens: &tokens.ids,
        settings,
    };
    let events = args.events.as_deref();
    let events = events.map(|path| open_events(path, args)).transpose()?;
    let mut resume = None;
    let store = if args.resume {
        match MemoryWriter::resume(&args.out, &plan)? {
            Resumed::Finished(_) => {
                outln!("{}: the memory is finished", args.out.display());
                return Ok(None);
            }
            Resumed::GoesOn(_, stored)
                if args.finish && stored.as_ref().is_none_or(|s| s.step == 0) =>
            {
                bail!(
                    "{}: nothing was learned yet; leave --finish out to go on",
                    args.out.display()
                );
            }
            Resumed::GoesOn(store, None) => *store,
            Resumed::GoesOn(store, Some(stored)) => {
                let going_on = keep::going_on(&store, stored)?;
                resume = Some(Resume {
                    finish: args.finish,
                    ..going_on
                });
                *store
            }
        }
    } else if args.replace {
        MemoryWriter::replace(&args.out, &plan)?
    } else {
        MemoryWriter::create(&args.out, &plan)?
    };
    if let (Some((path, file)), false) = (&events, args.resume) {
        // Only now: what is refused before leaves it as it was.
        let emptied = file.set_len(0);
        emptied.with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    let mut keeper = FileKeeper::new(app, store, events);
    if resume.is_some() {
        keeper.tell_again()?;
    }
    let job = Job {
        model: &loaded.model,
        transformer: &loaded.transformer,
        device: &loaded.device,
        fingerprint: &print,
        document,
        tokens: &tokens,
        settings,
    };
    match write(&job, &mut keeper, &app.cancel, resume) {
        Ok(mut done) => {
            let FileKeeper {
                store, live, keys, ..
            } = keeper;
            drop((keys, live));
            // Of a run that was resumed, with what was done before.
            let told = RunRecord::from_events(&store.events::<Event>()?).seconds();
            done.seconds = PhaseSeconds {
                save: done.seconds.save,
                ..told
            };
            store.finish()?;
            Ok(Some(done))
        }
        Err(error) => {
            drop(keeper);
            let goes_on = match error {
                WriteError::Cancelled { step } => step > 0,
                // It says itself how to go on.
                WriteError::NotANumber { .. } => false,
                _ => has_checkpoint(&args.out),
            };
            if goes_on {
                app.note("the same call with --resume goes on from there");
            }
            Err(error.into())
        }
    }
}

/// Keeps a run on disk and shows it.
struct FileKeeper {
    store: MemoryWriter,
    /// Before the view, so that the terminal is as it was when the view ends.
    keys: Option<Keys>,
    live: Live,
    outlook: Outlook,
    events: Option<EventsFile>,
}

/// A file beside the memory that events are kept in, too.
type EventsFile = (PathBuf, File);

/// Opens it for adding; whether it can be written is known before anything is begun.
fn open_events(path: &Path, args: &Args) -> Result<EventsFile> {
    let shown = path.display();
    if same_file(path, &args.document) {
        bail!("{shown}: is the document itself; choose another file for --events");
    }
    if holds_something_else(path) {
        bail!("{shown}: holds something else than events; choose another file for --events");
    }
    let mut options = File::options();
    let file = options.read(true).create(true).append(true).open(path);
    let mut file = file.with_context(|| format!("{}: cannot be written", path.display()))?;
    // What a power cut left of a line must not become a part of the next one. A pipe has no end.
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(-1)).is_ok() && file.read_exact(&mut last).is_ok() && last != *b"\n"
    {
        let ended = file.write_all(b"\n");
        ended.with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    Ok((path.to_owned(), file))
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// Whether a file is there whose first line is no event.
fn holds_something_else(path: &Path) -> bool {
    let is_file = path.metadata().is_ok_and(|there| there.is_file());
    let Some(file) = is_file.then(|| File::open(path).ok()).flatten() else {
        return false;
    };
    let mut first = String::new();
    let read = BufReader::new(file.take(FIRST_LINE)).read_line(&mut first);
    match read {
        Ok(0) => false,
        Ok(_) => serde_json::from_str::<Event>(first.trim_end()).is_err(),
        Err(_) => true,
    }
}

/// More bytes than the first line of an events file has.
const FIRST_LINE: u64 = 1 << 20;

/// Whether a run that failed left something to go on from.
fn has_checkpoint(out: &Path) -> bool {
    matches!(Unfinished::open(out), Ok(Some(run)) if run.has_checkpoint())
}

impl FileKeeper {
    fn new(app: &Context, store: MemoryWriter, events: Option<EventsFile>) -> FileKeeper {
        let mut live = Live::new(app);
        FileKeeper {
            store,
            keys: live.watch_keys(),
            live,
            outlook: Outlook::default(),
            events,
        }
    }

    /// Shows what happened before a run was stopped, and puts it into an events file that is new.
    fn tell_again(&mut self) -> Result<()> {
        let events: Vec<Event> = self.store.events()?;
        let is_new = self.events.as_ref().is_some_and(|(_, file)| {
            let there = file.metadata();
            there.is_ok_and(|there| there.is_file() && there.len() == 0)
        });
        for event in &events {
            self.live.event(event);
            // What it says was said before.
            let _ = self.outlook.event(event, Instant::now());
            if is_new {
                self.write_event(event)?;
            }
        }
        Ok(())
    }

    /// Adds an event to the file beside the memory, where there is one.
    fn write_event(&mut self, event: &Event) -> Result<(), WriteError> {
        let Some((path, file)) = &mut self.events else {
            return Ok(());
        };
        let line = serde_json::to_string(event).map_err(|e| WriteError::Keep(Box::new(e)))?;
        // One write, so that a line is there whole or not at all.
        let written = file.write_all((line + "\n").as_bytes());
        written.map_err(|e| WriteError::Keep(format!("{}: {e}", path.display()).into()))
    }
}

impl Keeper for FileKeeper {
    fn event(&mut self, event: &Event) -> Result<(), WriteError> {
        self.live.event(event);
        for told in self.outlook.event(event, Instant::now()) {
            self.live.note(&told);
        }
        if matches!(event, Event::Progress { .. }) {
            return Ok(());
        }
        self.write_event(event)?;
        keep::keep_event(&mut self.store, event)
    }

    fn paused(&self) -> bool {
        self.keys
            .as_ref()
            .is_some_and(|keys| keys.pause().is_paused())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), WriteError> {
        keep::keep_checkpoint(&mut self.store, checkpoint)
    }

    fn memory(&mut self, segment: &Segment, memory: &Content) -> Result<(), WriteError> {
        keep::keep_memory(&mut self.store, segment, memory)
    }
}

fn report(args: &Args, done: &Done) {
    let seconds = &done.seconds;
    outln!(
        "{}: written in {} and {:.1} s (read {:.1}, utility {:.1}, steps {:.1}, measured \
         {:.1}, saved {:.1}), at most {} with the weights",
        args.out.display(),
        format::counted(done.steps, "step"),
        seconds.total(),
        seconds.prefill,
        seconds.local,
        seconds.steps,
        seconds.evaluate,
        seconds.save,
        format::bytes(done.peak_bytes)
    );
    outln!(
        "ask it:   inscribe ask --memory {}{} \"...\"",
        shown(&args.out),
        model_option(&args.model)
    );
    let page = args.out.with_extension("html");
    let page = Path::new(page.file_name().unwrap_or_default());
    outln!(
        "see it:   inscribe report {} -o {}",
        shown(&args.out),
        shown(page)
    );
}

/// What `ask` has to be told of a model: those that are kept here it finds by itself.
fn model_option(model: &str) -> String {
    let path = Path::new(model);
    match path.exists() {
        true => format!(" --model {}", shown(path)),
        false => String::new(),
    }
}

/// A path as a shell takes it.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let text = match text.strip_prefix('-') {
        Some(_) => format!("./{text}"),
        None => text,
    };
    let plain =
        |c: char| c.is_alphanumeric() || "/:._-+=,@%".contains(c) || cfg!(windows) && c == '\\';
    if text.chars().all(plain) {
        text
    } else if cfg!(windows) {
        format!("\"{text}\"")
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn paths_are_shown_as_a_shell_takes_them() {
        for (path, as_shown) in [
            ("notes/a.memory", "notes/a.memory"),
            ("é.memory", "é.memory"),
            ("two words", "'two words'"),
            ("a;b$HOME", "'a;b$HOME'"),
            ("it's", r"'it'\''s'"),
            ("-v", "./-v"),
            (r"a\b", r"'a\b'"),
        ] {
            assert_eq!(shown(Path::new(path)), as_shown);
        }
    }
}
