//! `inscribe ask`: questions to a memory.

use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use inscribe::Remembered;
use inscribe::memory::Memory;
use inscribe::model::generate::GenerateOptions;
use inscribe::model::sample::SampleOptions;
use inscribe::write::asker::Answer;
use inscribe::write::reader::View;
use inscribe::write::record::read_run;

use super::answering::{self, Manner, Score, cut_short, title};
use super::numbers;
use super::out::{outln, stranger};
use super::setup;
use super::suggest::{Larger, Written};
use super::{Context, columns::side_by_side, errors, print_json};

const EXAMPLES: &str = "\
Examples:
  inscribe ask --memory sample.memory \"What is the name of the house's boat?\"
  inscribe ask --memory sample.memory                 ask one question after another
  inscribe ask --memory sample.memory --compare \"Who corrected the tables of 1963?\"
  inscribe ask --memory sample.memory --questions assets/sample-questions.jsonl

A line of a questions file: {\"question\": \"Who founded it?\", \"answer\": \"Tamsin Vane\"}; the answer may
be left out. `inscribe write assets/sample.md --out sample.memory` writes the memory.";

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
    /// Ask the questions of a file, a JSON object a line, and count the right answers
    #[arg(long, value_name = "FILE", conflicts_with = "question")]
    questions: Option<PathBuf>,
    /// The model it was written for, where it is not found by itself: a known name, a .gguf file,
    /// a model folder or a hub id
    #[arg(long, short)]
    model: Option<String>,
    /// Answer with no document, with the memory and with the full document, side by side
    #[arg(long)]
    compare: bool,
    /// Tokens to write at most
    #[arg(long, default_value_t = 128, value_name = "N", value_parser = numbers::whole::<usize>)]
    max_tokens: usize,
    /// 0 always takes the likeliest token
    #[arg(long, default_value_t = 0.0, value_name = "T", value_parser = numbers::number::<f32>)]
    temperature: f32,
    /// The same seed gives the same answer
    #[arg(long, default_value_t = 0, value_parser = numbers::whole::<u64>)]
    seed: u64,
    /// Above 1 makes tokens of the last 64 less likely to come again
    #[arg(long, default_value_t = 1.0, value_name = "R", value_parser = numbers::number::<f32>)]
    repetition_penalty: f32,
    /// End the answer where this text appears; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Instructions that come before the question, after the document
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Let an answer go on that goes round in circles
    #[arg(long)]
    keep_loops: bool,
    /// Print a JSON object a question, each on a line of its own
    #[arg(long)]
    json: bool,
}

/// A question of a file, with the answer it should get, where that is known.
#[derive(Deserialize)]
struct Line {
    question: String,
    answer: Option<String>,
}

/// A memory opened on its model, ready for questions.
struct Conversation<'a> {
    args: &'a Args,
    app: &'a Context,
    memory: Remembered,
    /// Notes on the memory's files that were said already.
    said: usize,
    score: Score,
}

pub fn run(args: &Args, app: &Context) -> Result<()> {
    if !(args.temperature >= 0.0 && args.temperature.is_finite()) {
        bail!("--temperature must be 0 or more, not {}", args.temperature);
    }
    if args.question.as_ref().is_some_and(|q| q.trim().is_empty()) {
        bail!("the question is empty");
    }
    if !(args.repetition_penalty > 0.0 && args.repetition_penalty.is_finite()) {
        bail!(
            "--repetition-penalty must be above 0, not {}",
            args.repetition_penalty
        );
    }
    if args.stop.iter().any(String::is_empty) {
        bail!("--stop must be some text, not an empty one");
    }
    let questions = args.questions.as_deref().map(read_questions).transpose()?;
    let memory = Memory::open(&args.memory)?;
    let model = setup::model_of(&memory, args.model.as_deref())?;
    let converses = args.question.is_none() && io::stderr().is_terminal();
    let larger = converses.then(|| Larger::look(&model, app));
    let loaded = setup::load_silently(&model, app)?;
    if let Some(larger) = larger {
        // Another device's run tells nothing of this one.
        let run = read_run(&args.memory).ok();
        let run = run.filter(|run| run.device == loaded.device.name());
        larger.tell(&loaded, run.as_ref().and_then(Written::of), app);
    }
    let mut conversation = Conversation {
        args,
        app,
        memory: loaded.inscriber.remembered(&args.memory)?,
        said: 0,
        score: Score::default(),
    };
    for note in memory.changed() {
        app.note(&format!("note: {note}; answers do not depend on it"));
    }
    conversation.say_notes();
    match (&args.question, questions) {
        (Some(question), _) => conversation.answer(question, None),
        (None, Some(questions)) => conversation.answer_all(&questions),
        (None, None) => conversation.converse(app),
    }
}

