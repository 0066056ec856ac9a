//! `inscribe compare`: methods and baselines side by side at equal budgets.

mod arms;
mod tables;
mod variance;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use clap::Parser as _;
use inscribe::engine::EngineError;
use inscribe::train::reproduce::{Reproduced, Row};
use inscribe::words;
use inscribe::write::error::WriteError;
use inscribe::write::experiment::{Arm, Outcome, Question, Study};
use inscribe::write::method::Method;
use inscribe::write::settings::WriteSettings;
use inscribe::write::writer::chunks_of_parts;

use super::numbers;
use super::setup::{self, ModelArg};
use super::write_args::WritingArgs;
use super::{Context, print_json};
pub use arms::Experiment;
use arms::arms;

const EXAMPLES: &str = "\
Examples:
  inscribe compare assets/sample.md                            utility, uniform, random, ...
  inscribe compare assets/sample.md --questions assets/sample-questions.jsonl    and answers
  inscribe compare assets/sample.md --experiment chunk-size --seeds 5
  inscribe compare assets/sample.md --experiment arms --arms utility,uniform@4 --budget 16

A line of a questions file: {\"question\": \"Who founded it?\", \"answer\": \"Tamsin Vane\"}

An arm is a rule of --allocate or a method; @N multiplies the budget by N, and settings of its own
follow after colons: utility:scale=zscore:tau=0.5.";

/// Compare ways of writing a document at equal budgets, over several seeds
///
/// Every arm writes the same document anew with each seed. Reported are the loss over the whole
/// document and over tokens that no step learned from, the latter also in the chunks of high
/// utility, and where questions are given the log-probability of their right answers, and exact
/// match and F1 of those that each arm writes.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Args {
    /// A .txt, .md, .html, .pdf, .docx or .epub file; - reads standard input
    document: PathBuf,
    #[command(flatten)]
    model: ModelArg,
    /// Questions with their answers, a JSON object a line
    #[arg(long, value_name = "FILE")]
    questions: Option<PathBuf>,
    /// Do not let every arm write its answers: no exact match and F1, in a fraction of the time
    #[arg(long, requires = "questions")]
    no_generate: bool,
    /// What to compare [default: allocation, or arms with --arms]
    #[arg(long, value_enum)]
    experiment: Option<Experiment>,
    /// The arms of `--experiment arms`
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    arms: Vec<String>,
    /// How many seeds to run, counted from --seed
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = numbers::whole::<u64>)]
    seeds: u64,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    writing: WritingArgs,
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    let show = if args.json { Show::Json } else { Show::Tables };
    compare(args, show, app)
}

/// How results are shown.
#[derive(Clone, Copy)]
enum Show<'a> {
    Tables,
    Json,
    /// As the rows of an experiment of `inscribe reproduce` by this name.
    Rows(&'a str),
}

/// The call of a comparison alone.
#[derive(clap::Parser)]
struct Alone {
    #[command(flatten)]
    args: Args,
}

/// An experiment over the sample that comes with the program.
pub fn on_the_sample(
    experiment: &str,
    seeds: u64,
    json: bool,
    name: &str,
    app: &Context,
) -> Result<()> {
    let desk = tempfile::tempdir()?;
    let sample = desk.path().join("sample.md");
    std::fs::write(&sample, super::demo::SAMPLE)?;
    let (sample, seeds) = (sample.display().to_string(), seeds.to_string());
    let call = [
        "compare",
        &sample,
        "--experiment",
        experiment,
        "--seeds",
        &seeds,
    ];
    let alone = Alone::try_parse_from(call)?;
    let show = if json { Show::Rows(name) } else { Show::Tables };
    compare(&alone.args, show, app)
}

fn compare(args: &Args, show: Show<'_>, app: &Context) -> Result<()> {
    let started = Instant::now();
    // Refused before a model is loaded.
    args.writing.settings()?;
    let experiment = experiment(args)?;
    if !(1..=MOST_SEEDS).contains(&args.seeds) {
        bail!("--seeds must lie between 1 and {MOST_SEEDS}");
    }
    if experiment == Experiment::Variance && args.questions.is_some() {
        bail!("--experiment variance takes no step, so that --questions have nothing to answer");
    }
    let questions = match &args.questions {
        Some(path) => read_questions(path)?,
        None => Vec::new(),
    };
    let document = setup::read_document(&args.document, &args.writing.read_options(), app)?;
    let loaded = setup::load(&args.model.name, app)?;
    let asked = |method: Method| {
        let settings = args.writing.settings_of(method, &loaded.model)?;
        Ok(WriteSettings {
            held_out: args.writing.held_out.unwrap_or(HELD_OUT),
            ..settings
        })
    };
    let base = asked(args.writing.method)?;
    if base.seed.checked_add(args.seeds).is_none() {
        bail!(
            "--seed {} leaves no room for --seeds {}",
            base.seed,
            args.seeds
        );
    }
    let mut arms = arms(experiment, &args.arms, &base, &asked)?;
    let tokens = setup::tokens(&loaded, &document, app)?;
    if experiment == Experiment::ChunkSize {
        leave_out_alike(&mut arms, tokens.ids.len(), app);
    }
    let job = loaded.inscriber.job(&document, &tokens, &base);
    let ids = setup::whole_document(&loaded, &tokens, "comparisons need")?;
    let parts = chunks_of_parts(&job)?;
    if parts.iter().sum::<usize>() < 2 && experiment.is_about_shares() {
        app.note(
            "note: the document is one chunk, which gets all steps whatever the rule; a smaller \
             --chunk lets the rules differ",
        );
    }
    let mut study = Study::new(job, &questions, !args.no_generate, &app.cancel);
    let about = json!({
        "document": document.name,
        "tokens": tokens.ids.len(),
        "model": loaded.model.name,
        "device": loaded.device.name(),
        "settings": base,
    });
    if experiment == Experiment::Variance {
        let seeds = base.seed..base.seed + args.seeds;
        let about = (!matches!(show, Show::Tables)).then_some(about);
        return variance::run(&mut study, seeds, app, about);
    }
    let bounds = if questions.is_empty() {
        None
    } else {
        Some(study.bounds(&ids)?)
    };
    let (outcomes, stopped) = run_arms(args, app, &mut study, &arms, base.seed);
    if let (Some(_), true) = (&stopped, outcomes.is_empty()) {
        return stopped.map_or(Ok(()), Err);
    }
    match show {
        Show::Tables => tables::print(&arms, &outcomes, bounds),
        Show::Json => {
            let found = json!({
                "utilities": study.utilities()?,
                "answers_without_document": bounds.map(|(without, _)| without),
                "answers_with_document": bounds.map(|(_, with)| with),
                "outcomes": outcomes,
            });
            print_json(&together(about, found))?;
        }
        Show::Rows(name) => {
            let seeds = (base.seed..base.seed + args.seeds).collect();
            let rows = arms.iter().map(|arm| row(arm, &outcomes)).collect();
            print_json(&Reproduced::new(name, seeds, rows, started))?;
        }
    }
    stopped.map_or(Ok(()), Err)
}

