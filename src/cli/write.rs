//! `inscribe write`: a document into a memory.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use inscribe::inscriber::{Outcome, Watcher};
use inscribe::memory::leads_nowhere;
use inscribe::memory::store::Unfinished;
use inscribe::words;
use inscribe::write::error::WriteError;
use inscribe::write::event::{Done, Event};
use inscribe::write::forecast::Extent;
use inscribe::write::record::RunRecord;
use inscribe::write::setting::Setting;
use inscribe::write::settings::KeepRows;
use inscribe::{Document, Error, Remembered, WriteSettings};

use super::Context;
use super::errors;
use super::keys::Keys;
use super::live::Live;
use super::numbers;
use super::out::outln;
use super::setup::{self, Loaded, ModelArg};
use super::shell::{model_option, shown};
use super::suggest::{Larger, Written};
use super::write_args::{Idle, KeepName, WritingArgs};

mod dry_run;
mod outlook;

pub use dry_run::extent;
pub use outlook::Outlook;

const EXAMPLES: &str = "\
Examples:
  inscribe write assets/sample.md --dry-run                     how long, how much memory
  inscribe write assets/sample.md --out sample.memory
  inscribe write assets/sample.md --out parts.memory --budget 64 --chunking structure
  inscribe write assets/sample.md --out parts.memory --budget 64 --chunking structure --resume
  inscribe write assets/sample.md --out alone.memory --method lora    reads without the document
  inscribe ask --memory sample.memory \"What is the name of the house's boat?\"";

/// Write a document into a memory that `inscribe ask` answers from
///
/// Measures where the document needs context from far away, gives the gradient steps to those
/// chunks, and takes them. On a terminal, p or the space bar pauses it. Ctrl-C stops it with
/// everything so far kept; the same call with --resume goes on, also after a crash, and ends in the
/// same memory.
///
/// A document longer than the model's context is written in parts, each with a memory of its own.
/// All parts are read before the first step, and their chunks share the budget together: a part
/// whose chunks gain nothing gets no step. Keys and values of the parts are kept up to 2 GiB, or
/// half of the free memory; a part that is not among them is read again before its steps.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Args {
    /// A .txt, .md, .html, .pdf, .docx or .epub file; - reads standard input
    document: PathBuf,
    /// The folder the memory is to stand at
    #[arg(long, short, value_name = "DIR", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Write nothing: say how many tokens, parts and chunks it would be, and how much memory and time
    #[arg(long, conflicts_with_all = ["resume", "replace", "events"])]
    dry_run: bool,
    /// With --dry-run: print one JSON object
    #[arg(long, requires = "dry_run")]
    json: bool,
    #[command(flatten)]
    model: ModelArg,
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
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = numbers::whole::<usize>)]
    checkpoint: usize,
    /// How a gdwm memory keeps its document's keys and values, which spares the reading before the
    /// first question [default: auto, values in 8 bits and keys in 16 where they take at most
    /// 1 GiB]
    #[arg(long, value_enum, value_name = "HOW")]
    keep_rows: Option<KeepName>,
    #[command(flatten)]
    writing: WritingArgs,
}

impl Args {
    /// Where the memory is to stand; a dry run needs no place.
    fn out(&self) -> &Path {
        self.out.as_deref().unwrap_or(Path::new("memory"))
    }
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    // Refused before a model is loaded.
    args.writing.settings()?;
    if args.out().join("memory.json").exists() && !args.replace && !args.resume && !args.dry_run {
        bail!(
            "{}: a memory stands there already; choose another --out, or --replace it",
            args.out().display()
        );
    }
    let document = setup::read_document(&args.document, &args.writing.read_options(), app)?;
    let larger = Larger::look(&args.model.name, app);
    let loaded = setup::load(&args.model.name, app)?;
    let settings = WriteSettings {
        evaluate: !args.no_evaluation,
        checkpoint: args.checkpoint,
        keep_rows: args.keep_rows.map_or(KeepRows::Auto, Into::into),
        ..args.writing.settings_on(&loaded.model)?
    };
    args.writing.tell_idle(&settings, Idle::Steps, app);
    if args.dry_run {
        let tokens = setup::tokens(&loaded, &document, app)?;
        let job = loaded.inscriber.job(&document, &tokens, &settings);
        let speeds = dry_run::run(&job, &loaded, args.json, app)?;
        let written = Written {
            tokens: tokens.ids.len(),
            settings,
            speeds,
        };
        larger.tell(&loaded, Some(written), app);
        return Ok(());
    }
    let ended = write_memory(args, app, &loaded, &document, &settings)?;
    if let Some(ended) = ended {
        report(args, &ended.done, &ended.memory, &settings, app);
        larger.tell(&loaded, Written::of(&ended.record), app);
    }
    Ok(())
}

