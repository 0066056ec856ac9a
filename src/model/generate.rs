//! Writing text, one token at a time.

mod repeats;

use std::fmt;
use std::time::Instant;

use serde::{Serialize, Serializer};

use crate::model::error::ModelError;
use crate::model::sample::{SampleOptions, Sampler};
use crate::model::session::Session;
use crate::model::tokenizer::Tokenizer;

/// When to stop and how to choose.
#[derive(Clone, Debug, Default)]
pub struct GenerateOptions {
    pub sample: SampleOptions,
    /// The most tokens to write.
    pub max_tokens: usize,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// End a text that goes round in circles, and leave out all rounds but the first.
    pub cut_loops: bool,
}

impl GenerateOptions {
    /// The likeliest token each time, up to `max_tokens` of them.
    pub fn greedy(max_tokens: usize) -> GenerateOptions {
        GenerateOptions {
            sample: SampleOptions {
                temperature: 0.0,
                ..SampleOptions::default()
            },
            max_tokens,
            stop: Vec::new(),
            cut_loops: false,
        }
    }
}

/// Why writing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The model ended its text.
    EndOfText,
    StopText,
    MaxTokens,
    /// The context is full.
    Context,
    /// The text went round in circles.
    Loop,
}

impl Ended {
    /// Whether the model came to an end by itself or where it was told to.
    pub fn is_natural(self) -> bool {
        matches!(self, Ended::EndOfText | Ended::StopText)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ended::EndOfText => "end of text",
            Ended::StopText => "stop text",
            Ended::MaxTokens => "max tokens",
            Ended::Context => "context full",
            Ended::Loop => "loop",
        })
    }
}

impl Serialize for Ended {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Generated {
    pub ids: Vec<u32>,
    pub text: String,
    pub ended: Ended,
    pub prefill_secs: f64,
    pub decode_secs: f64,
}

/// Reads `prompt`, writes until something ends it, and hands out text as it comes.
pub fn generate(
    session: &mut Session,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    options: &GenerateOptions,
    on_prefill: &mut dyn FnMut(usize, usize),
    on_text: &mut dyn FnMut(&str),
) -> Result<Generated, ModelError> {
    let started = Instant::now();
    let mut logits = session.prefill(prompt, on_prefill)?;
    let prefill_secs = started.elapsed().as_secs_f64();
    let mut sampler = Sampler::new(options.sample.clone());
    let mut seen = prompt.to_vec();
    // Control tokens are no text: a reader should not see their names.
    let mut stream = tokenizer.decode_stream(prompt).without_special();
    let mut out = Streamed::new(&options.stop, on_text);
    let mut ids: Vec<u32> = Vec::new();
    // Length of the text after each token.
    let mut ends: Vec<usize> = Vec::new();
    let decoding = Instant::now();
    let ended = loop {
        if ids.len() >= options.max_tokens {
            break Ended::MaxTokens;
        }
        if let Some(&last) = ids.last() {
            if session.len() == session.capacity() {
                break Ended::Context;
            }
            logits = session.prefill(&[last], &mut |_, _| {})?;
        }
        let Some(id) = sampler.choose(&mut logits, &seen) else {
            return Err(ModelError::NotANumber);
        };
        if tokenizer.is_end(id) {
            break Ended::EndOfText;
        }
        ids.push(id);
        seen.push(id);
        let piece = stream.push(id);
        ends.push(out.text.len() + piece.len());
        let fresh = if options.cut_loops {
            let repeats = repeats::at_end(&ids);
            if repeats.is_loop {
                ids.truncate(repeats.from);
                out.cut(repeats.from.checked_sub(1).map_or(0, |last| ends[last]));
                break Ended::Loop;
            }
            repeats.from
        } else {
            ids.len()
        };
        // What may be the beginning of a loop is shown once it turns out to be none.
        if out.push(&piece, fresh.checked_sub(1).map_or(0, |last| ends[last])) {
            break Ended::StopText;
        }
    };
    if !matches!(ended, Ended::StopText | Ended::Loop) {
        out.push(&stream.finish(), usize::MAX);
    }
    let text = out.finish(ended != Ended::StopText);
    let decode_secs = decoding.elapsed().as_secs_f64();
    Ok(Generated {
        ids,
        text,
        ended,
        prefill_secs,
        decode_secs,
    })
}

/// Holds back text that may turn out to begin a stop text.
struct Streamed<'a> {
    stop: &'a [String],
    text: String,
    shown: usize,
    show: &'a mut dyn FnMut(&str),
}

impl<'a> Streamed<'a> {
    fn new(stop: &'a [String], show: &'a mut dyn FnMut(&str)) -> Self {
        Streamed {
            stop,
            text: String::new(),
            shown: 0,
            show,
        }
    }

    /// Adds text, and shows it up to `end` at the most; true where a stop text was reached, which
    /// cuts it off.
    fn push(&mut self, piece: &str, end: usize) -> bool {
        self.text.push_str(piece);
        let stops = self.stop.iter().filter(|s| !s.is_empty());
        let found = stops
            .filter_map(|s| self.text[self.shown..].find(s.as_str()))
            .min();
        if let Some(at) = found {
            self.text.truncate(self.shown + at);
            self.show_to(self.text.len());
            return true;
        }
        let safe = self.text.len() - self.held_back();
        self.show_to(safe.min(end));
        false
    }

    /// Leaves out what follows `end`, of which nothing was shown.
    fn cut(&mut self, end: usize) {
        self.text.truncate(end.max(self.shown));
    }

    /// Bytes at the end of the text that could be the beginning of a stop text.
    fn held_back(&self) -> usize {
        let tail = &self.text[self.shown..];
        self.stop
            .iter()
            .flat_map(|stop| stop.char_indices().skip(1).map(|(i, _)| &stop[..i]))
            .filter(|start| tail.ends_with(start))
            .map(str::len)
            .max()
            .unwrap_or(0)
    }

    fn show_to(&mut self, end: usize) {
        if end > self.shown {
            (self.show)(&self.text[self.shown..end]);
            self.shown = end;
        }
    }

    fn finish(mut self, show_rest: bool) -> String {
        if show_rest {
            self.show_to(self.text.len());
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(pieces: &[&str], stop: &[&str]) -> (String, String, bool) {
        let stop: Vec<String> = stop.iter().map(|s| s.to_string()).collect();
        let mut shown = String::new();
        let mut show = |piece: &str| shown.push_str(piece);
        let mut out = Streamed::new(&stop, &mut show);
        let stopped = pieces.iter().any(|piece| out.push(piece, usize::MAX));
        let text = out.finish(!stopped);
        (text, shown, stopped)
    }

    #[test]
    fn stop_texts_are_cut_even_across_pieces() {
        let (text, shown, stopped) = stream(&["one E", "N", "D two"], &["END"]);
        assert_eq!(
            (text.as_str(), shown.as_str(), stopped),
            ("one ", "one ", true)
        );
        let (text, shown, stopped) = stream(&["one E", "N", "E"], &["END", "xyz"]);
        assert_eq!(
            (text.as_str(), shown.as_str(), stopped),
            ("one ENE", "one ENE", false)
        );
        let (text, shown, _) = stream(&["ends on EN"], &["END"]);
        assert_eq!(
            (text.as_str(), shown.as_str()),
            ("ends on EN", "ends on EN")
        );
        let (text, ..) = stream(&["é", "à", "ç!"], &["àç"]);
        assert_eq!(text, "é");
    }
}
