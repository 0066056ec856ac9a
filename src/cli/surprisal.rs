//! `inscribe surprisal`: how well the model predicted each token of a text.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use inscribe::engine::Profile;
use inscribe::model::session::{Score, Session};
use inscribe::words;

use super::Context;
use super::setup::{self, Loaded};

/// Print the log-probability of every token of a text
///
/// The first token has nothing before it and gets none. With --window N every token is scored
/// given only the N to 2N tokens before it: the difference to a run without is what long-range
/// context tells the model.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  inscribe surprisal --text-file report.txt
  inscribe surprisal --text-file report.txt --window 256 --format jsonl > local.jsonl
  cat notes.md | inscribe surprisal --text-file - --model qwen2.5-0.5b-instruct")]
pub struct Args {
    /// A model: a known name, a .gguf file, a model folder or a hub id
    #[arg(long, short, default_value = setup::DEFAULT_MODEL)]
    model: String,
    /// The text; - reads standard input
    #[arg(long, value_name = "FILE")]
    text_file: PathBuf,
    /// The text's encoding, such as windows-1252, where it is neither UTF-8 nor told by the file
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// Score each token given only the N to 2N tokens before it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    window: Option<u32>,
    /// Whether the text opens with the model's beginning-of-sequence token
    #[arg(long, value_enum, default_value_t = Bos::Auto)]
    bos: Bos,
    /// Read at most this many tokens of the text
    #[arg(long, value_name = "N")]
    max_tokens: Option<NonZeroUsize>,
    /// Also print the most likely token at each place
    #[arg(long)]
    top: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Print the time each kernel took to standard error
    #[arg(long)]
    profile: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Bos {
    /// As the model was trained
    Auto,
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns for people
    Table,
    /// One JSON object a line
    Jsonl,
}

/// One line of the output.
#[derive(Serialize)]
struct Line<'a> {
    pos: usize,
    id: u32,
    text: &'a str,
    logprob: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top: Option<u32>,
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    let text = setup::read_text(&args.text_file, args.encoding.as_deref(), app)?;
    if text.is_empty() {
        bail!(
            "{}: the text is empty; give a file with some text",
            args.text_file.display()
        );
    }
    let loaded = setup::load(&args.model, app)?;
    let (tokens, lead) = tokens(args, &loaded, &text)?;
    let scores = scores(args, app, &loaded, &tokens, lead)?;
    write_lines(args, &loaded, &tokens, &scores).or_else(setup::ignore_broken_pipe)?;
    summary(app, &scores);
    Ok(())
}

/// The text's tokens and how many of them open it without being part of it.
fn tokens(args: &Args, loaded: &Loaded, text: &str) -> Result<(Vec<u32>, usize)> {
    let tokenizer = &loaded.model.tokenizer;
    let wanted = match args.bos {
        Bos::Auto => tokenizer.add_bos(),
        Bos::On => true,
        Bos::Off => false,
    };
    let mut tokens = Vec::new();
    if wanted {
        let bos = tokenizer
            .bos()
            .context("this model has no beginning-of-sequence token; run with --bos off")?;
        tokens.push(bos);
    }
    let lead = tokens.len();
    tokens.extend(tokenizer.encode(text, false, false)?);
    if let Some(max) = args.max_tokens {
        tokens.truncate(lead.saturating_add(max.get()));
    }
    let context = loaded.model.config.context;
    if args.window.is_none() && tokens.len() > context {
        bail!(
            "{}: {} tokens do not fit the model's context of {context}; cut the text \
             (--max-tokens {}), use --window N, or choose a model with a longer context",
            args.text_file.display(),
            tokens.len(),
            context - lead
        );
    }
    let rows = rows_at_once(args, tokens.len(), lead);
    if rows > context {
        bail!(
            "--window reads up to {rows} tokens at once and the model's context is {context}; \
             use a smaller window"
        );
    }
    Ok((tokens, lead))
}

/// Tokens in the cache at most. A window is read after the one before it, and its last token only
/// needs to be predicted.
fn rows_at_once(args: &Args, tokens: usize, lead: usize) -> usize {
    match args.window {
        Some(window) => tokens.min(lead + 2 * window as usize - 1).max(1),
        None => tokens,
    }
}

fn scores(
    args: &Args,
    app: &Context,
    loaded: &Loaded,
    tokens: &[u32],
    lead: usize,
) -> Result<Vec<Score>> {
    let capacity = rows_at_once(args, tokens.len(), lead);
    let profile = args.profile.then(|| Arc::new(Profile::default()));
    let options = setup::session_options(app, profile.as_ref());
    let mut session = Session::new(&loaded.device, &loaded.transformer, capacity, options)?;
    let bar = app.counter("scoring", tokens.len() as u64, "tokens");
    let mut on_progress = |done: usize, _: usize| bar.set_position(done as u64);
    let scores = match args.window {
        Some(window) => session.score_local(tokens, lead, window as usize, &mut on_progress)?,
        None => session.score(tokens, &mut on_progress)?,
    };
    bar.finish_and_clear();
    if let Some(profile) = profile {
        super::out::remark(format_args!("{}", profile.table()));
    }
    Ok(scores)
}

fn write_lines(args: &Args, loaded: &Loaded, tokens: &[u32], scores: &[Score]) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.format == Format::Table {
        let top = if args.top { "   most likely" } else { "" };
        writeln!(
            out,
            "{:>6} {:>7} {:>10}  token{top}",
            "pos", "id", "logprob"
        )?;
    }
    let tokenizer = &loaded.model.tokenizer;
    // Nothing predicts what comes first; every later token has a score.
    let unscored = tokens.len() - scores.len();
    for (pos, &id) in tokens.iter().enumerate() {
        let score = pos.checked_sub(unscored).and_then(|i| scores.get(i));
        let text = String::from_utf8_lossy(&tokenizer.token_bytes(id)).into_owned();
        let logprob = score.map(|s| s.logprob);
        match args.format {
            Format::Jsonl => {
                let top = score.filter(|_| args.top).map(|s| s.top);
                serde_json::to_writer(
                    &mut out,
                    &Line {
                        pos,
                        id,
                        text: &text,
                        logprob,
                        top,
                    },
                )?;
                writeln!(out)?;
            }
            Format::Table => {
                let logprob = logprob.map_or("-".to_owned(), |l| format!("{l:.4}"));
                write!(out, "{pos:>6} {id:>7} {logprob:>10}  {text:?}")?;
                if let Some(score) = score.filter(|_| args.top) {
                    let top = tokenizer.token_bytes(score.top);
                    write!(out, "   {:?}", String::from_utf8_lossy(&top))?;
                }
                writeln!(out)?;
            }
        }
    }
    out.flush()
}

fn summary(app: &Context, scores: &[Score]) {
    if scores.is_empty() {
        return;
    }
    let mean = scores.iter().map(|s| s.logprob).sum::<f64>() / scores.len() as f64;
    app.note(&format!(
        "{} scored, mean log-probability {mean:.4}, perplexity {:.2}",
        words::counted(scores.len(), "token"),
        (-mean).exp()
    ));
}