/// A write that came to its end.
struct Ended {
    done: Done,
    memory: Remembered,
    record: RunRecord,
}

/// Writes, or says that there is nothing left to write.
fn write_memory(
    args: &Args,
    app: &Context,
    loaded: &Loaded,
    document: &Document,
    settings: &WriteSettings,
) -> Result<Option<Ended>> {
    let tokens = setup::tokens(loaded, document, app)?;
    let events = args.events.as_deref();
    let events = events.map(|path| open_events(path, args)).transpose()?;
    let writing = loaded.inscriber.write(document, settings.clone());
    let writing = writing.keep_at(args.out()).tokens(&tokens);
    let writing = match (args.resume, args.finish, args.replace) {
        (true, true, _) => writing.finish(),
        (true, false, _) => writing.resume(),
        (false, _, true) => writing.replace(),
        (false, _, false) => writing,
    };
    let (extent, _) = extent(loaded, &tokens, settings)?;
    let mut shown = Shown::new(app, settings, extent, events, args.resume);
    let outcome = writing.watched(&mut shown);
    // The terminal is as it was before anything else is said.
    let record = shown.end();
    match outcome {
        Ok(Outcome { done: None, .. }) => {
            if app.global.quiet {
                outln!("{}", args.out().display());
            } else {
                outln!("{}: the memory is finished", args.out().display());
            }
            Ok(None)
        }
        Ok(Outcome {
            done,
            memory,
            left_out,
        }) => {
            if let Some(why) = left_out {
                app.note(&format!(
                    "note: the document's keys and values are not kept: {why}"
                ));
            }
            Ok(done.map(|done| Ended {
                done,
                memory,
                record,
            }))
        }
        Err(Error::Write(WriteError::NothingLearned(folder))) => bail!(
            "{}: nothing was learned yet; leave --finish out to go on",
            folder.display()
        ),
        Err(error) => {
            let goes_on = match error {
                // It says itself how to go on.
                Error::Write(WriteError::NotANumber { .. }) => false,
                _ => has_checkpoint(args.out()),
            };
            let error = anyhow::Error::from(error);
            Err(if goes_on {
                error.context(errors::GoesOn)
            } else {
                error
            })
        }
    }
}

/// The size of the document's keys and values, which is most of a memory's, or why they are not
/// kept.
fn say_what_is_kept(memory: &Remembered, settings: &WriteSettings) {
    if !settings.method.uses(Setting::KeepRows) {
        return;
    }
    match memory.memory().derived_bytes() {
        0 => outln!(
            "kept:     nothing but the fast weights: the document is read again before the first \
             question (--keep-rows q8 or f16 spares that)"
        ),
        bytes => outln!(
            "kept:     the document's keys and values too, {}, so that the first question need not \
             wait (--keep-rows no leaves them out)",
            words::bytes(bytes)
        ),
    }
}

/// Shows a run, and keeps its events in a file of their own where one was asked for.
struct Shown {
    /// Declared before the view, so that the terminal's settings are restored when the view ends.
    keys: Option<Keys>,
    live: Live,
    outlook: Outlook,
    events: Option<EventsFile>,
    resumed: bool,
}

/// A file of the user's in which events are kept too.
struct EventsFile {
    path: PathBuf,
    file: File,
    /// Whether the file was empty.
    is_new: bool,
}

