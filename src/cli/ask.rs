//! `inscribe ask`: questions to a memory.

use std::cell::RefCell;
use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use indicatif::ProgressBar;
use serde_json::json;

use inscribe::Remembered;
use inscribe::memory::Memory;
use inscribe::model::generate::GenerateOptions;
use inscribe::model::sample::SampleOptions;
use inscribe::write::asker::Answer;
use inscribe::write::reader::View;

use super::out::{outln, stranger};
use super::setup;
use super::{Context, columns::side_by_side, errors, print_json};

const EXAMPLES: &str = "\
Examples:
  inscribe ask --memory report.memory \"What did it cost?\"
  inscribe ask --memory report.memory                      ask one question after another
  inscribe ask --memory report.memory --compare \"What did it cost?\"";

/// Ask a question that a memory answers
///
/// A gdwm memory is read after its document's own keys and values, which lie beside it or, where they
/// were not kept, are made again when the first question is asked; lora and gradmem memories are read without the document. Without a
/// question it asks for one after another; the answers are kept in the memory's folder.
///
/// Of a document written in several parts, one answers: the one whose words fit the question best.
/// Keys and values of up to 2 GiB, or half of the free memory, stay for later questions; a part
/// that is not among them is read again.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Args {
    /// The memory's folder
    #[arg(long, value_name = "DIR")]
    memory: PathBuf,
    /// What to ask
    question: Option<String>,
    /// The model it was written for, where it is not found by itself: a known name, a .gguf file,
    /// a model folder or a hub id
    #[arg(long, short)]
    model: Option<String>,
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

/// A memory opened on its model, ready for questions.
struct Conversation<'a> {
    args: &'a Args,
    app: &'a Context,
    memory: Remembered,
    /// Notes on the memory's files that were said already.
    said: usize,
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    if !(args.temperature >= 0.0 && args.temperature.is_finite()) {
        bail!("--temperature must be 0 or more, not {}", args.temperature);
    }
    if args.question.as_ref().is_some_and(|q| q.trim().is_empty()) {
        bail!("the question is empty");
    }
    let memory = Memory::open(&args.memory)?;
    let model = setup::model_of(&memory, args.model.as_deref())?;
    let loaded = setup::load(&model, app)?;
    let mut conversation = Conversation {
        args,
        app,
        memory: loaded.inscriber.remembered(&args.memory)?,
        said: 0,
    };
    for note in memory.changed() {
        app.note(&format!("note: {note}; answers do not depend on it"));
    }
    conversation.say_notes();
    match &args.question {
        Some(question) => conversation.answer(question),
        None => conversation.converse(app),
    }
}

impl Conversation<'_> {
    fn views(&self) -> &'static [View] {
        if self.args.compare {
            &[View::Nothing, View::Memory, View::Document]
        } else {
            &[View::Memory]
        }
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
        for &view in self.views() {
            let bar = Bar::new(self.app);
            let mut on_read = |done, total| bar.show(done, total);
            let mut on_text = |piece: &str| {
                if streams {
                    setup::print_piece(piece);
                }
            };
            let asking = self.memory.asking(question).view(view);
            let asking = asking.options(options.clone());
            let asking = asking.on_read(&mut on_read).on_text(&mut on_text);
            answers.push(asking.run()?);
        }
        self.print(question, &answers)?;
        self.say_notes();
        // The answer is what was asked for; that it cannot be kept is worth a word.
        if let Err(error) = self.remember(question, &answers) {
            self.app
                .note(&format!("note: not added to the history: {error:#}"));
        }
        Ok(())
    }

    fn print(&self, question: &str, answers: &[Answer]) -> Result<()> {
        let parts = self.memory.parts();
        let named = answers.iter().find(|a| a.view == View::Memory);
        if let (Some(answer), true) = (named, parts > 1 && !self.args.json) {
            outln!("");
            self.app
                .note(&format!("(from part {} of {parts})", answer.segment + 1));
        }
        if self.args.json {
            let list: Vec<_> = answers
                .iter()
                .map(|a| {
                    json!({
                        "view": a.view,
                        "answer": a.text,
                        "logprob": a.logprob(),
                        "seconds": a.seconds,
                        "part": a.segment + 1,
                    })
                })
                .collect();
            return print_json(&json!({"question": question, "answers": list}));
        }
        if !self.args.compare {
            if parts == 1 {
                outln!("");
            }
            return Ok(());
        }
        let columns: Vec<(String, String)> = answers
            .iter()
            .map(|a| {
                let logprob = a.logprob().map_or("-".to_owned(), |l| format!("{l:.3}"));
                let title = match a.view {
                    View::Nothing => "no document",
                    View::Memory => "memory",
                    View::Document => "full document",
                };
                let foot = format!("log P {logprob} a token, {:.1} s", a.seconds);
                (title.to_owned(), format!("{}\n\n{foot}", stranger(&a.text)))
            })
            .collect();
        side_by_side(&columns)
            .iter()
            .for_each(|line| outln!("{line}"));
        Ok(())
    }

    /// Says what was found wrong with the memory's files and is made again.
    fn say_notes(&mut self) {
        let notes = self.memory.notes();
        for note in &notes[self.said..] {
            self.app
                .note(&format!("note: {note}; the document is read again"));
        }
        self.said = notes.len();
    }

    fn remember(&self, question: &str, answers: &[Answer]) -> Result<()> {
        if let Some(own) = answers.iter().find(|a| a.view == View::Memory) {
            self.memory.remember(question, own)?;
        }
        Ok(())
    }

    /// A question a line; what is no text in one does not keep the others from being asked.
    fn answer_lines(&mut self, mut lines: impl BufRead) -> Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = lines.read_until(b'\n', &mut line);
            if read.context("cannot read standard input")? == 0 {
                return Ok(());
            }
            let question = String::from_utf8_lossy(&line);
            let question = question.trim_end_matches(['\n', '\r']);
            if !question.trim().is_empty() {
                self.answer(question)?;
            }
        }
    }

    /// One question after another, from a prompt or from the lines of a pipe.
    fn converse(&mut self, app: &Context) -> Result<()> {
        if !io::stdin().is_terminal() {
            return self.answer_lines(io::stdin().lock());
        }
        let mut editor = rustyline::DefaultEditor::new().context("cannot open the terminal")?;
        for asked in self.memory.memory().history().unwrap_or_default() {
            let _ = editor.add_history_entry(asked.question);
        }
        app.note("Ask about the document; an empty line or Ctrl-D ends.");
        loop {
            match editor.readline("? ") {
                Ok(line) if line.trim().is_empty() => return Ok(()),
                Ok(line) => {
                    let _ = editor.add_history_entry(line.as_str());
                    // One question that fails, or is broken off, does not end the talk.
                    if let Err(error) = self.answer(&line) {
                        outln!("");
                        errors::report(&error);
                        app.cancel.reset();
                    }
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

/// Shows how far a document is that is read before the first question.
pub struct Bar<'a> {
    app: &'a Context,
    bar: RefCell<Option<ProgressBar>>,
}

impl Bar<'_> {
    pub fn new(app: &Context) -> Bar<'_> {
        Bar {
            app,
            bar: RefCell::new(None),
        }
    }

    pub fn show(&self, done: usize, total: usize) {
        let mut bar = self.bar.borrow_mut();
        let label = "reading the document";
        bar.get_or_insert_with(|| self.app.counter(label, total as u64, "tokens"))
            .set_position(done as u64);
        if done >= total
            && let Some(bar) = bar.take()
        {
            bar.finish_and_clear();
        }
    }
}