fn read_questions(path: &Path) -> Result<Vec<Line>> {
    let text = setup::read_utf8(path)?;
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let questions = lines.map(|(at, line)| {
        let place = format!("{}, line {}", path.display(), at + 1);
        let read: Line = serde_json::from_str(line)
            .with_context(|| format!("{place}: not {{\"question\": ..., \"answer\": ...}}"))?;
        if read.question.trim().is_empty() {
            bail!("{place}: the question is empty");
        }
        Ok(read)
    });
    let questions = questions.collect::<Result<Vec<_>>>()?;
    if questions.is_empty() {
        bail!("{}: no questions in it", path.display());
    }
    Ok(questions)
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
                repetition_penalty: self.args.repetition_penalty,
                ..SampleOptions::default()
            },
            max_tokens: self.args.max_tokens,
            stop: self.args.stop.clone(),
            cut_loops: !self.args.keep_loops,
        }
    }

    /// Answers one question of several, so that the answers can be told apart.
    fn answer_next(&mut self, question: &str, expected: Option<&str>) -> Result<()> {
        if !self.args.json {
            outln!("? {}", stranger(question.trim()));
        }
        self.answer(question, expected)?;
        if !self.args.json {
            outln!("");
        }
        Ok(())
    }

    fn answer_all(&mut self, questions: &[Line]) -> Result<()> {
        for line in questions {
            self.answer_next(&line.question, line.answer.as_deref())?;
        }
        if self.score.asked == 0 {
            return Ok(());
        }
        if self.args.json {
            let right = self.score.right().iter();
            let right: Vec<_> = right
                .map(|(view, right)| json!({"view": view, "right": right}))
                .collect();
            return print_json(&json!({"asked": self.score.asked, "score": right}));
        }
        outln!(
            "right (the expected words are in the answer): {}",
            self.score.words()
        );
        Ok(())
    }

    fn answer(&mut self, question: &str, expected: Option<&str>) -> Result<()> {
        let options = self.options();
        let manner = Manner {
            options: &options,
            instructions: self.args.system.as_deref().unwrap_or_default(),
            streams: !self.args.compare && !self.args.json,
        };
        let mut answers = Vec::new();
        for &view in self.views() {
            let answer = answering::ask(&self.memory, view, question, &manner, self.app)?;
            answers.push(answer);
        }
        let right = expected.map(|expected| self.score.count(&answers, expected));
        if self.args.json {
            print_json(&as_json(question, expected, &answers, right.as_deref()))?;
        } else {
            self.print(expected, &answers);
        }
        self.say_notes();
        // The answer is what was asked for; that it cannot be kept is worth a word.
        if let Err(error) = self.remember(question, &answers) {
            self.app
                .note(&format!("note: not added to the history: {error:#}"));
        }
        Ok(())
    }

    fn print(&self, expected: Option<&str>, answers: &[Answer]) {
        let parts = self.memory.parts();
        if self.args.compare {
            let columns: Vec<(String, String)> = answers.iter().map(column).collect();
            let lines = side_by_side(&columns);
            lines.iter().for_each(|line| outln!("{line}"));
        } else {
            outln!("");
        }
        if let Some(expected) = expected {
            outln!("expected: {}", stranger(expected));
        }
        let named = answers.iter().find(|a| a.view == View::Memory);
        if let Some(answer) = named.filter(|_| parts > 1) {
            self.app
                .note(&format!("(from part {} of {parts})", answer.segment + 1));
        }
        let cut = named.filter(|_| !self.args.compare).and_then(cut_short);
        if let Some(cut) = cut {
            self.app.note(&format!("({cut})"));
        }
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
                self.answer_next(question, None)?;
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
                    if let Err(error) = self.answer(&line, None) {
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

/// An answer with what stands below it.
fn column(answer: &Answer) -> (String, String) {
    let logprob = answer.logprob();
    let logprob = logprob.map_or("-".to_owned(), |l| format!("{l:.3}"));
    let mut foot = format!("log P {logprob} a token, {:.1} s", answer.seconds);
    if let Some(cut) = cut_short(answer) {
        foot += &format!("; {cut}");
    }
    let text = format!("{}\n\n{foot}", stranger(&answer.text));
    (title(answer.view).to_owned(), text)
}

fn as_json(
    question: &str,
    expected: Option<&str>,
    answers: &[Answer],
    right: Option<&[bool]>,
) -> Value {
    let list = answers.iter().enumerate().map(|(at, a)| {
        let mut object = json!({
            "view": a.view,
            "answer": a.text,
            "ended": a.ended,
            "logprob": a.logprob(),
            "seconds": a.seconds,
            "part": a.segment + 1,
        });
        if let Some(right) = right.and_then(|right| right.get(at)) {
            object["right"] = json!(right);
        }
        object
    });
    let mut object = json!({"question": question, "answers": list.collect::<Vec<_>>()});
    if let Some(expected) = expected {
        object["expected"] = json!(expected);
    }
    object
}
