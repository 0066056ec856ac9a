//! `inscribe utility`: where a document needs context beyond its neighbourhood.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use serde_json::json;

use inscribe::Document;
use inscribe::words;
use inscribe::write::allocate::share_out;
use inscribe::write::event::{ChunkSteps, ChunkUtility, Event};
use inscribe::write::record::RunRecord;
use inscribe::write::settings::{Allocate, WriteSettings};
use inscribe::write::writer::Tokens;

use super::Context;
use super::chunks::{self, Steps};
use super::setup::{self, Loaded, ModelArg};
use super::terminal::Look;
use super::write_args::{Idle, WritingArgs};

const EXAMPLES: &str = "\
Examples:
  inscribe utility assets/sample.md                         a line for each chunk, with bars
  inscribe utility assets/sample.md --chunking structure    cut at headings, not every 1024 tokens
  inscribe utility assets/sample.md --format jsonl --tokens   both surprisals of every token";

/// Show how much each part of a document depends on what came long before
///
/// Reads the document twice: as a whole, and in blocks that see only the nearest tokens. A
/// chunk's utility is the mean difference of its tokens' log-probabilities, and says how many
/// gradient steps the chunk would get. Under `- | +` a bar to the right says that distant context
/// helps, one to the left that it hinders. Nothing is written.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Args {
    /// A .txt, .md, .html, .pdf, .docx or .epub file; - reads standard input
    document: PathBuf,
    #[command(flatten)]
    model: ModelArg,
    /// A table for people, or one JSON object a line
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Also print both surprisals of every token
    #[arg(long)]
    tokens: bool,
    #[command(flatten)]
    writing: WritingArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns with bars
    Table,
    /// One JSON object a line
    Jsonl,
}

/// What the two passes found, a segment each.
#[derive(Default)]
struct Found {
    record: RunRecord,
    full: Vec<Vec<Option<f32>>>,
    local: Vec<Vec<Option<f32>>>,
    chunks: Vec<Vec<ChunkUtility>>,
    steps: Vec<Vec<ChunkSteps>>,
    seconds: (f64, f64),
}

/// Collects what is found and moves the bar.
struct Measuring<'a> {
    found: Found,
    bar: indicatif::ProgressBar,
    app: &'a Context,
}

impl Measuring<'_> {
    fn event(&mut self, event: &Event) {
        self.found.record.fold(event);
        match event {
            Event::Started(started) if started.segments > 1 => self.app.note(&format!(
                "the document's {} do not fit the model's context: read in {} parts",
                words::counted(started.document.tokens, "token"),
                started.segments
            )),
            Event::Progress { phase, done, total } => {
                self.bar.set_message(setup::phase_name(*phase));
                self.bar.set_length(*total as u64);
                self.bar.set_position(*done as u64);
            }
            Event::Prefilled {
                surprisal, seconds, ..
            } => {
                self.found.full.push(surprisal.clone());
                self.found.seconds.0 += seconds;
            }
            Event::LocallyRead {
                surprisal, seconds, ..
            } => {
                self.found.local.push(surprisal.clone());
                self.found.seconds.1 += seconds;
            }
            Event::Utility { chunks, .. } => self.found.chunks.push(chunks.clone()),
            _ => {}
        }
    }
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    // Refused before a model is loaded.
    args.writing.settings()?;
    let document = setup::read_document(&args.document, &args.writing.read_options(), app)?;
    let loaded = setup::load(&args.model.name, app)?;
    let settings = args.writing.settings_on(&loaded.model)?;
    args.writing.tell_idle(&settings, Idle::NoSteps, app);
    let tokens = setup::tokens(&loaded, &document, app)?;
    let found = measure(&settings, app, &loaded, &document, &tokens)?;
    let written = match args.format {
        Format::Table => print_table(args, &found, &loaded, &tokens),
        Format::Jsonl => print_jsonl(args, &found, &loaded, &tokens),
    };
    written.or_else(setup::ignore_broken_pipe)?;
    for remark in found.record.remarks() {
        app.note(&remark);
    }
    let (full, local) = found.seconds;
    app.note(&format!(
        "read as a whole in {full:.1} s and locally in {local:.1} s; {} shared out",
        words::counted(settings.budget, "step")
    ));
    Ok(())
}

