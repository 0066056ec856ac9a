//! SentencePiece's byte-pair merging: the two neighbours whose union has the best score become
//! one piece, until none can. A heap keeps it at O(n log n) for any text.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::TokenSpan;
use super::added::{AddedTokens, Part};
use super::bytes::SPACE_MARK;

pub struct Spm {
    pub pieces: HashMap<Box<str>, Piece>,
    /// Names of control, unknown and byte tokens, which merging never makes.
    pub names: HashMap<Box<str>, u32>,
    /// The token of each byte, for characters without a piece.
    pub byte_ids: Box<[Option<u32>; 256]>,
    pub unknown: Option<u32>,
    /// User-defined tokens: found in every text.
    pub user_defined: AddedTokens,
    /// User-defined tokens and the control tokens.
    pub special: AddedTokens,
    /// Whether to put a space before the text, and before what follows a token found by name.
    pub space_prefix: bool,
    /// Whether to take spaces off the ends and replace runs of spaces by one.
    pub squeeze_spaces: bool,
}

#[derive(Clone, Copy)]
pub struct Piece {
    pub id: u32,
    pub score: f32,
}

/// A piece of the text being merged. Those merged into their left neighbour are empty.
#[derive(Clone, Copy)]
struct Symbol {
    /// Bytes of the piece in the escaped text.
    start: u32,
    len: u32,
    /// Where the piece began in the text as given, in bytes.
    origin: u32,
    before: u32,
    after: u32,
}

const NONE: u32 = u32::MAX;

/// Two neighbours that could become one.
struct Candidate {
    score: f32,
    left: u32,
    right: u32,
    len: u32,
}

impl Ord for Candidate {
    /// The best score first, the leftmost among equals.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = self.score.total_cmp(&other.score);
        by_score.then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

impl Spm {
    pub fn token_id(&self, text: &str) -> Option<u32> {
        let piece = self.pieces.get(text).map(|piece| piece.id);
        piece.or_else(|| self.names.get(text).copied())
    }

    pub fn encode(&self, text: &str, parse_special: bool) -> Vec<TokenSpan> {
        self.encode_range(text, 0..text.len(), parse_special)
    }

    /// The tokens of a part of a text, as they are within the whole.
    pub fn encode_range(
        &self,
        text: &str,
        range: std::ops::Range<usize>,
        parse_special: bool,
    ) -> Vec<TokenSpan> {
        let added = if parse_special {
            &self.special
        } else {
            &self.user_defined
        };
        let mut out = Vec::with_capacity(range.len() / 3);
        let mut after_token = range.start == 0;
        let first = range.start;
        let in_text = |part: std::ops::Range<usize>| part.start + first..part.end + first;
        for part in added.split(text.get(range).unwrap_or_default()) {
            match part {
                Part::Token(id, bytes) => {
                    let bytes = in_text(bytes);
                    out.push(TokenSpan { id, bytes });
                    after_token = true;
                }
                Part::Text(bytes) => {
                    let mut merging = Merging::new(self, text, in_text(bytes), after_token);
                    merging.run();
                    merging.emit(&mut out);
                    after_token = false;
                }
            }
        }
        out
    }
}

struct Merging<'a> {
    spm: &'a Spm,
    /// The text with U+2581 for spaces.
    escaped: String,
    symbols: Vec<Symbol>,
    heap: BinaryHeap<Candidate>,
    /// Where the part ends in the text as given.
    end: usize,
}

impl<'a> Merging<'a> {
    fn new(spm: &'a Spm, text: &str, part: std::ops::Range<usize>, after_token: bool) -> Self {
        let (mut start, mut end) = (part.start, part.end);
        let mut own = text.get(part).unwrap_or_default();
        if spm.squeeze_spaces {
            if start == 0 {
                own = own.trim_start_matches(' ');
                start = end - own.len();
            }
            if end == text.len() {
                // A mark at the end counts as a space, as in sentencepiece.
                own = own.trim_end_matches([' ', SPACE_MARK]);
                end = start + own.len();
            }
        }
        let mut merging = Merging {
            spm,
            escaped: String::with_capacity(own.len() + own.len() / 4),
            symbols: Vec::with_capacity(own.len() + 1),
            heap: BinaryHeap::new(),
            end,
        };
        if spm.space_prefix && after_token && !own.is_empty() {
            merging.add_char(SPACE_MARK, start);
        }
        let mut after_space = false;
        for (at, c) in own.char_indices() {
            let space = c == ' ';
            if !(spm.squeeze_spaces && space && after_space) {
                merging.add_char(if space { SPACE_MARK } else { c }, start + at);
            }
            after_space = space;
        }
        if let Some(last) = merging.symbols.last_mut() {
            last.after = NONE;
        }
        merging
    }

