//! `inscribe demo`: the whole story on the sample document.

use anyhow::{Context as _, Result};

use inscribe::model::generate::GenerateOptions;
use inscribe::words;
use inscribe::write::document::ReadOptions;
use inscribe::write::event::{Event, PhaseSeconds};
use inscribe::write::experiment::Question;
use inscribe::write::reader::View;
use inscribe::write::statistics::mean;
use inscribe::{Document, Remembered, WriteSettings};

use super::ask::Bar;
use super::live::Live;
use super::out::outln;
use super::setup;
use super::{Context, columns::side_by_side};

const SAMPLE: &str = include_str!("../../assets/sample.md");
const QUESTIONS: &str = include_str!("../../assets/sample-questions.jsonl");

/// Write the sample report into a memory, and ask it
///
/// Fetches the default model on first use, says which device it took and why, measures where an
/// invented report of about 5,000 tokens needs context, takes gradient steps there, and answers
/// questions about it with no document, with the memory and with the full document.
#[derive(clap::Args)]
pub struct Args {
    /// A model: a known name, a .gguf file, a model folder or a hub id
    #[arg(long, short, default_value = setup::DEFAULT_MODEL)]
    model: String,
    /// Gradient steps
    #[arg(long, default_value_t = 16, value_name = "K")]
    budget: usize,
    /// How many of the 20 questions to ask
    #[arg(long, default_value_t = 3, value_name = "N")]
    questions: usize,
    /// Tokens of an answer at most
    #[arg(long, default_value_t = 32, value_name = "N")]
    max_tokens: usize,
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    let loaded = setup::load(&args.model, app)?;
    outln!(
        "model    {} (loaded in {:.1} s)",
        loaded.model.name,
        loaded.load_secs
    );
    outln!("device   {}", loaded.device.name());
    let document = Document::from_bytes("sample.md", SAMPLE.as_bytes(), &ReadOptions::default())?;
    let settings = WriteSettings {
        budget: args.budget,
        checkpoint: 0,
        ..WriteSettings::default()
    };
    let tokens = setup::tokens(&loaded, &document, app)?;
    setup::whole_document(&loaded, &tokens, "the demo needs")?;
    let mut live = Live::new(app);
    let mut seconds = (PhaseSeconds::default(), 0);
    let writing = loaded.inscriber.write(&document, settings).tokens(&tokens);
    let memory = writing.run(|event| {
        live.event(event);
        if let Event::Done(done) = event {
            seconds = (done.seconds, done.steps);
        }
    })?;
    drop(live);
    told(&seconds.0, seconds.1);
    ask(args, app, &memory)
}

fn told(seconds: &PhaseSeconds, steps: usize) {
    outln!(
        "written  {} in {:.1} s: read {:.1}, utility {:.1}, steps {:.1}, measured {:.1}, \
         saved {:.1}",
        words::counted(steps, "step"),
        seconds.total(),
        seconds.prefill,
        seconds.local,
        seconds.steps,
        seconds.evaluate,
        seconds.save
    );
}

fn ask(args: &Args, app: &Context, memory: &Remembered) -> Result<()> {
    let questions: Vec<Question> = QUESTIONS
        .lines()
        .take(args.questions)
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("the sample's questions are damaged")?;
    for q in &questions {
        outln!("\nquestion {}\nexpected {}\n", q.question, q.answer);
        let columns = [
            ("no document", View::Nothing),
            ("memory", View::Memory),
            ("full document", View::Document),
        ];
        let answers = columns
            .into_iter()
            .map(|(title, view)| Ok((title.to_owned(), answer(args, app, memory, view, q)?)));
        let answers = answers.collect::<Result<Vec<_>>>()?;
        side_by_side(&answers)
            .iter()
            .for_each(|line| outln!("{line}"));
    }
    Ok(())
}

/// An answer, with how likely the right one was and how long it took.
fn answer(
    args: &Args,
    app: &Context,
    memory: &Remembered,
    view: View,
    q: &Question,
) -> Result<String> {
    let options = GenerateOptions {
        stop: vec!["\n".to_owned()],
        ..GenerateOptions::greedy(args.max_tokens)
    };
    let bar = Bar::new(app);
    let mut on_read = |done, total| bar.show(done, total);
    let asking = memory.asking(&q.question).view(view).options(options);
    let made = asking.on_read(&mut on_read).run()?;
    let right = memory.score_text(view, made.segment, &q.question, &q.answer)?;
    let right = mean(&right).unwrap_or(0.0);
    Ok(format!(
        "{}\n\nexpected: log P {right:.2} a token\n{:.1} s",
        made.text, made.seconds
    ))
}
