//! `inscribe demo`: the whole story on the sample document.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use inscribe::memory::Memory;
use inscribe::memory::store::Unfinished;
use inscribe::model::generate::GenerateOptions;
use inscribe::model::hub::ModelCache;
use inscribe::words;
use inscribe::write::document::ReadOptions;
use inscribe::write::event::{Event, PhaseSeconds};
use inscribe::write::experiment::Question;
use inscribe::write::reader::View;
use inscribe::write::record::RunRecord;
use inscribe::write::statistics::mean;
use inscribe::{Document, Remembered, WriteSettings};

use super::Context;
use super::answering::{self, Manner, Score, cut_short, title};
use super::columns::{side_by_side, wrapped};
use super::live::Live;
use super::numbers;
use super::out::outln;
use super::progress::size;
use super::setup::{self, ModelArg};
use super::shell::{model_option, shown};
use super::suggest::{Larger, Written};
use super::terminal::Look;
use super::write::{Outlook, extent};

pub const SAMPLE: &str = include_str!("../../assets/sample.md");
const QUESTIONS: &str = include_str!("../../assets/sample-questions.jsonl");
/// A question of the sample to go on with.
const NEXT: &str = "How often did the steps of rising water come?";
const VIEWS: [View; 3] = [View::Nothing, View::Memory, View::Document];

/// Write the sample report into a memory, and ask it
///
/// Fetches the default model on first use, measures where an invented report of about 5,000 tokens
/// needs context, takes gradient steps there, and answers questions about it with no document, with
/// the memory and with the full document. The memory stays in Inscribe's cache folder, or where --out
/// says, for questions of your own; another demo takes its place.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArg,
    /// Gradient steps
    #[arg(long, default_value_t = 16, value_name = "K", value_parser = numbers::whole::<usize>)]
    budget: usize,
    /// How many of the 20 questions to ask
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = numbers::whole::<usize>)]
    questions: usize,
    /// Tokens of an answer at most
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = numbers::whole::<usize>)]
    max_tokens: usize,
    /// The folder the memory is to stand at [default: demo.memory in the cache folder]
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    let document = Document::from_bytes("sample.md", SAMPLE.as_bytes(), &ReadOptions::default())?;
    let place = match &args.out {
        Some(out) => out.clone(),
        None => ModelCache::open()?.root().join("demo.memory"),
    };
    let replaces = check_place(&place, &document)?;
    let larger = Larger::look(&args.model.name, app);
    let loaded = setup::load(&args.model.name, app)?;
    outln!(
        "model    {} (loaded in {:.1} s)",
        loaded.model.name,
        loaded.load_secs
    );
    outln!("device   {}", loaded.device.name());
    let settings = WriteSettings {
        budget: args.budget,
        checkpoint: 0,
        ..WriteSettings::default()
    };
    let tokens = setup::tokens(&loaded, &document, app)?;
    setup::whole_document(&loaded, &tokens, "the demo needs")?;
    let mut live = Live::new(app);
    let mut record = RunRecord::default();
    let (extent, _) = extent(&loaded, &tokens, &settings)?;
    let mut outlook = Outlook::new(settings.clone(), extent, live.is_lines());
    let writing = loaded.inscriber.write(&document, settings).tokens(&tokens);
    let writing = writing.keep_at(&place);
    let writing = if replaces { writing.replace() } else { writing };
    let memory = writing.run(|event| {
        live.event(event);
        for told in outlook.event(event, Instant::now()) {
            live.note(&told);
        }
        if let Some(seconds) = outlook.expected() {
            live.expect(seconds);
        }
        if !matches!(event, Event::Progress { .. }) {
            record.fold(event);
        }
    })?;
    drop(live);
    told(&record.seconds(), record.steps.len());
    let asked = ask(args, app, &memory)?;
    if asked.score.asked > 0 {
        what_it_means(&asked, &record);
    }
    next(args, &place, &memory);
    larger.tell(&loaded, Written::of(&record), app);
    Ok(())
}

/// Whether an older memory of the sample is to be replaced; anything else stays.
fn check_place(place: &Path, document: &Document) -> Result<bool> {
    if matches!(Unfinished::open(place), Ok(Some(run)) if run.has_checkpoint()) {
        bail!(
            "{}: an unfinished run is kept there; choose another --out",
            place.display()
        );
    }
    if place.symlink_metadata().is_err() {
        return Ok(false);
    }
    match Memory::open_as_it_is(place) {
        Ok(memory) if memory.file.document.sha256 == document.sha256 => Ok(true),
        _ => bail!(
            "{}: is there already and is no memory of the sample; choose another --out",
            place.display()
        ),
    }
}