    fn add_char(&mut self, c: char, origin: usize) {
        let index = self.symbols.len() as u32;
        self.symbols.push(Symbol {
            start: self.escaped.len() as u32,
            len: c.len_utf8() as u32,
            origin: origin as u32,
            before: index.checked_sub(1).unwrap_or(NONE),
            after: index + 1,
        });
        self.escaped.push(c);
    }

    fn get(&self, index: u32) -> Option<Symbol> {
        self.symbols.get(index as usize).copied()
    }

    fn slice(&self, start: u32, len: u32) -> &str {
        let range = start as usize..(start + len) as usize;
        self.escaped.get(range).unwrap_or_default()
    }

    /// Two neighbours become a candidate where their union is a piece.
    fn consider(&self, left: u32, right: u32) -> Option<Candidate> {
        let (l, r) = (self.get(left)?, self.get(right)?);
        let len = l.len + r.len;
        let piece = self.spm.pieces.get(self.slice(l.start, len))?;
        Some(Candidate {
            score: piece.score,
            left,
            right,
            len,
        })
    }

    fn run(&mut self) {
        let pairs = 1..self.symbols.len() as u32;
        self.heap = pairs
            .filter_map(|right| self.consider(right - 1, right))
            .collect();
        while let Some(best) = self.heap.pop() {
            let (Some(left), Some(right)) = (self.get(best.left), self.get(best.right)) else {
                continue;
            };
            // One of the two has since become part of another piece.
            let stale = left.len == 0 || right.len == 0 || left.len + right.len != best.len;
            if stale {
                continue;
            }
            self.merge(best.left, best.right);
            let around = [(left.before, best.left), (best.left, right.after)];
            for (l, r) in around.into_iter().filter(|&(l, r)| l != NONE && r != NONE) {
                let candidate = self.consider(l, r);
                self.heap.extend(candidate);
            }
        }
    }

    fn merge(&mut self, left: u32, right: u32) {
        let Some(gone) = self.symbols.get_mut(right as usize) else {
            return;
        };
        let (len, after) = (gone.len, gone.after);
        gone.len = 0;
        if let Some(symbol) = self.symbols.get_mut(left as usize) {
            symbol.len += len;
            symbol.after = after;
        }
        if let Some(symbol) = self.symbols.get_mut(after as usize) {
            symbol.before = left;
        }
    }

    fn emit(&self, out: &mut Vec<TokenSpan>) {
        let mut was_unknown = false;
        let mut live = self.symbols.iter().filter(|s| s.len > 0).peekable();
        while let Some(symbol) = live.next() {
            let end = live.peek().map_or(self.end, |next| next.origin as usize);
            let bytes = symbol.origin as usize..end;
            let piece = self.slice(symbol.start, symbol.len);
            if let Some(known) = self.spm.pieces.get(piece) {
                out.push(TokenSpan {
                    id: known.id,
                    bytes,
                });
                was_unknown = false;
                continue;
            }
            let by_byte: Option<Vec<u32>> = piece
                .bytes()
                .map(|b| self.spm.byte_ids[b as usize])
                .collect();
            match (by_byte, out.last_mut()) {
                (Some(ids), _) => {
                    let span = |id| TokenSpan {
                        id,
                        bytes: bytes.clone(),
                    };
                    out.extend(ids.into_iter().map(span));
                    was_unknown = false;
                }
                // Neighbouring unknown characters are one unknown token.
                (None, Some(last)) if was_unknown => last.bytes.end = end,
                (None, _) => {
                    out.extend(self.spm.unknown.map(|id| TokenSpan { id, bytes }));
                    was_unknown = self.spm.unknown.is_some();
                }
            }
        }
    }
}
