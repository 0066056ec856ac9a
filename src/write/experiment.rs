//! Methods and baselines side by side: the same document, budget and questions, several seeds.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::error::WriteError;
use super::event::{ChunkUtility, Evaluated, Event, PhaseSeconds, When};
use super::learner::Segment;
use super::prompt::Prompt;
use super::reader::{Reader, question_room};
use super::settings::{Allocate, KeepRows, WriteSettings};
use super::statistics::{exact_match, token_f1};
use super::utility::mean;
use super::variance::GradientVariance;
use super::writer::{Job, Keeper, ReadBefore, variance, write_again};
use crate::engine::CancelToken;
use crate::memory::Content;
use crate::model::ModelError;
use crate::model::generate::GenerateOptions;
use crate::model::sample::SampleOptions;
use crate::model::session::SessionOptions;

/// Tokens of an answer at most.
const ANSWER_TOKENS: usize = 48;

/// A question about the document, with the answer it should get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The question as it is asked.
    pub question: String,
    /// The right answer.
    pub answer: String,
}

/// One way to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Name of the arm in tables and files.
    pub name: String,
    /// How the arm writes; its seed is replaced by that of each run.
    pub settings: WriteSettings,
}

/// What one run of an arm came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Name of the arm.
    pub arm: String,
    /// Seed of the run.
    pub seed: u64,
    /// Gradient steps taken.
    pub steps: usize,
    /// Mean loss over the document's tokens before any step, in nats.
    pub loss_before: f64,
    /// Mean loss over the document's tokens after the last step, in nats.
    pub loss_after: f64,
    /// Mean loss before any step over the tokens that no step learned from; `None` where there are
    /// none.
    pub held_out_before: Option<f64>,
    /// Mean loss after the last step over the tokens that no step learned from.
    pub held_out_after: Option<f64>,
    /// The held-out loss before any step in the half of the chunks with the highest utility.
    pub high_before: Option<f64>,
    /// The held-out loss after the last step in the half of the chunks with the highest utility.
    pub high_after: Option<f64>,
    /// How the memory answers the questions; `None` without questions.
    pub answers: Option<Answers>,
    /// Where the writing time went, in seconds.
    pub seconds: PhaseSeconds,
    /// Seconds that answering took.
    pub answer_seconds: f64,
}

/// How a memory answers the questions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// Mean over the questions of the log-probability in nats of a token of the right answer.
    pub logprob: f64,
    /// Share of the written answers that are right, 0 to 1; `None` where none were written.
    pub exact: Option<f64>,
    /// Mean overlap of words of the written answers with the right ones (F1 as SQuAD counts), 0 to
    /// 1.
    pub f1: Option<f64>,
}

/// Chunks that count as of high utility: the upper half, at least one.
pub fn high_chunks(chunks: &[ChunkUtility]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..chunks.len()).collect();
    order.sort_by(|&a, &b| chunks[b].utility.total_cmp(&chunks[a].utility));
    order.truncate(chunks.len().div_ceil(2));
    order
}

/// Collects what a run reports.
#[derive(Default)]
struct RunLosses {
    chunks: Vec<ChunkUtility>,
    full: Vec<Option<f32>>,
    before: Option<Evaluated>,
    after: Option<Evaluated>,
    steps: usize,
    memory: Option<(Segment, Vec<Content>)>,
}

impl Keeper for RunLosses {
    fn event(&mut self, event: &Event) -> Result<(), WriteError> {
        match event {
            Event::Prefilled { surprisal, .. } => self.full = surprisal.clone(),
            Event::Utility { chunks, .. } => self.chunks = chunks.clone(),
            Event::Evaluated(e) if e.when == When::Before => self.before = Some(e.clone()),
            Event::Evaluated(e) => self.after = Some(e.clone()),
            Event::Step(step) => self.steps = step.step,
            _ => {}
        }
        Ok(())
    }

    fn memory(&mut self, segment: &Segment, memory: &[Content]) -> Result<(), WriteError> {
        self.memory = Some((segment.clone(), memory.to_vec()));
        Ok(())
    }
}