/// What an arm came to, in nats a token, over all seeds.
fn row(arm: &Arm, outcomes: &[Outcome]) -> Row {
    let own = outcomes.iter().filter(|outcome| outcome.arm == arm.name);
    let losses: Vec<f64> = own
        .map(|outcome| outcome.held_out_after.unwrap_or(outcome.loss_after))
        .collect();
    Row {
        setting: format!("{}: held-out loss after writing", arm.name),
        value: losses.iter().sum::<f64>() / losses.len().max(1) as f64,
        published: None,
        bar: None,
        holds: None,
    }
}

/// Chunks that hold the whole document are one chunk, whatever their size.
fn leave_out_alike(arms: &mut Vec<Arm>, tokens: usize, app: &Context) {
    let whole = |arm: &Arm| arm.settings.chunk >= tokens;
    let smallest = arms
        .iter()
        .filter(|arm| whole(arm))
        .map(|arm| arm.settings.chunk);
    let Some(smallest) = smallest.min() else {
        return;
    };
    arms.retain(|arm| {
        let stays = !whole(arm) || arm.settings.chunk == smallest;
        if !stays {
            app.note(&format!(
                "{} are left out: chunks of {smallest} hold the whole document",
                arm.name
            ));
        }
        stays
    });
}

/// Part of the tokens that no arm learns from, where nothing else is asked for.
const HELD_OUT: f64 = 0.2;

fn experiment(args: &Args) -> Result<Experiment> {
    match args.experiment {
        Some(other) if other != Experiment::Arms && !args.arms.is_empty() => {
            bail!("--arms are the arms of --experiment arms; leave the other experiment out")
        }
        Some(experiment) => Ok(experiment),
        None if args.arms.is_empty() => Ok(Experiment::Allocation),
        None => Ok(Experiment::Arms),
    }
}

/// More seeds than anyone waits for.
const MOST_SEEDS: u64 = 10_000;

/// The fields of both.
fn together(mut one: Value, other: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (one.as_object_mut(), other) {
        fields.extend(more);
    }
    one
}

/// The outcomes of all runs, or of those before one that failed, and why.
fn run_arms(
    args: &Args,
    app: &Context,
    study: &mut Study<'_>,
    arms: &[Arm],
    first_seed: u64,
) -> (Vec<Outcome>, Option<anyhow::Error>) {
    let started = Instant::now();
    let total = arms.len() as u64 * args.seeds;
    let bar = app.counter("comparing", total, "runs");
    let mut outcomes = Vec::new();
    // Seed by seed, so that a drift of the machine's speed meets every arm.
    for seed in first_seed..first_seed + args.seeds {
        for arm in arms {
            match study.run(arm, seed) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => {
                    bar.finish_and_clear();
                    let done = outcomes.len();
                    let shown = match done {
                        0 => String::new(),
                        _ => format!("; {done} of {total} runs are shown"),
                    };
                    let what = format!("stopped at '{}', seed {seed}{shown}", arm.name);
                    return (outcomes, Some(stopped(error).context(what)));
                }
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    app.note(&format!(
        "{} in {:.0} s",
        words::counted(total as usize, "run"),
        started.elapsed().as_secs_f64()
    ));
    (outcomes, None)
}

/// Why a comparison ended early. It keeps no memories to go on from.
fn stopped(error: WriteError) -> anyhow::Error {
    match error {
        WriteError::Cancelled { .. } => EngineError::Cancelled.into(),
        WriteError::NotANumber { step, .. } => {
            anyhow::anyhow!("step {step}: the loss is not a number; try a smaller --lr")
        }
        other => other.into(),
    }
}

fn read_questions(path: &Path) -> Result<Vec<Question>> {
    let text = setup::read_utf8(path)?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let questions: Vec<Question> = lines
        .map(|(i, line)| {
            let place = || format!("{}, line {}", path.display(), i + 1);
            let read: Question = serde_json::from_str(line).with_context(|| {
                format!("{}: not {{\"question\": ..., \"answer\": ...}}", place())
            })?;
            if read.question.trim().is_empty() || read.answer.trim().is_empty() {
                bail!("{}: a question and its answer must not be empty", place());
            }
            Ok(read)
        })
        .collect::<Result<_>>()?;
    if questions.is_empty() {
        bail!("{}: no questions in it", path.display());
    }
    Ok(questions)
}
