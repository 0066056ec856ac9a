//! Questions to a finished memory: with it, with the full document, or with neither.

use std::time::Instant;

use super::error::WriteError;
use super::frame::Frame;
use super::reader::{Reader, View, needs_document};
use super::settings::WriteSettings;
use super::statistics;
use crate::engine::Device;
use crate::memory::store::Memory;
use crate::memory::{Content, MemoryError};
use crate::model::bundle::Model;
use crate::model::generate::GenerateOptions;
use crate::model::session::{OnProgress, SessionOptions};
use crate::model::transformer::Transformer;

/// Positions for a question beside its answer.
const QUESTION_ROOM: usize = 384;

/// Where a memory is read.
#[derive(Clone, Copy)]
pub struct Place<'m> {
    pub model: &'m Model,
    pub device: &'m Device,
    pub transformer: &'m Transformer,
    pub options: SessionOptions<'m>,
    /// Tokens that an answer may have.
    pub max_tokens: usize,
}

/// An answer in one view.
#[derive(Clone, Debug)]
pub struct Answer {
    pub view: View,
    pub text: String,
    pub ids: Vec<u32>,
    /// `log P` of each of its own tokens.
    pub logprobs: Vec<f64>,
    pub seconds: f64,
    /// The part of the document it was asked of.
    pub segment: usize,
}

impl Answer {
    /// Mean over its own tokens.
    pub fn logprob(&self) -> Option<f64> {
        statistics::mean(&self.logprobs)
    }
}

/// What is read of one part of the document. A reader is made at the first question that needs it.
struct Part<'m> {
    content: Content,
    /// The part's tokens with what opens them.
    ids: Vec<u32>,
    /// After the document's keys and values.
    document: Option<Reader<'m>>,
    /// By itself.
    alone: Option<Reader<'m>>,
}

/// A memory opened on its model.
pub struct Asker<'m> {
    place: Place<'m>,
    with_document: bool,
    nothing: Option<Reader<'m>>,
    parts: Vec<Part<'m>>,
}

impl<'m> Asker<'m> {
    pub fn new(place: Place<'m>, memory: &Memory) -> Result<Asker<'m>, WriteError> {
        let kept = |error: MemoryError| WriteError::Keep(Box::new(error));
        let settings: WriteSettings = memory.settings().map_err(kept)?;
        let tokens = memory.tokens().map_err(kept)?;
        let lead = Frame::new(place.model)?.lead;
        let segments = memory.file.segments.iter().enumerate();
        let parts = segments.map(|(index, segment)| {
            Ok(Part {
                content: memory.load(index, &place.model.config).map_err(kept)?,
                ids: [&lead[..], &tokens[segment.tokens.clone()]].concat(),
                document: None,
                alone: None,
            })
        });
        Ok(Asker {
            place,
            with_document: needs_document(settings.method),
            nothing: None,
            parts: parts.collect::<Result<_, WriteError>>()?,
        })
    }

    /// Answers in one view. `progress` tells of documents that are read first.
    pub fn ask(
        &mut self,
        view: View,
        question: &str,
        options: &GenerateOptions,
        progress: OnProgress<'_>,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Answer, WriteError> {
        let segment = self.likeliest(view, question, progress)?;
        // Reading the document is not answering: another view may have had it read already.
        let reader = self.reader(view, segment, progress)?;
        let started = Instant::now();
        let made = reader.ask(question, options, on_text)?;
        let seconds = started.elapsed().as_secs_f64();
        let logprobs = reader.score(question, &made.ids)?;
        Ok(Answer {
            view,
            text: made.text.trim().to_owned(),
            ids: made.ids,
            logprobs,
            seconds,
            segment,
        })
    }

    /// `log P` of each token of an answer in another view, of the same part of the document.
    pub fn score(
        &mut self,
        view: View,
        segment: usize,
        question: &str,
        answer: &[u32],
        progress: OnProgress<'_>,
    ) -> Result<Vec<f64>, WriteError> {
        self.reader(view, segment, progress)?
            .score(question, answer)
    }

    /// The part to whose reader the question itself is likeliest.
    fn likeliest(
        &mut self,
        view: View,
        question: &str,
        progress: OnProgress<'_>,
    ) -> Result<usize, WriteError> {
        let parts = match view {
            View::Nothing => 1,
            _ => self.parts.len(),
        };
        let mut best = (0, f64::NEG_INFINITY);
        for part in 0..parts {
            if parts == 1 {
                break;
            }
            let likelihood = self.reader(view, part, progress)?.likelihood(question)?;
            if likelihood > best.1 {
                best = (part, likelihood);
            }
        }
        Ok(best.0)
    }

    fn reader(
        &mut self,
        view: View,
        part: usize,
        progress: OnProgress<'_>,
    ) -> Result<&mut Reader<'m>, WriteError> {
        let place = self.place;
        if view == View::Nothing {
            return match &mut self.nothing {
                Some(reader) => Ok(reader),
                empty => Ok(empty.insert(place.reader(None, &mut |_, _| {})?)),
            };
        }
        let Some(part) = self.parts.get_mut(part) else {
            return Err(WriteError::Settings("the memory has no such part".into()));
        };
        let held = (view == View::Memory).then_some(&part.content);
        if view == View::Memory && !self.with_document {
            return match &mut part.alone {
                Some(reader) => Ok(reader),
                empty => Ok(empty.insert(place.reader_of_memory(&part.content)?)),
            };
        }
        let reader = match &mut part.document {
            Some(reader) => reader,
            empty => empty.insert(place.reader(Some(&part.ids), progress)?),
        };
        reader.hold(held)?;
        Ok(reader)
    }
}

impl<'m> Place<'m> {
    fn room(&self) -> usize {
        QUESTION_ROOM + self.max_tokens
    }

    fn reader(
        &self,
        document: Option<&[u32]>,
        progress: OnProgress<'_>,
    ) -> Result<Reader<'m>, WriteError> {
        let frame = Frame::new(self.model)?;
        let (room, options) = (self.room(), self.options);
        Reader::new(
            self.device,
            self.transformer,
            frame,
            document,
            room,
            options,
            progress,
        )
    }

    fn reader_of_memory(&self, memory: &Content) -> Result<Reader<'m>, WriteError> {
        let frame = Frame::new(self.model)?;
        let (room, options) = (self.room(), self.options);
        Reader::of_memory(self.device, self.transformer, frame, memory, room, options)
    }
}
