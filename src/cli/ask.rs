//! `inscribe ask`: questions to a memory.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use inscribe::memory::store::{Asked, StoredModel};
use inscribe::memory::{Content, Memory, fingerprint};
use inscribe::model::generate::GenerateOptions;
use inscribe::model::sample::SampleOptions;
use inscribe::write::frame::Frame;
use inscribe::write::reader::{Reader, View, needs_document};
use inscribe::write::settings::WriteSettings;

use super::out::outln;
use super::setup::{self, Loaded};
use super::{Context, columns::side_by_side, print_json};

const EXAMPLES: &str = "\
Examples:
  inscribe ask --memory report.memory \"What did it cost?\"
  inscribe ask --memory report.memory                      ask one question after another
  inscribe ask --memory report.memory --compare \"What did it cost?\"";

/// Ask a question that a memory answers
///
/// A gdwm memory is read after its document's own keys and values, which are made anew when the
/// memory is opened; lora and gradmem memories are read without the document. Without a question
/// it asks for one after another; the answers are kept in the memory's folder.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The memory's folder
    #[arg(long, value_name = "DIR")]
    memory: PathBuf,
    /// What to ask
    question: Option<String>,
    /// The model it was written for: a known name, a .gguf file, a model folder or a hub id
    #[arg(long, short, default_value = setup::DEFAULT_MODEL)]
    model: String,
    /// Answer with no document, with the memory and with the full document, side by side
    #[arg(long)]
    compare: bool,
    /// Tokens to write at most
    #[arg(long, default_value_t = 128, value_name = "N")]
    max_tokens: usize,
    /// 0 always takes the likeliest token
    #[arg(long, default_value_t = 0.0, value_name = "T")]
    temperature: f32,
    /// The same seed gives the same answer
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Positions for a question beside its answer.
const QUESTION_ROOM: usize = 384;

/// An answer in one view.
struct Answered {
    view: View,
    text: String,
    /// Mean over its own tokens.
    logprob: Option<f64>,
    seconds: f64,
}

/// A memory opened on its model, ready for questions.
struct Asker<'a> {
    args: &'a Args,
    memory: &'a Memory,
    /// The readers of each view; of the memory's, one a segment.
    readers: Vec<(View, Vec<Reader<'a>>)>,
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    if !(args.temperature >= 0.0 && args.temperature.is_finite()) {
        bail!("--temperature must be 0 or more, not {}", args.temperature);
    }
    if args.question.as_ref().is_some_and(|q| q.trim().is_empty()) {
        bail!("the question is empty");
    }
    let memory = Memory::open(&args.memory)?;
    let loaded = setup::load(&args.model, app)?;
    let print = fingerprint(&loaded.model.file)?;
    memory.check_model(&StoredModel::new(
        &loaded.model.name,
        &print,
        &loaded.model.config,
    ))?;
    let mut asker = Asker::new(args, app, &loaded, &memory)?;
    match &args.question {
        Some(question) => asker.answer(question),
        None => asker.converse(app),
    }
}

