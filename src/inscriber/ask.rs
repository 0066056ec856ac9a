//! Asking a memory.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::{Error, Inscriber};
use crate::memory::Memory;
use crate::memory::store::Asked;
use crate::model::generate::GenerateOptions;
use crate::model::session::SessionOptions;
use crate::write::asker::{Answer, Asker};
use crate::write::prompt::Query;
use crate::write::reader::View;

/// Tokens of an answer at most, where nothing else is asked for.
const ANSWER_TOKENS: usize = 128;

/// A memory with the model that it was written for, ready for questions. Clones share it, and the
/// parts of the document that were read for questions.
#[derive(Clone)]
pub struct Remembered(Arc<Shared>);

struct Shared {
    inscriber: Inscriber,
    memory: Memory,
    asker: Mutex<Asker>,
    /// The folder of a memory that is kept nowhere; it is deleted with the last clone.
    _passing: Option<TempDir>,
}

impl Remembered {
    pub(super) fn open(inscriber: &Inscriber, folder: &Path) -> Result<Remembered, Error> {
        Remembered::of_run(inscriber, folder, None)
    }

    pub(super) fn of_run(
        inscriber: &Inscriber,
        folder: &Path,
        passing: Option<TempDir>,
    ) -> Result<Remembered, Error> {
        let memory = Memory::open(folder)?;
        memory.check_model(&inscriber.stored_model())?;
        let options = SessionOptions::stopped_by(inscriber.cancel());
        let asker = Asker::new(inscriber.loaded(), options, &memory)?;
        Ok(Remembered(Arc::new(Shared {
            inscriber: inscriber.clone(),
            memory,
            asker: Mutex::new(asker),
            _passing: passing,
        })))
    }

    /// Its folder, its description and its history.
    pub fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// The model that it is asked with.
    pub fn inscriber(&self) -> &Inscriber {
        &self.0.inscriber
    }

    /// The parts that the document was written in.
    pub fn parts(&self) -> usize {
        self.asker().parts()
    }

    /// What was missing or damaged in the memory's folder and is made again when it is needed, one
    /// sentence each.
    pub fn notes(&self) -> Vec<String> {
        self.asker().notes().to_vec()
    }

    /// Answers with the likeliest words.
    pub fn ask(&self, question: &str) -> Result<Answer, Error> {
        self.asking(question).run()
    }

    /// Prepares a question; [`Asking::run`] asks it.
    pub fn asking<'a>(&'a self, question: &'a str) -> Asking<'a> {
        Asking {
            memory: self,
            question,
            view: View::Memory,
            instructions: "",
            options: GenerateOptions {
                cut_loops: true,
                ..GenerateOptions::greedy(ANSWER_TOKENS)
            },
            on_read: None,
            on_text: None,
        }
    }

    /// `log P` of each token of an answer in a view, of the given part of the document.
    pub fn score(
        &self,
        view: View,
        part: usize,
        question: &str,
        answer: &[u32],
        on_read: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<f64>, Error> {
        let mut asker = self.asker();
        Ok(asker.score(view, part, question, answer, on_read)?)
    }

    /// As [`Remembered::score`], for an answer as text.
    pub fn score_text(
        &self,
        view: View,
        part: usize,
        question: &str,
        answer: &str,
    ) -> Result<Vec<f64>, Error> {
        Ok(self.asker().score_text(view, part, question, answer)?)
    }

    /// Adds an answer of the memory to its history.
    pub fn remember(&self, question: &str, answer: &Answer) -> Result<(), Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(self.0.memory.remember(&Asked {
            question: question.to_owned(),
            answer: answer.text.clone(),
            log_prob: answer.logprob(),
            seconds: answer.seconds,
            unix_secs: now.map_or(0, |d| d.as_secs()),
            cut: answer.is_cut(),
        })?)
    }

    fn asker(&self) -> MutexGuard<'_, Asker> {
        // A question that panicked has left readers that are truncated before the next one.
        self.0.asker.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// A question about to be asked.
pub struct Asking<'a> {
    memory: &'a Remembered,
    question: &'a str,
    instructions: &'a str,
    view: View,
    options: GenerateOptions,
    on_read: Option<&'a mut dyn FnMut(usize, usize)>,
    on_text: Option<&'a mut dyn FnMut(&str)>,
}

impl<'a> Asking<'a> {
    /// Chooses what the model reads before the question; by default, the memory.
    pub fn view(mut self, view: View) -> Self {
        self.view = view;
        self
    }

    /// Says how to answer, in words that stand before the question and after the document.
    pub fn instructions(mut self, instructions: &'a str) -> Self {
        self.instructions = instructions;
        self
    }

    /// Sets how the words of the answer are chosen, how many there may be, which texts end it, and
    /// whether one that goes round in circles is cut, as it is where nothing is set.
    pub fn options(mut self, options: GenerateOptions) -> Self {
        self.options = options;
        self
    }

    /// Receives the progress of reading the document, where it is read first: tokens done, and
    /// tokens in all. It must not ask the same memory, which answers one question at a time.
    pub fn on_read(mut self, on_read: &'a mut dyn FnMut(usize, usize)) -> Self {
        self.on_read = Some(on_read);
        self
    }

    /// Receives the answer piece by piece. It must not ask the same memory, which answers one
    /// question at a time.
    pub fn on_text(mut self, on_text: &'a mut dyn FnMut(&str)) -> Self {
        self.on_text = Some(on_text);
        self
    }

    /// Asks. The history is the caller's: see [`Remembered::remember`].
    pub fn run(self) -> Result<Answer, Error> {
        let (mut unread, mut unheard) = (|_, _| {}, |_: &str| {});
        let on_read = self.on_read.unwrap_or(&mut unread);
        let on_text = self.on_text.unwrap_or(&mut unheard);
        let mut asker = self.memory.asker();
        let query = Query {
            question: self.question,
            instructions: self.instructions,
        };
        Ok(asker.ask(self.view, query, &self.options, on_read, on_text)?)
    }
}