/// A document under study, read once.
pub struct Study<'a> {
    job: Job<'a>,
    questions: &'a [Question],
    /// Whether answers are written and compared with the right ones, which takes longest.
    generate: bool,
    known: ReadBefore,
    /// Utilities of the chunks, by the local pass of the first settings.
    utilities: Vec<ChunkUtility>,
    with_document: Option<Reader>,
    cancel: &'a CancelToken,
}

impl<'a> Study<'a> {
    /// `job` gives the document, the model and the settings of the local pass; `generate` says
    /// whether answers are written.
    pub fn new(
        job: Job<'a>,
        questions: &'a [Question],
        generate: bool,
        cancel: &'a CancelToken,
    ) -> Study<'a> {
        Study {
            job,
            questions,
            generate,
            known: ReadBefore::default(),
            utilities: Vec::new(),
            with_document: None,
            cancel,
        }
    }

    /// Measures the utilities once, with no step taken.
    pub fn utilities(&mut self) -> Result<&[ChunkUtility], WriteError> {
        if self.utilities.is_empty() {
            let settings = WriteSettings {
                budget: 0,
                evaluate: false,
                // Measured whatever the first arm shares out by.
                allocate: Allocate::Utility,
                ..self.job.settings.clone()
            };
            let job = Job {
                settings: &settings,
                ..self.job
            };
            let mut collector = RunLosses::default();
            write_again(&job, &mut collector, self.cancel, &mut self.known)?;
            self.utilities = collector.chunks;
        }
        Ok(&self.utilities)
    }

    /// Writes with one arm and one seed, and measures what came of it.
    pub fn run(&mut self, arm: &Arm, seed: u64) -> Result<Outcome, WriteError> {
        let high = high_chunks(self.utilities()?);
        let settings = WriteSettings {
            seed,
            keep_rows: KeepRows::No,
            ..arm.settings.clone()
        };
        let job = Job {
            settings: &settings,
            ..self.job
        };
        let mut run = RunLosses::default();
        let done = write_again(&job, &mut run, self.cancel, &mut self.known)?;
        let started = Instant::now();
        let answers = self.answers(&settings, &run)?;
        let losses = Losses::of(&run, &self.utilities, &high);
        Ok(Outcome {
            arm: arm.name.clone(),
            seed,
            steps: run.steps,
            loss_before: losses.all.0.unwrap_or(0.0),
            loss_after: losses.all.1.unwrap_or(0.0),
            held_out_before: losses.held_out.0,
            held_out_after: losses.held_out.1,
            high_before: losses.high.0,
            high_after: losses.high.1,
            answers,
            seconds: done.seconds,
            answer_seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// How a step's gradient varies within chunks and between them, before any step, by the
    /// matrices and batches of one seed.
    pub fn variance(&mut self, draws: usize, seed: u64) -> Result<GradientVariance, WriteError> {
        let settings = WriteSettings {
            seed,
            ..self.job.settings.clone()
        };
        let job = Job {
            settings: &settings,
            ..self.job
        };
        let mut collector = RunLosses::default();
        variance(&job, &mut collector, self.cancel, &mut self.known, draws)
    }

    fn answers(
        &mut self,
        settings: &WriteSettings,
        run: &RunLosses,
    ) -> Result<Option<Answers>, WriteError> {
        let Some((segment, memory)) = &run.memory else {
            return Ok(None);
        };
        if self.questions.is_empty() {
            return Ok(None);
        }
        let (questions, generate) = (self.questions, self.generate);
        if settings.method.reads_document() {
            let reader = self.with_document(&segment.ids)?;
            reader.hold(memory)?;
            let answers = answer_all(reader, questions, generate);
            reader.hold(&[])?;
            return Ok(Some(answers?));
        }
        let options = SessionOptions::stopped_by(self.cancel);
        let mut reader = Reader::of_memory(self.job.loaded, memory, self.room()?, options)?;
        Ok(Some(answer_all(&mut reader, questions, generate)?))
    }

    /// The reader that has the document before it, and no memory.
    fn with_document(&mut self, ids: &[u32]) -> Result<&mut Reader, WriteError> {
        let reader = match self.with_document.take() {
            Some(reader) => reader,
            None => self.reader(Some(ids))?,
        };
        Ok(self.with_document.insert(reader))
    }

    fn reader(&self, ids: Option<&[u32]>) -> Result<Reader, WriteError> {
        let options = SessionOptions::stopped_by(self.cancel);
        Reader::new(
            self.job.loaded,
            ids,
            None,
            self.room()?,
            options,
            &mut |_, _| {},
        )
    }

    /// Positions that the longest question and its answer need.
    fn room(&self) -> Result<usize, WriteError> {
        let frame = Prompt::new(&self.job.loaded.model)?;
        let mut room = question_room(self.job.loaded.config().context);
        for q in self.questions {
            let longest = frame.question(&q.question)?.len();
            let longest = longest.max(frame.bare_question(&q.question)?.len());
            let answer = frame.answer(&q.answer)?.len().max(ANSWER_TOKENS);
            room = room.max(longest + answer + 1);
        }
        Ok(room)
    }

    /// The answers without the document, and with the document itself and no memory: between them
    /// lie those of a memory.
    pub fn bounds(&mut self, ids: &[u32]) -> Result<(Answers, Answers), WriteError> {
        let (questions, generate) = (self.questions, self.generate);
        let mut nothing = self.reader(None)?;
        let without = answer_all(&mut nothing, questions, generate)?;
        drop(nothing);
        let with = answer_all(self.with_document(ids)?, questions, generate)?;
        Ok((without, with))
    }
}

fn answer_all(
    reader: &mut Reader,
    questions: &[Question],
    generate: bool,
) -> Result<Answers, WriteError> {
    let (mut logprobs, mut exact, mut f1) = (Vec::new(), Vec::new(), Vec::new());
    let options = GenerateOptions {
        sample: SampleOptions {
            temperature: 0.0,
            ..SampleOptions::default()
        },
        max_tokens: ANSWER_TOKENS,
        stop: vec!["\n".to_owned()],
        cut_loops: false,
    };
    for (number, q) in questions.iter().enumerate() {
        let scores = reader.score_text(&q.question, &q.answer);
        let scores = scores.map_err(|error| about_question(number + 1, error))?;
        logprobs.push(mean(scores.into_iter()).unwrap_or(0.0));
        if generate {
            let made = reader.ask(&q.question, &options, &mut |_| {})?;
            let right = std::slice::from_ref(&q.answer);
            exact.push(f64::from(exact_match(&made.text, right)));
            f1.push(token_f1(&made.text, right));
        }
    }
    Ok(Answers {
        logprob: mean(logprobs.into_iter()).unwrap_or(0.0),
        exact: mean(exact.into_iter()),
        f1: mean(f1.into_iter()),
    })
}

/// Says which question does not fit.
fn about_question(number: usize, error: WriteError) -> WriteError {
    match error {
        WriteError::Model(ModelError::ContextExceeded { .. }) => {
            let error = Box::new(error);
            WriteError::Question { number, error }
        }
        other => other,
    }
}

/// Mean losses before and after.
struct Losses {
    all: (Option<f64>, Option<f64>),
    held_out: (Option<f64>, Option<f64>),
    high: (Option<f64>, Option<f64>),
}

impl Losses {
    fn of(run: &RunLosses, utilities: &[ChunkUtility], high: &[usize]) -> Losses {
        let held_out = |token: usize| match &run.memory {
            Some((segment, _)) => segment.holds_out(token),
            None => false,
        };
        let is_high = |token: usize| high.iter().any(|&c| utilities[c].tokens.contains(&token));
        let before = run.before.as_ref().map_or(&run.full, |e| &e.surprisal);
        let after = run.after.as_ref().map(|e| &e.surprisal);
        let pick = |keep: &dyn Fn(usize) -> bool| {
            let of = |values: &Vec<Option<f32>>| {
                let kept = values.iter().enumerate().filter(|(t, _)| keep(*t));
                mean(kept.filter_map(|(_, v)| *v).map(f64::from))
            };
            (of(before), after.and_then(of))
        };
        Losses {
            all: pick(&|_| true),
            held_out: pick(&held_out),
            high: pick(&|token| held_out(token) && is_high(token)),
        }
    }
}
