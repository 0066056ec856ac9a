//! `inscribe demo`: the whole story on the sample document.

use std::time::Instant;

use anyhow::{Context as _, Result};

use inscribe::memory::{Content, fingerprint};
use inscribe::model::generate::GenerateOptions;
use inscribe::model::sample::SampleOptions;
use inscribe::write::document::{Document, ReadOptions};
use inscribe::write::error::WriteError;
use inscribe::write::event::{Event, PhaseSeconds};
use inscribe::write::figure::format;
use inscribe::write::frame::Frame;
use inscribe::write::learn::Segment;
use inscribe::write::reader::{Reader, question_room};
use inscribe::write::settings::WriteSettings;
use inscribe::write::statistics::mean;
use inscribe::write::study::Question;
use inscribe::write::writer::{Job, Keeper, write};

use super::live::Live;
use super::out::outln;
use super::setup::{self, Loaded};
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

/// Shows the run and keeps its memory.
struct Shown {
    live: Live,
    memory: Option<(Segment, Content)>,
}

impl Keeper for Shown {
    fn event(&mut self, event: &Event) -> Result<(), WriteError> {
        self.live.event(event);
        Ok(())
    }

    fn memory(&mut self, segment: &Segment, memory: &Content) -> Result<(), WriteError> {
        self.memory = Some((segment.clone(), memory.clone()));
        Ok(())
    }
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
    let print = fingerprint(&loaded.model.file)?;
    let tokens = setup::tokens(&loaded, &document, app)?;
    setup::whole_document(&loaded, &tokens, "the demo needs")?;
    let job = Job {
        model: &loaded.model,
        transformer: &loaded.transformer,
        device: &loaded.device,
        fingerprint: &print,
        document: &document,
        tokens: &tokens,
        settings: &settings,
    };
    let mut shown = Shown {
        live: Live::new(app),
        memory: None,
    };
    let done = write(&job, &mut shown, &app.cancel, None)?;
    let Shown { live, memory } = shown;
    drop(live);
    told(&done.seconds, done.steps);
    let (segment, memory) = memory.context("nothing was written")?;
    ask(args, app, &loaded, &segment, &memory)
}

fn told(seconds: &PhaseSeconds, steps: usize) {
    outln!(
        "written  {} in {:.1} s: read {:.1}, utility {:.1}, steps {:.1}, measured {:.1}, \
         saved {:.1}",
        format::counted(steps, "step"),
        seconds.total(),
        seconds.prefill,
        seconds.local,
        seconds.steps,
        seconds.evaluate,
        seconds.save
    );
}

fn ask(
    args: &Args,
    app: &Context,
    loaded: &Loaded,
    segment: &Segment,
    memory: &Content,
) -> Result<()> {
    let questions: Vec<Question> = QUESTIONS
        .lines()
        .take(args.questions)
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("the sample's questions are damaged")?;
    let frame = Frame::new(&loaded.model)?;
    let (device, model) = (&loaded.device, &loaded.transformer);
    let options = || loaded.session_options(app, None);
    let room = question_room(model.config.context);
    let mut nothing = Reader::new(
        device,
        model,
        frame.clone(),
        None,
        room,
        options(),
        &mut |_, _| {},
    )?;
    let bar = app.counter("reading", segment.ids.len() as u64, "tokens");
    let ids = Some(&segment.ids[..]);
    let mut reader = Reader::new(
        device,
        model,
        frame,
        ids,
        room,
        options(),
        &mut |done, _| {
            bar.set_position(done as u64);
        },
    )?;
    bar.finish_and_clear();
    for q in &questions {
        outln!("\nquestion {}\nexpected {}\n", q.question, q.answer);
        let without = answer(args, &mut nothing, q)?;
        reader.hold(Some(memory))?;
        let with_memory = answer(args, &mut reader, q)?;
        reader.hold(None)?;
        let full = answer(args, &mut reader, q)?;
        let columns = [
            ("no document".to_owned(), without),
            ("memory".to_owned(), with_memory),
            ("full document".to_owned(), full),
        ];
        side_by_side(&columns)
            .iter()
            .for_each(|line| outln!("{line}"));
    }
    Ok(())
}

/// An answer, with how likely the right one was and how long it took.
fn answer(args: &Args, reader: &mut Reader<'_>, q: &Question) -> Result<String> {
    let options = GenerateOptions {
        sample: SampleOptions {
            temperature: 0.0,
            ..SampleOptions::default()
        },
        max_tokens: args.max_tokens,
        stop: vec!["\n".to_owned()],
    };
    let started = Instant::now();
    let made = reader.ask(&q.question, &options, &mut |_| {})?;
    let seconds = started.elapsed().as_secs_f64();
    let right = mean(&reader.score_text(&q.question, &q.answer)?).unwrap_or(0.0);
    let text = made.text.trim();
    Ok(format!(
        "{text}\n\nexpected: log P {right:.2} a token\n{seconds:.1} s"
    ))
}
