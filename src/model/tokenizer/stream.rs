//! Text from tokens that come one at a time.

use super::Tokenizer;

/// Gives out text as soon as its UTF-8 is whole: a character may be spread over several tokens.
pub struct DecodeStream<'a> {
    tokenizer: &'a Tokenizer,
    pending: Vec<u8>,
    /// Nothing came yet, and the tokenizer's own leading space is to be taken off.
    at_start: bool,
    skip_special: bool,
}

impl<'a> DecodeStream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer, at_start: bool) -> Self {
        DecodeStream {
            tokenizer,
            pending: Vec::new(),
            at_start: at_start && tokenizer.space_prefix,
            skip_special: false,
        }
    }

    /// Leaves special tokens out of the text.
    pub fn without_special(mut self) -> Self {
        self.skip_special = true;
        self
    }

    /// The text that this token completes; often its own, sometimes none yet.
    pub fn push(&mut self, id: u32) -> String {
        let special = self.tokenizer.is_special(id);
        if special && self.skip_special {
            return String::new();
        }
        let mut piece = self.tokenizer.piece(id);
        if self.at_start && !piece.is_empty() {
            self.at_start = false;
            if !special {
                piece = piece.strip_prefix(b" ").unwrap_or(piece);
            }
        }
        self.pending.extend_from_slice(piece);
        self.take_whole()
    }

    /// What is left at the end: U+FFFD for a character that never became whole.
    pub fn finish(&mut self) -> String {
        let rest = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        rest
    }

    /// Takes everything but an unfinished character at the end.
    fn take_whole(&mut self) -> String {
        let mut text = String::new();
        let mut at = 0;
        while let Some(rest) = self.pending.get(at..).filter(|rest| !rest.is_empty()) {
            match std::str::from_utf8(rest) {
                Ok(whole) => {
                    text.push_str(whole);
                    at = self.pending.len();
                }
                Err(error) => {
                    let (valid, _) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    at += valid.len();
                    let Some(bad) = error.error_len() else {
                        break;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    at += bad;
                }
            }
        }
        self.pending.drain(..at);
        text
    }
}