fn told(seconds: &PhaseSeconds, steps: usize) {
    say(
        "written",
        &format!(
            "{} in {:.1} s: read {:.1}, utility {:.1}, steps {:.1}, measured {:.1}",
            words::counted(steps, "step"),
            seconds.total(),
            seconds.prefill,
            seconds.local,
            seconds.steps,
            seconds.evaluate
        ),
    );
}

/// What came of the questions.
#[derive(Default)]
struct Asked {
    score: Score,
    /// Of each view, `log P` a token of each expected answer.
    expected: [Vec<f64>; VIEWS.len()],
}

fn ask(args: &Args, app: &Context, memory: &Remembered) -> Result<Asked> {
    let questions: Vec<Question> = QUESTIONS
        .lines()
        .take(args.questions)
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("the sample's questions are damaged")?;
    let options = GenerateOptions {
        stop: vec!["\n".to_owned()],
        cut_loops: true,
        ..GenerateOptions::greedy(args.max_tokens)
    };
    let manner = Manner {
        options: &options,
        instructions: "",
        streams: false,
    };
    let mut asked = Asked::default();
    for q in &questions {
        outln!("\nquestion {}\nexpected {}\n", q.question, q.answer);
        let (mut answers, mut feet) = (Vec::new(), Vec::new());
        for (view, all) in VIEWS.into_iter().zip(&mut asked.expected) {
            let made = answering::ask(memory, view, &q.question, &manner, app)?;
            let right = memory.score_text(view, made.segment, &q.question, &q.answer)?;
            let right = mean(&right).unwrap_or(0.0);
            all.push(right);
            feet.push(format!("log P of the expected: {right:.2}"));
            answers.push(made);
        }
        let right = asked.score.count(&answers, &q.answer);
        let columns: Vec<(String, String)> = answers
            .iter()
            .zip(feet)
            .zip(right)
            .map(|((answer, foot), right)| {
                let verdict = if right { "right" } else { "not right" };
                let cut = cut_short(answer).map_or(String::new(), |cut| format!("; {cut}"));
                let text = format!(
                    "{}\n\n{verdict}, in {:.1} s{cut}\n{foot}",
                    answer.text, answer.seconds
                );
                (title(answer.view).to_owned(), text)
            })
            .collect();
        side_by_side(&columns)
            .iter()
            .for_each(|line| outln!("{line}"));
    }
    Ok(asked)
}

/// What the answers and the steps show, and what they do not.
fn what_it_means(asked: &Asked, record: &RunRecord) {
    outln!("");
    say(
        "right",
        &format!(
            "{} (the expected words are in the answer)",
            asked.score.words()
        ),
    );
    let [nothing, memory, document] = asked
        .expected
        .each_ref()
        .map(|all| mean(all).unwrap_or(0.0));
    say(
        "log P",
        &format!(
            "of the expected answers, a token: no document {nothing:.2}, memory {memory:.2}, full \
             document {document:.2}. 0 is certain, -0.7 one in two, -2.3 one in ten, -4.6 one in a \
             hundred."
        ),
    );
    let steps = words::counted(record.steps.len(), "step");
    if let Some((before, after)) = record.loss_before().zip(record.loss_after()) {
        say(
            "steps",
            &format!(
                "{steps} brought the mean loss over the report from {} to {}: each token {}.",
                words::number(before),
                words::number(after),
                words::likelier(before, after)
            ),
        );
    }
    say(
        "",
        "What tells memory from no document is mostly the report's own keys and values, which the \
         memory keeps; what the steps add to them is the difference of memory and full document.",
    );
}

/// Where the memory is, and how to ask it.
fn next(args: &Args, place: &Path, memory: &Remembered) {
    let bytes: u64 = memory.memory().verify().iter().map(|file| file.bytes).sum();
    outln!("\nkept     {} ({})", place.display(), size(bytes));
    let model = match memory.memory().file.model_path {
        Some(_) => String::new(),
        None => model_option(&args.model.name),
    };
    let place = shown(place);
    outln!("ask it   inscribe ask --memory {place}{model} \"{NEXT}\"");
    outln!("look     inscribe info {place}");
    outln!("yours    inscribe write your-document.pdf --out yours.memory");
}

/// A label, and words beside it in lines that fit the terminal.
fn say(label: &str, text: &str) {
    let columns = Look::of_stdout().columns.min(100);
    let room = columns.saturating_sub(LABEL).max(LABEL);
    for (at, line) in wrapped(text, room).iter().enumerate() {
        let label = if at == 0 { label } else { "" };
        outln!("{label:LABEL$}{line}");
    }
}

/// Columns of a label.
const LABEL: usize = 9;