impl<'a> Asker<'a> {
    fn new(
        args: &'a Args,
        app: &'a Context,
        loaded: &'a Loaded,
        memory: &'a Memory,
    ) -> Result<Asker<'a>> {
        let settings: WriteSettings = memory.settings()?;
        let views: &[View] = match args.compare {
            true => &[View::Nothing, View::Memory, View::Document],
            false => &[View::Memory],
        };
        let with_document = needs_document(settings.method);
        let mut readers = Vec::new();
        for &view in views {
            let count = match view {
                View::Nothing => 1,
                _ => memory.file.segments.len(),
            };
            let of_view = (0..count).map(|segment| {
                let content = memory.load(segment, &loaded.model.config)?;
                let reads = view == View::Document || (view == View::Memory && with_document);
                let ids = reads
                    .then(|| segment_ids(loaded, memory, segment))
                    .transpose()?;
                let held = (view == View::Memory).then_some(&content);
                reader(args, app, loaded, ids, held)
            });
            readers.push((view, of_view.collect::<Result<Vec<_>>>()?));
        }
        Ok(Asker {
            args,
            memory,
            readers,
        })
    }

    fn options(&self) -> GenerateOptions {
        GenerateOptions {
            sample: SampleOptions {
                temperature: self.args.temperature,
                seed: self.args.seed,
                ..SampleOptions::default()
            },
            max_tokens: self.args.max_tokens,
            stop: Vec::new(),
        }
    }

    fn answer(&mut self, question: &str) -> Result<()> {
        let options = self.options();
        let streams = !self.args.compare && !self.args.json;
        let mut answers = Vec::new();
        for (view, readers) in &mut self.readers {
            let reader = likeliest(readers, question)?;
            let started = Instant::now();
            let made = reader.ask(question, &options, &mut |piece| {
                if streams {
                    setup::print_piece(piece);
                }
            })?;
            let seconds = started.elapsed().as_secs_f64();
            let scores = reader.score(question, &made.ids)?;
            answers.push(Answered {
                view: *view,
                text: made.text.trim().to_owned(),
                logprob: inscribe::write::statistics::mean(&scores),
                seconds,
            });
        }
        self.print(question, &answers)?;
        self.remember(question, &answers)
    }

    fn print(&self, question: &str, answers: &[Answered]) -> Result<()> {
        if self.args.json {
            let list: Vec<_> = answers
                .iter()
                .map(|a| {
                    json!({
                        "view": a.view,
                        "answer": a.text,
                        "logprob": a.logprob,
                        "seconds": a.seconds,
                    })
                })
                .collect();
            return print_json(&json!({"question": question, "answers": list}));
        }
        if !self.args.compare {
            outln!("");
            return Ok(());
        }
        let columns: Vec<(String, String)> = answers
            .iter()
            .map(|a| {
                let logprob = a.logprob.map_or("-".to_owned(), |l| format!("{l:.3}"));
                let title = match a.view {
                    View::Nothing => "no document",
                    View::Memory => "memory",
                    View::Document => "full document",
                };
                let foot = format!("log P {logprob} a token, {:.1} s", a.seconds);
                (title.to_owned(), format!("{}\n\n{foot}", a.text))
            })
            .collect();
        side_by_side(&columns)
            .iter()
            .for_each(|line| outln!("{line}"));
        Ok(())
    }

    fn remember(&self, question: &str, answers: &[Answered]) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let Some(own) = answers.iter().find(|a| a.view == View::Memory) else {
            return Ok(());
        };
        self.memory.remember(&Asked {
            question: question.to_owned(),
            answer: own.text.clone(),
            log_prob: own.logprob,
            seconds: own.seconds,
            unix_secs: now.map_or(0, |d| d.as_secs()),
        })?;
        Ok(())
    }

    /// One question after another, from a prompt or from the lines of a pipe.
    fn converse(&mut self, app: &Context) -> Result<()> {
        if !io::stdin().is_terminal() {
            for line in io::stdin().lines() {
                let line = line.context("cannot read standard input")?;
                if !line.trim().is_empty() {
                    self.answer(&line)?;
                }
            }
            return Ok(());
        }
        let mut editor = rustyline::DefaultEditor::new().context("cannot open the terminal")?;
        for asked in self.memory.history().unwrap_or_default() {
            let _ = editor.add_history_entry(asked.question);
        }
        app.note("Ask about the document; an empty line or Ctrl-D ends.");
        loop {
            match editor.readline("? ") {
                Ok(line) if line.trim().is_empty() => return Ok(()),
                Ok(line) => {
                    let _ = editor.add_history_entry(line.as_str());
                    self.answer(&line)?;
                }
                Err(
                    rustyline::error::ReadlineError::Eof
                    | rustyline::error::ReadlineError::Interrupted,
                ) => return Ok(()),
                Err(error) => return Err(error).context("cannot read the question"),
            }
        }
    }
}

/// The tokens of a segment with what opens them, as they were written.
fn segment_ids(loaded: &Loaded, memory: &Memory, segment: usize) -> Result<Vec<u32>> {
    let tokens = memory.tokens()?;
    let range = memory.file.segments[segment].tokens.clone();
    let lead = Frame::new(&loaded.model)?.lead;
    Ok([&lead[..], &tokens[range]].concat())
}

fn reader<'a>(
    args: &Args,
    app: &'a Context,
    loaded: &'a Loaded,
    document: Option<Vec<u32>>,
    memory: Option<&Content>,
) -> Result<Reader<'a>> {
    let room = QUESTION_ROOM + args.max_tokens;
    let options = loaded.session_options(app, None);
    let frame = Frame::new(&loaded.model)?;
    let (device, model) = (&loaded.device, &loaded.transformer);
    let Some(document) = document else {
        return Ok(match memory {
            Some(memory) => Reader::of_memory(device, model, frame, memory, room, options)?,
            None => Reader::new(device, model, frame, None, room, options, &mut |_, _| {})?,
        });
    };
    let bar = app.counter("reading the document", document.len() as u64, "tokens");
    let mut reader = Reader::new(
        device,
        model,
        frame,
        Some(&document),
        room,
        options,
        &mut |done, _| bar.set_position(done as u64),
    )?;
    bar.finish_and_clear();
    reader.hold(memory)?;
    Ok(reader)
}

/// Of several segments' readers the one to whom the question itself is likeliest.
fn likeliest<'r, 'm>(readers: &'r mut [Reader<'m>], question: &str) -> Result<&'r mut Reader<'m>> {
    let mut best = 0;
    if readers.len() > 1 {
        let mut highest = f64::NEG_INFINITY;
        for (i, reader) in readers.iter_mut().enumerate() {
            let likelihood = reader.likelihood(question)?;
            if likelihood > highest {
                (best, highest) = (i, likelihood);
            }
        }
    }
    readers.get_mut(best).context("the memory has no segments")
}
