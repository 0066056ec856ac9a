//! Long texts, a piece at a time: a tokenizer that is given all of a book at once takes more than a
//! hundred bytes for each of the text's, and cannot be stopped.
//!
//! A text is cut only where tokens cannot reach across: before a space, a line's end or a comma or
//! full stop of Chinese or Japanese that follows a letter. That holds where no token of the
//! vocabulary has such a place within, and where a probe around the cut gives the same tokens with
//! and without it. A text without such places stays whole.

use std::ops::Range;

use super::{Backend, TokenSpan, Tokenizer, TokenizerError};

/// Bytes tokenized at a time: some tens of milliseconds.
const PIECE_BYTES: usize = 64 << 10;
/// Bytes on either side of a cut that are tokenized to see whether it changes anything.
const PROBE_BYTES: usize = 512;
/// Cuts that may fail their probe before the rest of the text is left whole.
const MOST_PROBES: usize = 8;

/// Tokens and the bytes of the text that each covers.
pub type Placed = (Vec<u32>, Vec<Range<usize>>);

impl Tokenizer {
    /// The tokens of a document, the same as [`Tokenizer::encode_with_offsets`] gives. `go_on` is
    /// called with the bytes done after each piece; the result is `None` where it ends the work.
    pub fn encode_document(
        &self,
        text: &str,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Placed>, TokenizerError> {
        self.encode_pieces(text, PIECE_BYTES, go_on)
    }

    fn encode_pieces(
        &self,
        text: &str,
        piece_bytes: usize,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Placed>, TokenizerError> {
        super::check_length(text)?;
        let may_cut = text.len() > piece_bytes && !self.has_token_over_border();
        let (mut ids, mut bytes) = (Vec::new(), Vec::new());
        let mut start = 0;
        while start < text.len() {
            let end = if may_cut {
                self.next_cut(text, start, piece_bytes)?
            } else {
                text.len()
            };
            for span in self.encode_range(text, start..end)? {
                ids.push(span.id);
                bytes.push(span.bytes);
            }
            start = end;
            if !go_on(start) {
                return Ok(None);
            }
        }
        Ok(Some((ids, bytes)))
    }

    /// The tokens of a part of the text, as they are within the whole.
    fn encode_range(
        &self,
        text: &str,
        range: Range<usize>,
    ) -> Result<Vec<TokenSpan>, TokenizerError> {
        match &self.backend {
            Backend::Spm(spm) => Ok(spm.encode_range(text, range, false)),
            Backend::Pipeline(pipeline) => {
                let part = text.get(range.clone()).unwrap_or_default();
                let mut spans = pipeline.encode_spans(part, false)?;
                for span in &mut spans {
                    span.bytes = span.bytes.start + range.start..span.bytes.end + range.start;
                }
                Ok(spans)
            }
        }
    }

    /// Where the piece from `start` ends.
    fn next_cut(
        &self,
        text: &str,
        start: usize,
        piece_bytes: usize,
    ) -> Result<usize, TokenizerError> {
        let mut from = start + piece_bytes;
        for _ in 0..MOST_PROBES {
            let Some(cut) = border_from(text, from) else {
                break;
            };
            if self.cut_changes_nothing(text, cut)? {
                return Ok(cut);
            }
            from = cut + 1;
        }
        Ok(text.len())
    }

    fn cut_changes_nothing(&self, text: &str, cut: usize) -> Result<bool, TokenizerError> {
        let left = text.floor_char_boundary(cut.saturating_sub(PROBE_BYTES));
        let right = text.ceil_char_boundary((cut + PROBE_BYTES).min(text.len()));
        let whole = self.encode_range(text, left..right)?;
        let mut parts = self.encode_range(text, left..cut)?;
        parts.extend(self.encode_range(text, cut..right)?);
        Ok(whole == parts)
    }

    /// Whether a token could reach across a border.
    fn has_token_over_border(&self) -> bool {
        let ids = 0..self.vocab_size() as u32;
        ids.filter(|&id| !self.is_special(id)).any(|id| {
            let piece = String::from_utf8_lossy(self.piece(id));
            border_from(&piece, 0).is_some()
        })
    }
}

/// The first place from a byte on where a letter comes before one of the characters that no word
/// continues with.
fn border_from(text: &str, from: usize) -> Option<usize> {
    let from = text.ceil_char_boundary(from.min(text.len()));
    let mut after_letter = text[..from]
        .chars()
        .next_back()
        .is_some_and(char::is_alphabetic);
    for (at, c) in text[from..].char_indices() {
        if after_letter && matches!(c, ' ' | '\n' | '，' | '。' | '、') {
            return Some(from + at);
        }
        after_letter = c.is_alphabetic();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::model_file::Model;
    use std::path::Path;

    const TEXTS: [&str; 4] = [
        "It's 1,234 words, don't you think?\n\nThe next  paragraph (with brackets) — and dashes.\n\
         \tIndented, 12345678 and \u{a0} odd spaces   at the end   \n",
        "一个句子，后面还有一个。第二句、第三句。\n日本語の文章も、ここに。",
        "fn main() { println!(\"{}\", a_b.c()); }\r\n\r\n  // Comment é e\u{301} 🙂🙂 x\n",
        "Wort\u{301} für Wort — naïve façade, ŒUVRE … end\n",
    ];

    #[test]
    fn pieces_give_the_same_tokens_as_the_whole() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny");
        for name in ["llama", "qwen2", "qwen3", "gemma3"] {
            let tokenizer = Model::open(&folder.join(name)).unwrap().tokenizer;
            let text = TEXTS.concat().repeat(12);
            let whole = tokenizer.encode_with_offsets(&text, false, false).unwrap();
            for piece_bytes in [64, 257, 1000] {
                let mut pieces = 0;
                let mut count = |_: usize| {
                    pieces += 1;
                    true
                };
                let (ids, bytes) = tokenizer
                    .encode_pieces(&text, piece_bytes, &mut count)
                    .unwrap()
                    .unwrap();
                let spans = ids.into_iter().zip(bytes);
                let spans: Vec<_> = spans.map(|(id, bytes)| TokenSpan { id, bytes }).collect();
                assert_eq!(spans, whole, "{name} in pieces of {piece_bytes}");
                assert!(
                    pieces >= text.len() / 2 / piece_bytes.max(400),
                    "{name}: {pieces}"
                );
            }
            let stopped = tokenizer.encode_pieces(&text, 64, &mut |done| done < 500);
            assert!(stopped.unwrap().is_none());
        }
    }
}
