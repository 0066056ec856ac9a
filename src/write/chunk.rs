//! Where a document is cut into chunks: every S tokens, or along its own structure. Neither reads
//! the model.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::document::{BlockKind, Document};

/// A stretch of the document's tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Tokens of the chunk, counted from the first of the segment.
    pub tokens: Range<usize>,
    /// The heading that the chunk's first token lies under, where there is one.
    pub title: Option<String>,
}

/// Chunks of `size` tokens; the last may be short.
pub fn fixed(tokens: usize, size: usize) -> Vec<Chunk> {
    let size = size.max(1);
    let chunk = |start: usize| Chunk {
        tokens: start..tokens.min(start.saturating_add(size)),
        title: None,
    };
    (0..tokens).step_by(size).map(chunk).collect()
}

/// Chunks of about `size` tokens that start where the document itself makes a break: best a high
/// heading, then a paragraph, a line of a list or table, a sentence, a word. Sections much smaller
/// than `size` share a chunk. Each holds `size / 4` to `3 / 2 size` tokens, unless all of the
/// document is less.
///
/// `bytes` holds the place in the document's text of each token of the part to be cut.
pub fn structural(document: &Document, bytes: &[Range<usize>], size: usize) -> Vec<Chunk> {
    let size = size.max(1);
    let breaks = find_breaks(document, bytes, size);
    let starts = best_starts(&breaks, bytes.len(), size);
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let mut chunks: Vec<Chunk> = starts
        .iter()
        .zip(ends)
        .filter(|(start, end)| **start < *end)
        .map(|(&start, end)| Chunk {
            tokens: start..end,
            title: None,
        })
        .collect();
    add_titles(&mut chunks, document, bytes);
    chunks
}

/// Gives each chunk the heading that its first token lies under.
pub fn add_titles(chunks: &mut [Chunk], document: &Document, bytes: &[Range<usize>]) {
    let headings: Vec<_> = document.headings().collect();
    for chunk in chunks {
        // Tokens that a tokenizer puts before the text have no place in it.
        let mut places = bytes.get(chunk.tokens.clone()).unwrap_or(&[]).iter();
        let Some(first) = places.find(|place| !place.is_empty()) else {
            continue;
        };
        let under = headings.partition_point(|(_, at)| at.start < first.end);
        if let Some((_, at)) = under.checked_sub(1).map(|last| &headings[last]) {
            chunk.title = Some(document.heading_text(at));
        }
    }
}

/// A place where a chunk may start.
#[derive(Clone, Copy, Debug)]
struct Break {
    token: usize,
    /// Cost of starting a chunk here.
    cost: f64,
    /// Cost of not starting a chunk here.
    passed: f64,
}

// Costs against a chunk's squared distance from the size asked for, in units of that size: a
// section of more than about 0.6 of the size is a chunk of its own, smaller ones share a chunk.
const HEADING_COST: f64 = 0.02;
const PARAGRAPH_COST: f64 = 0.1;
const LINE_COST: f64 = 0.15;
const SENTENCE_COST: f64 = 0.25;
const WORD_COST: f64 = 0.5;
const TOKEN_COST: f64 = 0.7;
const PASSED_HEADING_COST: f64 = 0.25;

/// Everywhere a chunk may start, in order; the first is the first token.
fn find_breaks(document: &Document, bytes: &[Range<usize>], size: usize) -> Vec<Break> {
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return Vec::new();
    };
    let part = first.start..last.end;
    let top = document.headings().map(|(level, _)| level).min();
    let mut places: Vec<(usize, f64, f64)> = Vec::new();
    for block in &document.blocks {
        if block.bytes.start >= part.end || block.bytes.end <= part.start {
            continue;
        }
        let (cost, passed) = match block.kind {
            BlockKind::Heading(level) => {
                let depth = f64::from(level - top.unwrap_or(level).min(level));
                (
                    HEADING_COST * (1.0 + depth),
                    PASSED_HEADING_COST / (1.0 + depth),
                )
            }
            BlockKind::Paragraph | BlockKind::Code => (PARAGRAPH_COST, 0.0),
            BlockKind::ListItem | BlockKind::TableRow => (LINE_COST, 0.0),
        };
        places.push((block.bytes.start, cost, passed));
        let Some(text) = document.text.get(block.bytes.clone()) else {
            continue;
        };
        let inner = match block.kind {
            BlockKind::Heading(_) => Vec::new(),
            BlockKind::Code => line_starts(text),
            _ => sentence_starts(text),
        };
        let cost = if block.kind == BlockKind::Code {
            LINE_COST
        } else {
            SENTENCE_COST
        };
        places.extend(inner.iter().map(|at| (block.bytes.start + at, cost, 0.0)));
    }
    places.sort_by_key(|place| place.0);
    let mut breaks = vec![Break {
        token: 0,
        cost: 0.0,
        passed: 0.0,
    }];
    for (byte, cost, passed) in places {
        let token = bytes.partition_point(|token| token.end <= byte);
        let Some(last) = breaks.last_mut() else {
            continue;
        };
        if last.token == token {
            // Blocks that share a token, or the document's own start.
            last.cost = last.cost.min(cost);
            last.passed = last.passed.max(passed);
        } else if token > last.token && token < bytes.len() {
            breaks.push(Break {
                token,
                cost,
                passed,
            });
        }
    }
    fill_gaps(&breaks, &document.text, bytes, size)
}

