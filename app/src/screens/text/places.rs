//! Places that the text goes to by itself: where distant context matters most, and where the latest
//! step learned.

use std::ops::Range;

use super::chunks::bytes_of;
use super::layout::word_around;
use super::lines::row_of;
use super::{Drawn, ROW, TextView, tell};
use crate::run::learning;
use crate::state::State;

/// Steps that take less than this are not followed by the text: it would only flicker.
const FOLLOWED_SECS: f64 = 1.0;

/// Where distant context matters most.
#[derive(Clone, Debug, PartialEq)]
pub struct Hottest {
    /// The first byte of the place.
    pub byte: usize,
    /// The word there that distant context helps most.
    pub word: String,
    /// How much likelier it is with distant context.
    pub times: String,
    /// Whether the place is seen.
    pub seen: bool,
}

/// What the latest step learned from.
#[derive(Default)]
pub struct Learned {
    made_of: Option<u64>,
    step: usize,
    /// Tokens of the document.
    pub tokens: Vec<Range<usize>>,
    /// Bytes of the chunk.
    pub chunk: Option<Range<usize>>,
    /// Whether the text stays where the person scrolled to, until the next run.
    pub left_alone: bool,
}

impl TextView {
    /// Where distant context matters most, once that is known. The text goes there when it is found
    /// first: its beginning, where nothing is distant, has no shade at all.
    pub fn hottest(&self) -> Option<Hottest> {
        let hottest = self.hottest.clone()?;
        let top = row_of(&self.rows, hottest.byte) as f32 * ROW;
        let seen = (self.offset - ROW..self.offset + self.seen - 2.0 * ROW).contains(&top);
        Some(Hottest { seen, ..hottest })
    }

    pub(super) fn find_hottest(&mut self, state: &mut State, drawn: &Drawn) {
        let key = (drawn.open.version, self.shaded, drawn.tokens.len());
        if self.hottest_of == Some(key) {
            return;
        }
        self.hottest_of = Some(key);
        self.hottest = None;
        let matches = drawn.tokens.len() >= self.shades.values.len();
        if !state.run.is_measured() || !matches {
            // Looked for again when there is more.
            self.hottest_of = None;
            return;
        }
        let Some(place) = self.shades.hottest() else {
            return;
        };
        let text = &drawn.open.document.text;
        let words = place.clone().map(|t| word_around(text, &drawn.tokens, t));
        let value = |word: &Range<usize>| self.shades.of_word(word.clone());
        let best = words.max_by(|a, b| value(a).total_cmp(&value(b)));
        let bytes = |word: &Range<usize>| {
            let last = drawn.tokens.get(word.end.checked_sub(1)?)?;
            Some(drawn.tokens.get(word.start)?.start..last.end)
        };
        let found = best.and_then(|word| {
            Some(Hottest {
                byte: drawn.tokens.get(place.start)?.start,
                word: text.get(bytes(&word)?)?.trim().to_owned(),
                times: tell::times(f64::from(value(&word))),
                seen: false,
            })
        });
        self.hottest = found;
        let first_time = self.shown_hottest_of != Some(state.opened);
        self.shown_hottest_of = Some(state.opened);
        let at_rest = self.offset < ROW && state.selection.chunk.is_none();
        if let Some(found) = &self.hottest
            && first_time
            && at_rest
            && state.scroll_to.is_none()
        {
            state.scroll_to = Some(found.byte);
        }
    }

    /// Notes what the latest step learned from, and goes there while steps are slow enough to be
    /// watched and the person has not scrolled elsewhere.
    pub(super) fn follow_steps(&mut self, state: &mut State, drawn: &Drawn) {
        let (record, version) = (&state.run.record, state.run.version);
        if self.learned.made_of == Some(version) {
            return;
        }
        let before = self.learned.step;
        let steps = record.steps.len();
        self.learned = Learned {
            made_of: Some(version),
            step: steps,
            left_alone: self.learned.left_alone && steps > 0,
            ..Learned::default()
        };
        let Some((segment, chunk)) = learning::chunk_now(record).filter(|_| state.is_running())
        else {
            return;
        };
        let start = self.shades.starts.get(segment).copied().unwrap_or(0);
        let tokens = learning::tokens_now(record).into_iter();
        let tokens = tokens.map(|t| start + t.start..start + t.end);
        self.learned.tokens = tokens.collect();
        self.learned.chunk = bytes_of(record, segment, chunk);
        let slow = record
            .steps
            .last()
            .is_some_and(|s| s.step.seconds >= FOLLOWED_SECS);
        let chosen = state.selection.chunk.is_some();
        if steps == before
            || !slow
            || chosen
            || self.learned.left_alone
            || state.scroll_to.is_some()
        {
            return;
        }
        let row = |token: &Range<usize>| {
            let byte = drawn.tokens.get(token.start)?.start;
            Some((byte, row_of(&self.rows, byte) as f32 * ROW))
        };
        let mut places = self.learned.tokens.iter().filter_map(row);
        let seen = self.offset..self.offset + self.seen - ROW;
        if places.clone().all(|(_, top)| !seen.contains(&top)) {
            state.scroll_to = places.next().map(|(byte, _)| byte);
        }
    }
}
