//! Questions to a finished memory: with it, with the full document, or with neither.

use std::time::Instant;

use super::error::WriteError;
use super::prompt::{Prompt, Query};
use super::reader::{Reader, View, kept_cache_bytes};
use super::retrieve::PartWords;
use super::settings::WriteSettings;
use super::statistics;
use crate::memory::store::Memory;
use crate::memory::{Content, MemoryError};
use crate::model::generate::{Ended, GenerateOptions};
use crate::model::loaded::Loaded;
use crate::model::session::{OnProgress, SessionOptions};
use crate::model::transformer::Cache;

/// Positions kept for a question besides its answer, until a longer question comes.
const QUESTION_ROOM: usize = 384;

/// An answer in one view.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The view that was asked: what the reader saw before the question.
    pub view: View,
    /// The answer, without white space at its ends.
    pub text: String,
    /// Token ids of the answer.
    pub ids: Vec<u32>,
    /// Log-probability in nats of each token of the answer.
    pub logprobs: Vec<f64>,
    /// Why the answer ended.
    pub ended: Ended,
    /// Seconds that reading the question and writing the answer took.
    pub seconds: f64,
    /// Number of the document's part that the question was asked of, from 0.
    pub segment: usize,
}

impl Answer {
    /// Whether the answer breaks off where it was cut, and not where the model ended it.
    pub fn is_cut(&self) -> bool {
        !self.ended.is_natural()
    }

    /// Mean log-probability in nats of the answer's tokens; `None` for an empty answer.
    pub fn logprob(&self) -> Option<f64> {
        statistics::mean(&self.logprobs)
    }
}

/// What is kept of one part of the document.
struct OpenPart {
    contents: Vec<Content>,
    /// Token ids of the part, after those that open it.
    ids: Vec<u32>,
}

/// A memory opened on its model.
///
/// Of a document in several parts, the readers of few are kept: each holds keys and values of its
/// part, which take far more room than the memory itself.
pub struct Asker {
    loaded: Loaded,
    options: SessionOptions,
    memory: Memory,
    /// What was missing or damaged in the memory's folder and can be made again, one sentence each.
    notes: Vec<String>,
    /// Positions that readers have for a question and its answer.
    room: usize,
    with_document: bool,
    /// Number of tokens that open each part.
    lead: usize,
    parts: Vec<OpenPart>,
    words: PartWords,
    nothing: Option<Reader>,
    /// The reader of memories that are read without their document; it holds one memory after the
    /// other.
    alone: Option<Reader>,
    /// Readers that have a part of the document before the question, by the part's number; the one
    /// used last is at the end.
    after: Vec<(usize, Reader)>,
}

impl Asker {
    /// Opens a memory for questions. Parts of the document are read when a question first needs
    /// them.
    pub fn new(
        loaded: &Loaded,
        options: SessionOptions,
        memory: &Memory,
    ) -> Result<Asker, WriteError> {
        let kept = |error: MemoryError| WriteError::Keep(Box::new(error));
        let settings: WriteSettings = memory.settings().map_err(kept)?;
        let tokens = memory.tokens().map_err(kept)?;
        let lead = Prompt::new(&loaded.model)?.lead;
        let notes = memory.missing();
        let segments = memory.file.segments.iter().enumerate();
        let parts = segments.map(|(index, segment)| {
            Ok(OpenPart {
                contents: memory.load_own(index, loaded.config()).map_err(kept)?,
                ids: [&lead[..], &tokens[segment.tokens.clone()]].concat(),
            })
        });
        let parts = parts.collect::<Result<Vec<OpenPart>, WriteError>>()?;
        let tokenizer = &loaded.model.tokenizer;
        let texts: Vec<String> = match parts.len() {
            ..=1 => Vec::new(),
            _ => {
                let own = parts.iter().map(|part| &part.ids[lead.len()..]);
                own.map(|ids| tokenizer.decode_text(ids)).collect()
            }
        };
        Ok(Asker {
            loaded: loaded.clone(),
            options,
            memory: memory.clone(),
            notes,
            room: 0,
            with_document: settings.method.reads_document(),
            words: PartWords::new(texts.iter().map(String::as_str)),
            lead: lead.len(),
            parts,
            nothing: None,
            alone: None,
            after: Vec::new(),
        })
    }

