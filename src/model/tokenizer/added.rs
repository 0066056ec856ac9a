//! Finds the tokens that occur in a text by their own names.

use std::collections::HashMap;
use std::ops::Range;

/// A set of texts, found leftmost first and the longest of those.
#[derive(Default)]
pub struct AddedTokens {
    ids: HashMap<Box<str>, u32>,
    /// Lengths of the tokens' names by their first byte, longest first.
    lengths: HashMap<u8, Vec<usize>>,
}

/// A part of a text: one of the tokens, or what lies between them.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    Token(u32, Range<usize>),
    Text(Range<usize>),
}

impl AddedTokens {
    pub fn new(tokens: impl IntoIterator<Item = (String, u32)>) -> Self {
        let mut added = AddedTokens::default();
        for (text, id) in tokens {
            let Some(&first) = text.as_bytes().first() else {
                continue;
            };
            let lengths = added.lengths.entry(first).or_default();
            if let Err(at) = lengths.binary_search_by(|len| text.len().cmp(len)) {
                lengths.insert(at, text.len());
            }
            added.ids.insert(text.into(), id);
        }
        added
    }

    /// Cuts a text into tokens and what lies between; the parts cover it.
    pub fn split(&self, text: &str) -> Vec<Part> {
        let mut parts = Vec::new();
        let (mut at, mut from) = (0, 0);
        while let Some(&byte) = text.as_bytes().get(at) {
            let found = self.lengths.get(&byte).and_then(|lengths| {
                let id = |len: &usize| Some((*self.ids.get(text.get(at..at + len)?)?, *len));
                lengths.iter().find_map(id)
            });
            match found {
                Some((id, len)) => {
                    if from < at {
                        parts.push(Part::Text(from..at));
                    }
                    parts.push(Part::Token(id, at..at + len));
                    at += len;
                    from = at;
                }
                None => at += 1,
            }
        }
        if from < text.len() {
            parts.push(Part::Text(from..text.len()));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leftmost_and_of_those_the_longest() {
        let tokens = [
            ("<a>", 1),
            ("<a><b>", 2),
            ("\n", 3),
            ("\n\n", 4),
            ("é", 5),
            ("", 6),
        ];
        let added = AddedTokens::new(tokens.map(|(text, id)| (text.to_string(), id)));
        let token = Part::Token;
        assert_eq!(
            added.split("x<a><a><b>\n\n\néè"),
            [
                Part::Text(0..1),
                token(1, 1..4),
                token(2, 4..10),
                token(4, 10..12),
                token(3, 12..13),
                token(5, 13..15),
                Part::Text(15..17),
            ]
        );
        assert_eq!(added.split(""), []);
        assert_eq!(AddedTokens::default().split("ab"), [Part::Text(0..2)]);
    }
}
