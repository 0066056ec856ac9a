//! Asking a model about a document: with the document before it, with a memory of it, or with
//! nothing.

use super::error::WriteError;
use super::prompt::{Prompt, Query};
use crate::memory::Content;
use crate::model::generate::{GenerateOptions, Generated, generate};
use crate::model::loaded::Loaded;
use crate::model::session::{Session, SessionOptions};

/// Positions of a context kept free for a question and its answer; a tiny context keeps a quarter.
pub fn question_room(context: usize) -> usize {
    (context / 4).min(512)
}

/// Bytes of keys and values that are kept of a document's parts on a device with `free` bytes,
/// beside what the work needs.
pub fn kept_cache_bytes(free: Option<u64>) -> u64 {
    const MOST: u64 = 2 << 30;
    /// Where it is unknown what is free.
    const BLINDLY: u64 = 512 << 20;
    free.map_or(BLINDLY, |free| MOST.min(free / 2))
}

/// What the model reads before a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// The question alone.
    Nothing,
    /// The memory as its method reads it: with the document's keys and values, or in its place.
    Memory,
    /// The document itself.
    Document,
}

/// A model ready to be asked in one view.
pub struct Reader {
    frame: Prompt,
    session: Session,
    /// Positions of the document.
    document: usize,
    /// Positions of the context that come before every question.
    before: usize,
    /// Whether questions follow the document, in its words.
    after_document: bool,
}

impl Reader {
    /// A reader with room for `room` positions of question and answer. `document` holds the
    /// segment's tokens with what opens them; it is read where the view needs it, unless `kept`
    /// holds its keys and values.
    pub fn new(
        loaded: &Loaded,
        document: Option<&[u32]>,
        kept: Option<&Content>,
        room: usize,
        options: SessionOptions,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Reader, WriteError> {
        let document = document.unwrap_or_default();
        let context = loaded.config().context;
        let capacity = document.len().saturating_add(room).min(context);
        let mut session = Session::new(&loaded.device, &loaded.transformer, capacity, options)?;
        match kept {
            Some(kept) => kept.enter(&mut session)?,
            None if document.is_empty() => {}
            None => drop(session.prefill(document, progress)?),
        }
        Ok(Reader {
            frame: Prompt::new(&loaded.model)?,
            document: session.len(),
            before: session.len(),
            after_document: !document.is_empty(),
            session,
        })
    }

    /// A reader of a memory by itself, without its document.
    pub fn of_memory(
        loaded: &Loaded,
        memory: &[Content],
        room: usize,
        options: SessionOptions,
    ) -> Result<Reader, WriteError> {
        let taken: usize = memory.iter().map(|content| content.positions()).sum();
        let mut reader = Reader::new(loaded, None, None, room + taken, options, &mut |_, _| {})?;
        reader.hold(memory)?;
        Ok(reader)
    }

    /// Answers with this memory from now on, or with none.
    pub fn hold(&mut self, memory: &[Content]) -> Result<(), WriteError> {
        self.session.set_adapter(None);
        self.session.truncate(self.document);
        let beside = memory.iter().filter(|c| c.document_tokens().is_none());
        for content in beside {
            content.enter(&mut self.session)?;
        }
        self.before = self.session.len();
        Ok(())
    }

    /// The tokens of a question as this view puts them.
    pub fn question<'q>(&self, query: impl Into<Query<'q>>) -> Result<Vec<u32>, WriteError> {
        Ok(if self.after_document {
            self.frame.question(query)?
        } else {
            self.frame.bare_question(query)?
        })
    }

    /// As [`Reader::question`], refusing a question that has no room beside what comes before it.
    fn fitting(&self, query: Query<'_>) -> Result<Vec<u32>, WriteError> {
        let tokens = self.question(query)?;
        let room = self.session.capacity().saturating_sub(self.before);
        if tokens.len() <= room {
            return Ok(tokens);
        }
        Err(WriteError::QuestionTooLong {
            tokens: tokens.len(),
            room,
            beside: self.after_document,
            context: self.session.config().context,
        })
    }

    /// `log P` of each token of an answer given the question.
    pub fn score<'q>(
        &mut self,
        query: impl Into<Query<'q>>,
        answer: &[u32],
    ) -> Result<Vec<f64>, WriteError> {
        let question = self.fitting(query.into())?;
        self.session.truncate(self.before);
        let scores = self.session.score_after(&question, answer)?;
        Ok(scores.iter().map(|s| s.logprob).collect())
    }

    /// As [`Reader::score`], for an answer as text.
    pub fn score_text<'q>(
        &mut self,
        query: impl Into<Query<'q>>,
        answer: &str,
    ) -> Result<Vec<f64>, WriteError> {
        let answer = self.frame.answer(answer)?;
        self.score(query, &answer)
    }

    /// Mean `log P` of the question's own tokens: how well it fits what comes before it.
    pub fn likelihood<'q>(&mut self, query: impl Into<Query<'q>>) -> Result<f64, WriteError> {
        let tokens = self.fitting(query.into())?;
        self.session.truncate(self.before);
        let scores = self.session.score(&tokens, &mut |_, _| {})?;
        self.session.truncate(self.before);
        let logprobs = scores.iter().map(|score| score.logprob);
        Ok(super::utility::mean(logprobs).unwrap_or(f64::NEG_INFINITY))
    }

    /// Writes an answer.
    pub fn ask<'q>(
        &mut self,
        query: impl Into<Query<'q>>,
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Generated, WriteError> {
        let tokens = self.fitting(query.into())?;
        self.session.truncate(self.before);
        let tokenizer = &self.frame.model().tokenizer;
        let mut quiet = |_: usize, _: usize| {};
        let made = generate(
            &mut self.session,
            tokenizer,
            &tokens,
            options,
            &mut quiet,
            on_text,
        );
        self.session.truncate(self.before);
        Ok(made?)
    }
}
