//! `inscribe compare`: methods and baselines side by side at equal budgets.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde_json::json;

use inscribe::model::bundle::Model;
use inscribe::write::frame::Frame;
use inscribe::write::settings::{Allocate, WriteSettings};
use inscribe::write::statistics::Summary;
use inscribe::write::study::{Answers, Arm, Outcome, Question, Study, room};
use inscribe::write::writer::{Job, Tokens};

use super::out::{errln, outln};
use super::setup;
use super::writing::WritingArgs;
use super::{Context, print_json};

const EXAMPLES: &str = "\
Examples:
  inscribe compare report.md                                   utility, uniform, random, ...
  inscribe compare report.md --questions questions.jsonl       and how well questions are answered
  inscribe compare report.md --experiment chunk-size --seeds 5
  inscribe compare report.md --experiment arms --arms utility,uniform@4 --budget 16

A line of a questions file: {\"question\": \"Who founded it?\", \"answer\": \"Tamsin Vane\"}

An arm is a rule of --allocate or a method; @N multiplies the budget by N, and :NAME=VALUE changes a
setting, as in --arms gradmem:lr=0.1:init=mean,gradmem:prefix=32";

/// Compare ways of writing a document at equal budgets, over several seeds
///
/// Every arm writes the same document anew with each seed. Reported are the loss over the whole
/// document and over tokens that no step learned from, the latter also in the chunks of high
/// utility, and where questions are given the log-probability of their right answers.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Args {
    /// A .txt, .md, .html, .pdf, .docx or .epub file; - reads standard input
    document: PathBuf,
    /// A model: a known name, a .gguf file, a model folder or a hub id
    #[arg(long, short, default_value = setup::DEFAULT_MODEL)]
    model: String,
    /// Questions with their answers, a JSON object a line
    #[arg(long, value_name = "FILE")]
    questions: Option<PathBuf>,
    /// Also let every arm answer the questions, for exact match and F1
    #[arg(long)]
    generate: bool,
    /// What to compare
    #[arg(long, value_enum, default_value = "allocation")]
    experiment: Experiment,
    /// The arms of `--experiment arms`
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    arms: Vec<String>,
    /// How many seeds to run, counted from --seed
    #[arg(long, default_value_t = 3, value_name = "N")]
    seeds: u64,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    writing: WritingArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Experiment {
    /// Utility against uniform, random and top-k allocation, and uniform at four times the budget
    Allocation,
    /// Chunks of 256, 512, 1024 and 2048 tokens
    ChunkSize,
    /// Fixed chunks against chunks along headings and paragraphs
    Chunking,
    /// With and without a first step for every chunk
    Coverage,
    /// |U| against signed utility
    Signed,
    /// Utilities as measured against their z-scores
    Scale,
    /// Chunk-restricted steps against steps from the whole document (qTTT)
    Whole,
    /// gdwm, lora and gradmem
    Methods,
    /// How much of a step's gradient noise lies within chunks, and how much between them
    Variance,
    /// The arms named by --arms
    Arms,
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    // Refused before a model is loaded.
    args.writing.settings()?;
    if args.seeds == 0 {
        bail!("--seeds must be at least 1");
    }
    let questions = match &args.questions {
        Some(path) => read_questions(path)?,
        None => Vec::new(),
    };
    let document = setup::read_document(&args.document, args.writing.encoding.as_deref(), app)?;
    let loaded = setup::load(&args.model, app)?;
    let mut base = args.writing.settings_on(&loaded.model)?;
    if args.writing.held_out.is_none() {
        base.held_out = 0.2;
    }
    let arms = arms(args, &base, &loaded.model)?;
    let job = Job {
        model: &loaded.model,
        transformer: &loaded.transformer,
        device: &loaded.device,
        fingerprint: "",
        document: &document,
        settings: &base,
    };
    let tokens = Tokens::of(&loaded.model, &document.text)?;
    let lead = Frame::new(&loaded.model)?.lead;
    let ids = [&lead[..], &tokens.ids].concat();
    let context = loaded.model.config.context;
    if ids.len() + room(context) > context {
        bail!(
            "the document has {} tokens; comparisons need it and its questions within the \
             model's context of {context}",
            tokens.ids.len()
        );
    }
    let mut study = Study::new(job, &questions, args.generate, &app.cancel);
    if args.experiment == Experiment::Variance {
        return variance(args, &mut study);
    }
    let bounds = match questions.is_empty() {
        true => None,
        false => Some(study.bounds(&ids)?),
    };
    let outcomes = run_arms(args, app, &mut study, &arms, base.seed)?;
    if args.json {
        return print_json(&json!({
            "document": document.name,
            "tokens": tokens.ids.len(),
            "model": loaded.model.name,
            "device": loaded.device.name(),
            "settings": base,
            "utilities": study.utilities()?,
            "answers_without_document": bounds.map(|(without, _)| without),
            "answers_with_document": bounds.map(|(_, with)| with),
            "outcomes": outcomes,
        }));
    }
    print_tables(&arms, &outcomes, bounds);
    Ok(())
}

/// Batches drawn from each chunk to tell variances.
const DRAWS: usize = 8;

fn variance(args: &Args, study: &mut Study<'_>) -> Result<()> {
    let found = study.variance(DRAWS)?;
    if args.json {
        return print_json(&found);
    }
    outln!(
        "variance of a step's gradient, before any step, {} batches a chunk\n\
         within chunks       {:.4e}\n\
         between chunks      {:.4e}  ({:.1} % of both)\n\
         |mean gradient|^2   {:.4e}",
        found.draws,
        found.within,
        found.between,
        100.0 * found.share_between(),
        found.mean_squared
    );
    Ok(())
}

fn run_arms(
    args: &Args,
    app: &Context,
    study: &mut Study<'_>,
    arms: &[Arm],
    first_seed: u64,
) -> Result<Vec<Outcome>> {
    let started = Instant::now();
    let total = arms.len() as u64 * args.seeds;
    let bar = app.counter("comparing", total, "runs");
    let mut outcomes = Vec::new();
    // Seed by seed, so that a drift of the machine's speed meets every arm.
    for seed in first_seed..first_seed + args.seeds {
        for arm in arms {
            outcomes.push(study.run(arm, seed)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    app.note(&format!(
        "{total} runs in {:.0} s",
        started.elapsed().as_secs_f64()
    ));
    Ok(outcomes)
}

fn read_questions(path: &Path) -> Result<Vec<Question>> {
    let text = setup::read_text(path)?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let questions: Vec<Question> = lines
        .map(|(i, line)| {
            serde_json::from_str(line).with_context(|| {
                format!(
                    "{}, line {}: not {{\"question\": ..., \"answer\": ...}}",
                    path.display(),
                    i + 1
                )
            })
        })
        .collect::<Result<_>>()?;
    if questions.is_empty() {
        bail!("{}: no questions in it", path.display());
    }
    Ok(questions)
}

fn arms(args: &Args, base: &WriteSettings, model: &Model) -> Result<Vec<Arm>> {
    let with = |name: &str, change: &dyn Fn(&mut WriteSettings)| {
        let mut settings = base.clone();
        change(&mut settings);
        Arm {
            name: name.to_owned(),
            settings,
        }
    };
    let allocate = |rule: Allocate| move |s: &mut WriteSettings| s.allocate = rule;
    use inscribe::write::settings::{Chunking, UtilityScale};
    let arms = match args.experiment {
        Experiment::Allocation => vec![
            with("utility", &allocate(Allocate::Utility)),
            with("uniform", &allocate(Allocate::Uniform)),
            with("random", &allocate(Allocate::Random)),
            with("top-k", &allocate(Allocate::Topk)),
            with("uniform, 4 K", &|s| {
                s.allocate = Allocate::Uniform;
                s.budget = s.budget.saturating_mul(4);
            }),
        ],
        Experiment::ChunkSize => [256, 512, 1024, 2048]
            .map(|size| with(&format!("chunks of {size}"), &|s| s.chunk = size))
            .to_vec(),
        Experiment::Chunking => vec![
            with("fixed", &|s| s.chunking = Chunking::Fixed),
            with("structure", &|s| s.chunking = Chunking::Structure),
        ],
        Experiment::Coverage => vec![
            with("coverage", &|s| s.coverage = true),
            with("no coverage", &|s| s.coverage = false),
        ],
        Experiment::Signed => vec![
            with("|U|", &allocate(Allocate::Utility)),
            with("signed U", &allocate(Allocate::Signed)),
        ],
        Experiment::Scale => vec![
            with("raw U", &|s| s.scale = UtilityScale::Raw),
            with("z-scored U", &|s| s.scale = UtilityScale::Zscore),
        ],
        Experiment::Whole => vec![
            with("within chunks", &allocate(Allocate::Utility)),
            with("whole document", &allocate(Allocate::Whole)),
        ],
        Experiment::Methods => {
            let names = ["gdwm", "lora", "gradmem"];
            let named = names.iter().map(|name| named_arm(name, base, model));
            named.collect::<Result<_>>()?
        }
        Experiment::Variance => Vec::new(),
        Experiment::Arms => {
            if args.arms.is_empty() {
                bail!("--experiment arms needs --arms, such as --arms utility,uniform@4");
            }
            let named = args.arms.iter().map(|name| named_arm(name, base, model));
            named.collect::<Result<_>>()?
        }
    };
    Ok(arms)
}

/// An arm by its name: a rule of allocation or a method, `@N` for N times the budget, then settings
/// of its own, `:NAME=VALUE` each.
fn named_arm(name: &str, base: &WriteSettings, model: &Model) -> Result<Arm> {
    let mut parts = name.split(':');
    let rule = parts.next().unwrap_or_default();
    let (rule, times) = rule.split_once('@').unwrap_or((rule, "1"));
    let times: usize = times
        .parse()
        .ok()
        .filter(|times| *times > 0)
        .with_context(|| format!("'{name}': what follows @ must be a whole number from 1"))?;
    let mut settings = base.clone();
    if let Ok(rule) = super::writing::AllocateName::from_str(rule, true) {
        settings.allocate = rule.into();
    } else if let Ok(method) = super::writing::MethodName::from_str(rule, true) {
        settings = WriteSettings {
            budget: base.budget,
            held_out: base.held_out,
            seed: base.seed,
            ..super::writing::suited(method.into(), model)?
        };
    } else {
        bail!(
            "'{rule}' is no arm; use utility, signed, uniform, random, topk, whole, gdwm, lora or \
             gradmem"
        );
    }
    settings.budget = settings.budget.saturating_mul(times);
    for setting in parts {
        settings = with_setting(&settings, setting).with_context(|| format!("'{name}'"))?;
    }
    settings.check().map_err(anyhow::Error::msg)?;
    Ok(Arm {
        name: name.to_owned(),
        settings,
    })
}

/// Settings with one of them changed, by the name that the events give it.
fn with_setting(settings: &WriteSettings, setting: &str) -> Result<WriteSettings> {
    let (name, value) = setting
        .split_once('=')
        .with_context(|| format!("'{setting}' is no NAME=VALUE"))?;
    let mut all = serde_json::to_value(settings)?;
    let place = match all.get_mut(name) {
        Some(place) => place,
        None => bail!("there is no setting '{name}'"),
    };
    // What is no number, true or false is a name.
    *place = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    serde_json::from_value(all).with_context(|| format!("'{value}' is no {name}"))
}

/// A measure of an outcome, where it has it.
type Measure = fn(&Outcome) -> Option<f64>;

const MEASURES: &[(&str, Measure)] = &[
    ("loss, all tokens", |o| Some(o.loss_after)),
    ("loss, held out", |o| o.held_out_after),
    ("held out, high utility", |o| o.high_after),
    ("answers, log P a token", |o| o.answers.map(|a| a.logprob)),
    ("answers, exact match", |o| o.answers.and_then(|a| a.exact)),
    ("answers, F1", |o| o.answers.and_then(|a| a.f1)),
    ("steps", |o| Some(o.steps as f64)),
    ("seconds: prefill", |o| Some(o.seconds.prefill)),
    ("seconds: utility", |o| Some(o.seconds.local)),
    ("seconds: steps", |o| Some(o.seconds.steps)),
    ("seconds: measuring", |o| Some(o.seconds.evaluate)),
    ("seconds: answers", |o| o.answers.map(|_| o.answer_seconds)),
];

fn print_tables(arms: &[Arm], outcomes: &[Outcome], bounds: Option<(Answers, Answers)>) {
    if let Some(first) = outcomes.first() {
        outln!("before any step: loss {:.4}", first.loss_before);
        if let (Some(held), Some(high)) = (first.held_out_before, first.high_before) {
            outln!("                 held out {held:.4}, of high utility {high:.4}");
        }
    }
    if let Some((without, with)) = bounds {
        outln!(
            "answers, log P a token: {:.4} with no document, {:.4} with the document before them",
            without.logprob,
            with.logprob
        );
    }
    outln!("\nmean and 95 % interval over the seeds\n");
    let width = arms
        .iter()
        .map(|a| a.name.chars().count())
        .max()
        .unwrap_or(0)
        .max(8);
    let of_arm = |arm: &Arm, measure: Measure| -> Vec<f64> {
        let own = outcomes.iter().filter(|o| o.arm == arm.name);
        own.filter_map(measure).collect()
    };
    for (name, measure) in MEASURES {
        let rows: Vec<(&Arm, Vec<f64>)> = arms
            .iter()
            .map(|arm| (arm, of_arm(arm, *measure)))
            .collect();
        if rows.iter().all(|(_, values)| values.is_empty()) {
            continue;
        }
        outln!("{name}");
        let first = rows
            .first()
            .map(|(_, values)| values.clone())
            .unwrap_or_default();
        for (i, (arm, values)) in rows.iter().enumerate() {
            let Some(summary) = Summary::of(values) else {
                continue;
            };
            let versus = Summary::of_differences(values, &first).filter(|_| i > 0);
            let versus = versus.map_or(String::new(), |d| {
                format!("   against the first {}", pm(&d, true))
            });
            outln!("  {:<width$}  {}{versus}", arm.name, pm(&summary, false));
        }
    }
    if outcomes.is_empty() {
        errln!("nothing was run");
    }
}

fn pm(summary: &Summary, signed: bool) -> String {
    let mean = if signed {
        format!("{:+.5}", summary.mean)
    } else {
        format!("{:.5}", summary.mean)
    };
    match summary.half_interval {
        Some(half) => format!("{mean} ± {half:.5}"),
        None => mean,
    }
}