impl EventsFile {
    fn unwritable(&self, error: &std::io::Error) -> WriteError {
        WriteError::Keep(format!("{}: cannot be written: {error}", self.path.display()).into())
    }
}

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
    let mut file = match file {
        Ok(file) => file,
        Err(error) => match leads_nowhere(path) {
            Some(why) => bail!("{shown}: {why}"),
            None => return Err(error).with_context(|| format!("{shown}: cannot be written")),
        },
    };
    // What a power cut left of a line must not become a part of the next one. A pipe has no end.
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(-1)).is_ok() && file.read_exact(&mut last).is_ok() && last != *b"\n"
    {
        let ended = file.write_all(b"\n");
        ended.with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    let is_new = file
        .metadata()
        .is_ok_and(|there| there.is_file() && there.len() == 0);
    Ok(EventsFile {
        path: path.to_owned(),
        file,
        is_new,
    })
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

impl Shown {
    fn new(
        app: &Context,
        settings: &WriteSettings,
        extent: Extent,
        events: Option<EventsFile>,
        resumed: bool,
    ) -> Shown {
        let mut live = Live::new(app);
        Shown {
            keys: live.watch_keys(),
            outlook: Outlook::new(settings.clone(), extent, live.is_lines()),
            live,
            events,
            resumed,
        }
    }

    /// Ends the view, and gives the run that it showed.
    fn end(self) -> RunRecord {
        self.outlook.record()
    }

    /// Adds an event to the user's own file, where there is one.
    fn write_event(&mut self, event: &Event) -> Result<(), WriteError> {
        let Some(events) = &mut self.events else {
            return Ok(());
        };
        let line = serde_json::to_string(event).map_err(|e| WriteError::Keep(Box::new(e)))?;
        // One write, so that a line is there whole or not at all.
        let written = events.file.write_all((line + "\n").as_bytes());
        written.map_err(|e| events.unwritable(&e))
    }
}

impl Watcher for Shown {
    fn event(&mut self, event: &Event) -> Result<(), WriteError> {
        self.live.event(event);
        for told in self.outlook.event(event, Instant::now()) {
            self.live.note(&told);
        }
        if let Some(seconds) = self.outlook.expected() {
            self.live.expect(seconds);
        }
        if matches!(event, Event::Progress { .. }) {
            return Ok(());
        }
        self.write_event(event)
    }

    /// Only now the events file is emptied: what is refused before leaves it as it was.
    fn begins(&mut self) -> Result<(), WriteError> {
        match &self.events {
            Some(events) if !self.resumed => {
                events.file.set_len(0).map_err(|e| events.unwritable(&e))
            }
            _ => Ok(()),
        }
    }

    /// Shows what happened before a run was stopped, and puts it into an events file that is new.
    fn earlier(&mut self, event: &Event) -> Result<(), WriteError> {
        self.live.event(event);
        // What it says was said before.
        let _ = self.outlook.event(event, Instant::now());
        if self.events.as_ref().is_some_and(|events| events.is_new) {
            self.write_event(event)?;
        }
        Ok(())
    }

    fn paused(&self) -> bool {
        self.keys
            .as_ref()
            .is_some_and(|keys| keys.pause().is_paused())
    }
}

fn report(args: &Args, done: &Done, memory: &Remembered, settings: &WriteSettings, app: &Context) {
    if app.global.quiet {
        outln!("{}", args.out().display());
        return;
    }
    let seconds = &done.seconds;
    outln!(
        "{}: written in {} and {:.1} s (read {:.1}, utility {:.1}, steps {:.1}, measured \
         {:.1}, saved {:.1}), at most {} with the weights",
        args.out().display(),
        words::counted(done.steps, "step"),
        seconds.total(),
        seconds.prefill,
        seconds.local,
        seconds.steps,
        seconds.evaluate,
        seconds.save,
        words::bytes(done.peak_bytes)
    );
    say_what_is_kept(memory, settings);
    outln!(
        "ask it:   inscribe ask --memory {}{} \"...\"",
        shown(args.out()),
        ask_model(args, memory)
    );
    let page = args.out().with_extension("html");
    let page = Path::new(page.file_name().unwrap_or_default());
    outln!(
        "see it:   inscribe report {} -o {}",
        shown(args.out()),
        shown(page)
    );
}

/// The option that names the model to `ask`, which needs it where nothing else tells.
fn ask_model(args: &Args, memory: &Remembered) -> String {
    match memory.memory().file.model_path {
        Some(_) => String::new(),
        None => model_option(&args.model.name),
    }
}
