//! `inscribe write`: a document into a memory.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use inscribe::memory::store::{DocumentInfo, MemoryWriter, Plan, Resumed, StoredModel};
use inscribe::memory::{Content, fingerprint};
use inscribe::write::document::Document;
use inscribe::write::error::WriteError;
use inscribe::write::event::{Done, Event};
use inscribe::write::keep;
use inscribe::write::learn::Segment;
use inscribe::write::settings::WriteSettings;
use inscribe::write::writer::{Checkpoint, Job, Keeper, Tokens, write};

use super::Context;
use super::live::Live;
use super::out::outln;
use super::setup::{self, Loaded};
use super::writing::WritingArgs;

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
/// chunks, and takes them. Ctrl-C stops it with everything so far kept; the same call with
/// --resume goes on, also after a crash, and ends in the same memory.
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
    /// Replace a memory that stands there already
    #[arg(long, conflicts_with = "resume")]
    replace: bool,
    /// Keep the run's events in this file, too: one JSON object a line
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
    let tokens = Tokens::of(&loaded.model, &document.text)?;
    let info = DocumentInfo::new(&document.name, &document.text, tokens.ids.len());
    let plan = Plan {
        model: &model,
        config: &loaded.model.config,
        document: &info,
        text: &document.text,
        tokens: &tokens.ids,
        settings,
    };
    let mut resume = None;
    let store = if args.resume {
        match MemoryWriter::resume(&args.out, &plan)? {
            Resumed::Finished(_) => {
                outln!("{}: the memory is finished", args.out.display());
                return Ok(None);
            }
            Resumed::GoesOn(store, None) => *store,
            Resumed::GoesOn(store, Some(stored)) => {
                resume = Some(keep::going_on(&store, stored)?);
                *store
            }
        }
    } else {
        MemoryWriter::create(&args.out, &plan)?
    };
    let mut keeper = FileKeeper::new(args, app, store)?;
    if resume.is_some() {
        keeper.show_again()?;
    }
    let job = Job {
        model: &loaded.model,
        transformer: &loaded.transformer,
        device: &loaded.device,
        fingerprint: &print,
        document,
        settings,
    };
    match write(&job, &mut keeper, &app.cancel, resume) {
        Ok(done) => {
            let FileKeeper { store, live, .. } = keeper;
            drop(live);
            store.finish()?;
            Ok(Some(done))
        }
        Err(error) => {
            drop(keeper);
            if matches!(error, WriteError::Cancelled { step } if step > 0) {
                app.note("the same call with --resume goes on from there");
            }
            Err(error.into())
        }
    }
}

/// Keeps a run on disk and shows it.
struct FileKeeper {
    store: MemoryWriter,
    live: Live,
    events: Option<(PathBuf, BufWriter<File>)>,
}

impl FileKeeper {
    fn new(args: &Args, app: &Context, store: MemoryWriter) -> Result<FileKeeper> {
        let events = match &args.events {
            Some(path) => {
                let file = File::options()
                    .create(true)
                    .append(args.resume)
                    .truncate(!args.resume)
                    .write(true)
                    .open(path)
                    .with_context(|| format!("{}: cannot be written", path.display()))?;
                Some((path.clone(), BufWriter::new(file)))
            }
            None => None,
        };
        Ok(FileKeeper {
            store,
            live: Live::new(app),
            events,
        })
    }

    /// Shows what happened before a run was stopped.
    fn show_again(&mut self) -> Result<()> {
        let events: Vec<Event> = self.store.events()?;
        events.iter().for_each(|event| self.live.event(event));
        Ok(())
    }
}

impl Keeper for FileKeeper {
    fn event(&mut self, event: &Event) -> Result<(), WriteError> {
        self.live.event(event);
        if matches!(event, Event::Progress { .. }) {
            return Ok(());
        }
        if let Some((path, file)) = &mut self.events {
            let line = serde_json::to_string(event).map_err(|e| WriteError::Keep(Box::new(e)))?;
            let written = writeln!(file, "{line}").and_then(|()| file.flush());
            written.map_err(|e| WriteError::Keep(format!("{}: {e}", path.display()).into()))?;
        }
        keep::keep_event(&mut self.store, event)
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
        "{}: written in {} steps and {:.1} s (read {:.1}, utility {:.1}, steps {:.1}, measured \
         {:.1}), at most {} MiB",
        args.out.display(),
        done.steps,
        seconds.total(),
        seconds.prefill,
        seconds.local,
        seconds.steps,
        seconds.evaluate,
        done.peak_bytes >> 20
    );
    outln!(
        "ask it:   inscribe ask --memory {} \"...\"",
        shown(&args.out)
    );
    outln!(
        "see it:   inscribe report {} -o report.html",
        shown(&args.out)
    );
}

fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains(' ') {
        format!("\"{text}\"")
    } else {
        text
    }
}