    /// What was missing or damaged in the memory's folder, and is made again: a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The parts that the document was written in.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Answers in one view. `progress` is called while a document is read first.
    pub fn ask<'q>(
        &mut self,
        view: View,
        query: impl Into<Query<'q>>,
        options: &GenerateOptions,
        progress: OnProgress<'_>,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Answer, WriteError> {
        let query = query.into();
        self.make_room(query, options.max_tokens)?;
        let segment = self.part_for(view, query, progress)?;
        // Reading the document does not count as answering: another view may have had it read
        // already.
        let reader = self.reader(view, segment, progress)?;
        let started = Instant::now();
        let made = reader.ask(query, options, on_text)?;
        let seconds = started.elapsed().as_secs_f64();
        let logprobs = reader.score(query, &made.ids)?;
        Ok(Answer {
            view,
            text: made.text.trim().to_owned(),
            ids: made.ids,
            logprobs,
            ended: made.ended,
            seconds,
            segment,
        })
    }

    /// `log P` of each token of an answer in another view, of the same part of the document.
    pub fn score<'q>(
        &mut self,
        view: View,
        segment: usize,
        query: impl Into<Query<'q>>,
        answer: &[u32],
        progress: OnProgress<'_>,
    ) -> Result<Vec<f64>, WriteError> {
        self.reader(view, segment, progress)?.score(query, answer)
    }

    /// As [`Asker::score`], for an answer as text.
    pub fn score_text<'q>(
        &mut self,
        view: View,
        segment: usize,
        query: impl Into<Query<'q>>,
        answer: &str,
    ) -> Result<Vec<f64>, WriteError> {
        let query = query.into();
        let answer = Prompt::new(&self.loaded.model)?.answer(answer)?;
        self.make_room(query, answer.len())?;
        self.score(view, segment, query, &answer, &mut |_, _| {})
    }

    /// Lets go of readers that a question is too long for; the model's context is the limit.
    fn make_room(&mut self, query: Query<'_>, max_tokens: usize) -> Result<(), WriteError> {
        let frame = Prompt::new(&self.loaded.model)?;
        let tokens = frame.question(query)?.len();
        let tokens = tokens.max(frame.bare_question(query)?.len());
        if tokens.saturating_add(max_tokens) > self.room {
            self.room = tokens.max(QUESTION_ROOM).saturating_add(max_tokens);
            (self.nothing, self.alone) = (None, None);
            self.after.clear();
        }
        Ok(())
    }

    /// The part to ask: the one whose words fit the question best. Where none shares a word with
    /// it, of memories that are read alone, which are cheap to try, the one to which the question
    /// itself is likeliest; likelihood finds the right part less often than words do.
    fn part_for(
        &mut self,
        view: View,
        query: Query<'_>,
        progress: OnProgress<'_>,
    ) -> Result<usize, WriteError> {
        if view == View::Nothing || self.parts.len() <= 1 {
            return Ok(0);
        }
        if let Some(best) = self.words.best(query.question) {
            return Ok(best);
        }
        if view == View::Document || self.with_document {
            return Ok(0);
        }
        let mut best = (0, f64::NEG_INFINITY);
        for part in 0..self.parts.len() {
            let likelihood = self.reader(view, part, progress)?.likelihood(query)?;
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
    ) -> Result<&mut Reader, WriteError> {
        let room = self.room;
        let (loaded, options) = (&self.loaded, || self.options.clone());
        if view == View::Nothing {
            return match &mut self.nothing {
                Some(reader) => Ok(reader),
                empty => {
                    let reader = Reader::new(loaded, None, None, room, options(), progress)?;
                    Ok(empty.insert(reader))
                }
            };
        }
        let Some(own) = self.parts.get(part) else {
            return Err(WriteError::NoSuchPart);
        };
        if view == View::Memory && !self.with_document {
            let reader = match &mut self.alone {
                Some(reader) => reader,
                empty => {
                    let memory = &own.contents;
                    empty.insert(Reader::of_memory(loaded, memory, room, options())?)
                }
            };
            reader.hold(&own.contents)?;
            return Ok(reader);
        }
        match self.after.iter().position(|(of, _)| *of == part) {
            Some(at) => {
                let used = self.after.remove(at);
                self.after.push(used);
            }
            None => {
                let taken: usize = own.contents.iter().map(|c| c.positions()).sum();
                let room = room.saturating_add(taken);
                let capacity = own.ids.len().saturating_add(room);
                let config = loaded.config();
                let bytes = Cache::bytes(config, capacity.min(config.context));
                // Before the next one is read: both may not fit.
                let kept = kept_cache_bytes(loaded.device.available_bytes());
                let stay = staying(self.after.len(), bytes, kept);
                self.after.drain(..self.after.len() - stay);
                let ids = &own.ids;
                // Mapped until they are in the reader, and no longer.
                let (rows, damaged) = self.memory.load_derived(part, config);
                for note in damaged.iter().map(ToString::to_string) {
                    if !self.notes.contains(&note) {
                        self.notes.push(note);
                    }
                }
                let is_whole = |c: &&Content| c.document_tokens() == Some(ids.len());
                let kept = rows.iter().find(is_whole);
                // The document's own tokens are counted.
                let lead = self.lead;
                let mut counted = |done: usize, total: usize| {
                    progress(done.saturating_sub(lead), total.saturating_sub(lead));
                };
                let reader = Reader::new(loaded, Some(ids), kept, room, options(), &mut counted)?;
                self.after.push((part, reader));
            }
        }
        let Some((_, reader)) = self.after.last_mut() else {
            return Err(WriteError::NoSuchPart);
        };
        let held = if view == View::Memory {
            &own.contents[..]
        } else {
            &[]
        };
        reader.hold(held)?;
        Ok(reader)
    }
}

/// How many of the readers kept stay when one more comes, each of so many bytes.
fn staying(kept: usize, bytes: u64, most: u64) -> usize {
    let room = usize::try_from(most / bytes.max(1)).unwrap_or(usize::MAX);
    kept.min(room.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_readers_stay_and_the_next_always_has_room() {
        const GIB: u64 = 1 << 30;
        assert_eq!(staying(5, GIB, 2 * GIB), 1);
        assert_eq!(staying(3, 3 * GIB, 2 * GIB), 0);
        assert_eq!(staying(2, 1 << 20, 2 * GIB), 2);
        assert_eq!(staying(40, GIB / 4, 2 * GIB), 7);
        assert_eq!(staying(0, 0, 0), 0);
    }
}