fn measure(
    settings: &WriteSettings,
    app: &Context,
    loaded: &Loaded,
    document: &Document,
    tokens: &Tokens,
) -> Result<Found> {
    // The steps are shared out as asked, and none is taken.
    let bar = app.counter("reading", 1, "tokens");
    let mut collector = Measuring {
        found: Found::default(),
        bar,
        app,
    };
    // Utility is measured whatever the steps are shared out by.
    let measuring = WriteSettings {
        allocate: Allocate::Utility,
        ..settings.clone()
    };
    let writing = loaded.inscriber.write(document, measuring).tokens(tokens);
    writing.measure(|event| collector.event(event))?;
    collector.bar.finish_and_clear();
    let mut found = collector.found;
    let chunks: Vec<&[ChunkUtility]> = found.chunks.iter().map(Vec::as_slice).collect();
    found.steps = share_out(settings, &chunks)?;
    for (segment, steps) in found.steps.iter().enumerate() {
        found.record.fold(&Event::Allocated {
            segment,
            steps: steps.clone(),
        });
    }
    found.record.settings = Some(settings.clone());
    Ok(found)
}

fn print_table(args: &Args, found: &Found, loaded: &Loaded, tokens: &Tokens) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in chunks::table(&found.record, Steps::Planned).lines(&Look::of_stdout()) {
        writeln!(out, "{}", line.trim_end())?;
    }
    if args.tokens {
        writeln!(
            out,
            "\n{:>7} {:>9} {:>9} {:>9}  token",
            "pos", "full", "local", "change"
        )?;
        for_each_token(found, loaded, tokens, |pos, text, full, local| {
            let number = |v: Option<f32>| v.map_or("-".to_owned(), |v| format!("{v:.4}"));
            let change = full.zip(local).map(|(full, local)| local - full);
            let (full, local, change) = (number(full), number(local), number(change));
            writeln!(out, "{pos:>7} {full:>9} {local:>9} {change:>9}  {text:?}")
        })?;
    }
    out.flush()
}

fn print_jsonl(args: &Args, found: &Found, loaded: &Loaded, tokens: &Tokens) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let segments = found.chunks.iter().zip(&found.steps).enumerate();
    for (segment, (chunks, steps)) in segments {
        for (i, (chunk, steps)) in chunks.iter().zip(steps).enumerate() {
            let line = json!({
                "segment": segment,
                "chunk": i,
                "tokens": [chunk.tokens.start, chunk.tokens.end],
                "text": [chunk.text.start, chunk.text.end],
                "title": chunk.title,
                "utility": chunk.utility,
                "signed": chunk.signed,
                "surprisal": chunk.surprisal,
                "coverage_steps": steps.coverage,
                "utility_steps": steps.utility,
            });
            writeln!(out, "{line}")?;
        }
    }
    if args.tokens {
        for_each_token(found, loaded, tokens, |pos, text, full, local| {
            let line = json!({"pos": pos, "text": text, "full": full, "local": local});
            writeln!(out, "{line}")
        })?;
    }
    out.flush()
}

/// Calls `print` with every token's place, text and surprisals.
fn for_each_token(
    found: &Found,
    loaded: &Loaded,
    tokens: &Tokens,
    mut print: impl FnMut(usize, &str, Option<f32>, Option<f32>) -> io::Result<()>,
) -> io::Result<()> {
    let full = found.full.iter().flatten();
    let local = found.local.iter().flatten().copied().map(Some);
    let local = local.chain(std::iter::repeat(None));
    for (pos, ((&id, &full), local)) in tokens.ids.iter().zip(full).zip(local).enumerate() {
        let bytes = loaded.model.tokenizer.token_bytes(id);
        print(pos, &String::from_utf8_lossy(&bytes), full, local.flatten())?;
    }
    Ok(())
}