/// Adds words, where there are none tokens, to stretches without a break, so that no stretch is
/// longer than half the size.
fn fill_gaps(breaks: &[Break], text: &str, bytes: &[Range<usize>], size: usize) -> Vec<Break> {
    let apart = (size / 8).max(1);
    let mut filled = Vec::with_capacity(breaks.len());
    for (index, &start) in breaks.iter().enumerate() {
        filled.push(start);
        let end = breaks.get(index + 1).map_or(bytes.len(), |next| next.token);
        if end - start.token <= size / 2 {
            continue;
        }
        let mut from = start.token + 1;
        while from + apart <= end {
            let ahead = from..from + apart;
            let word = ahead
                .clone()
                .find(|&token| starts_word(text, &bytes[token]));
            filled.push(Break {
                token: word.unwrap_or(ahead.end - 1),
                cost: if word.is_some() {
                    WORD_COST
                } else {
                    TOKEN_COST
                },
                passed: 0.0,
            });
            from = ahead.end;
        }
    }
    filled
}

fn starts_word(text: &str, token: &Range<usize>) -> bool {
    let is_space = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_whitespace);
    is_space(token.start) || token.start.checked_sub(1).is_some_and(is_space)
}

fn line_starts(text: &str) -> Vec<usize> {
    let ends = text.match_indices('\n').map(|(at, _)| at + 1);
    ends.filter(|&at| at < text.len()).collect()
}

/// Where the sentences of a paragraph but the first start.
fn sentence_starts(text: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut ended = false;
    let mut spaced = false;
    for (at, c) in text.char_indices() {
        match c {
            '.' => {
                let word = text[..at].rsplit(|c: char| !c.is_alphanumeric()).next();
                let before = word.unwrap_or("");
                // Initials and the most common abbreviations end no sentence.
                ended = before.chars().count() != 1 || before.chars().all(char::is_numeric);
                ended &= !ABBREVIATIONS.contains(&before);
                spaced = false;
            }
            '!' | '?' | '…' => (ended, spaced) = (true, false),
            '。' | '！' | '？' => (ended, spaced) = (true, true),
            ')' | ']' | '"' | '\'' | '”' | '’' | '»' | '」' if ended && !spaced => {}
            c if c.is_whitespace() => spaced |= ended,
            c => {
                if ended && spaced && !c.is_lowercase() {
                    starts.push(at);
                }
                (ended, spaced) = (false, false);
            }
        }
    }
    starts
}

const ABBREVIATIONS: [&str; 16] = [
    "Mr", "Mrs", "Ms", "Dr", "Prof", "St", "No", "vs", "Fig", "Sec", "Vol", "Art", "cf", "Inc",
    "Ltd", "Jr",
];

/// The starts of the chunks that cost least together, by dynamic programming over the breaks.
fn best_starts(breaks: &[Break], tokens: usize, size: usize) -> Vec<usize> {
    let (least, most) = ((size / 4).max(1), size.saturating_add(size / 2));
    let position = |index: usize| breaks.get(index).map_or(tokens, |b| b.token);
    // Of the breaks before each, the sum of what passing them costs.
    let mut passed = vec![0.0];
    for b in breaks {
        passed.push(passed.last().unwrap_or(&0.0) + b.passed);
    }
    // The least cost of all tokens before each break, and where its last chunk starts.
    let mut best: Vec<(f64, usize)> = vec![(0.0, 0)];
    for end in 1..=breaks.len() {
        let mut choice = (f64::INFINITY, end - 1);
        for start in (0..end).rev() {
            let len = position(end) - position(start);
            if len > most && start + 1 < end {
                break;
            }
            let off = (len as f64 - size as f64) / size as f64;
            let short = if len < least { TOO_SHORT_COST } else { 0.0 };
            let cut = if start > 0 { breaks[start].cost } else { 0.0 };
            let cost = best[start].0 + cut + off * off + short + passed[end] - passed[start + 1];
            if cost < choice.0 {
                choice = (cost, start);
            }
        }
        best.push(choice);
    }
    let mut starts = Vec::new();
    let mut at = breaks.len();
    while at > 0 {
        at = best[at].1;
        starts.push(position(at));
    }
    starts.reverse();
    starts
}

/// More than any other choice of breaks could save.
const TOO_SHORT_COST: f64 = 1e6;

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
