//! Which tokens a step learns from. A draw depends on the seed and the number of the step alone,
//! so that a resumed run goes on as if it had never stopped.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::model::draws::{below, generator};

/// The batch of a step: spans of one length. A span that starts at `s` reads the tokens
/// `s..s + len` and learns to predict the tokens `s + 1..s + len + 1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spans {
    /// The first token of each span, ascending; the same one may come twice.
    pub starts: Vec<usize>,
    /// Tokens that each span reads.
    pub len: usize,
}

impl Spans {
    /// The tokens that are read.
    pub fn inputs(&self) -> impl Iterator<Item = Range<usize>> {
        self.starts.iter().map(|&start| start..start + self.len)
    }

    /// The tokens that are predicted.
    pub fn targets(&self) -> impl Iterator<Item = Range<usize>> {
        let len = self.len;
        self.starts.iter().map(move |&s| s + 1..s + 1 + len)
    }

    /// How many predictions it holds.
    pub fn tokens(&self) -> usize {
        self.starts.len() * self.len
    }
}

/// Draws the batches of a run.
#[derive(Clone, Debug)]
pub struct SpanSampler {
    seed: u64,
    batch: usize,
    span: usize,
    /// Tokens that are never predicted, sorted and without overlap.
    held_out: Vec<Range<usize>>,
}

impl SpanSampler {
    /// `batch` spans of `span` tokens a step.
    pub fn new(seed: u64, batch: usize, span: usize) -> Self {
        SpanSampler {
            seed,
            batch,
            span,
            held_out: Vec::new(),
        }
    }

    /// Never lets these tokens be predicted; they may still be read.
    pub fn hold_out(mut self, mut tokens: Vec<Range<usize>>) -> Self {
        tokens.retain(|range| !range.is_empty());
        tokens.sort_by_key(|range| range.start);
        self.held_out = merged(tokens);
        self
    }

    /// The batch of a step: spans whose predictions lie in `chunk`, each drawn by itself from all
    /// such spans. Where none of the span's length fits, the longest that fits is drawn. `None`
    /// if there is nothing to predict: the document's first token, or a chunk held out whole.
    pub fn draw(&self, step: u64, chunk: Range<usize>) -> Option<Spans> {
        let free = self.free(chunk);
        let longest = free.iter().map(|range| range.len()).max()?;
        let len = self.span.clamp(1, longest);
        let places = |range: &Range<usize>| (range.len() + 1).saturating_sub(len);
        let total: usize = free.iter().map(places).sum();
        let mut random = generator(self.seed, step);
        let mut starts = Vec::with_capacity(self.batch);
        for _ in 0..self.batch {
            let mut place = below(&mut random, total as u64) as usize;
            for range in &free {
                if place < places(range) {
                    // The token before the first predicted one is the first read.
                    starts.push(range.start + place - 1);
                    break;
                }
                place -= places(range);
            }
        }
        starts.sort_unstable();
        Some(Spans { starts, len })
    }

    /// The batch of a step that knows no chunks (qTTT).
    pub fn draw_whole(&self, step: u64, tokens: usize) -> Option<Spans> {
        self.draw(step, 0..tokens)
    }

    /// The parts of `chunk` whose tokens may be predicted.
    fn free(&self, chunk: Range<usize>) -> Vec<Range<usize>> {
        let mut free = Vec::new();
        // Nothing comes before the first token of a document.
        let mut from = chunk.start.max(1);
        let first = self.held_out.partition_point(|held| held.end <= from);
        for held in &self.held_out[first..] {
            if held.start >= chunk.end {
                break;
            }
            if held.start > from {
                free.push(from..held.start);
            }
            from = from.max(held.end);
        }
        if from < chunk.end {
            free.push(from..chunk.end);
        }
        free
    }
}

/// Ranges sorted by their start, made one where they touch.
fn merged(ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

/// Tokens to keep out of every step: about `share` of each chunk, in pieces of `piece` tokens at
/// places drawn from `seed`. Each chunk's part is rounded to whole pieces, so that a chunk too
/// small for one keeps all of its tokens. The document's first token is never among them.
pub fn choose_held_out(
    chunks: &[Range<usize>],
    share: f64,
    piece: usize,
    seed: u64,
) -> Vec<Range<usize>> {
    let piece = piece.max(1);
    let share = share.clamp(0.0, 1.0);
    let mut held = Vec::new();
    for (index, chunk) in chunks.iter().enumerate() {
        let start = chunk.start.max(1);
        let slots = chunk.end.saturating_sub(start) / piece;
        let wanted = (slots as f64 * share).round() as usize;
        let mut random = generator(seed, HELD_OUT_STREAM ^ index as u64);
        let mut order: Vec<usize> = (0..slots).collect();
        for at in 0..wanted.min(slots) {
            order.swap(at, at + below(&mut random, (slots - at) as u64) as usize);
            let begin = start + order[at] * piece;
            held.push(begin..begin + piece);
        }
    }
    held.sort_by_key(|range| range.start);
    merged(held)
}

/// Keeps the choice of held-out tokens apart from every step's draw.
const HELD_OUT_STREAM: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_step_s_draw_depends_on_the_seed_and_the_step_alone() {
        let sampler = SpanSampler::new(7, 32, 8);
        let later = sampler.draw(100, 0..1024);
        for step in 0..100 {
            sampler.draw(step, 0..512);
        }
        assert_eq!(later, sampler.draw(100, 0..1024));
        assert_ne!(later, sampler.draw(101, 0..1024));
        assert_ne!(later, SpanSampler::new(8, 32, 8).draw(100, 0..1024));
    }

    /// Runs must go on the same after an update of this program or of a dependency.
    #[test]
    fn draws_keep_their_values() {
        let spans = SpanSampler::new(1, 4, 8).draw(2, 1024..2048).unwrap();
        assert_eq!(spans.starts, [1351, 1498, 1940, 1994]);
    }

    #[test]
    fn every_place_of_a_chunk_is_drawn_about_as_often() {
        let sampler = SpanSampler::new(3, 64, 4);
        let mut counts = [0usize; 16];
        for step in 0..1000 {
            for start in sampler.draw(step, 100..119).unwrap().starts {
                counts[start - 99] += 1;
            }
        }
        // 64,000 draws of 16 places: 4000 each, deviation about 61.
        for count in counts {
            assert!(count.abs_diff(4000) < 300, "{counts:?}");
        }
    }

    #[test]
    fn short_chunks_give_shorter_spans_and_the_first_token_none() {
        let sampler = SpanSampler::new(0, 2, 128);
        assert_eq!(sampler.draw(0, 0..1), None);
        assert_eq!(sampler.draw(0, 5..5), None);
        let spans = sampler.draw(0, 0..2).unwrap();
        assert_eq!((spans.starts, spans.len), (vec![0, 0], 1));
        let spans = sampler.draw(0, 10..15).unwrap();
        assert_eq!((spans.starts, spans.len), (vec![9, 9], 5));
        let all = SpanSampler::new(0, 1, 8).hold_out(vec![4..9, 0..6]);
        assert_eq!(all.draw(0, 2..9), None);
        assert_eq!(all.draw(0, 2..10).unwrap().targets().next(), Some(9..10));
    }

    #[test]
    fn the_share_held_out_is_the_share_asked_for() {
        let chunks = [0..1024, 1024..2048, 2048..2058];
        let held = choose_held_out(&chunks, 0.25, 32, 5);
        let inside = |chunk: &Range<usize>| -> usize {
            let cut = |h: &Range<usize>| {
                h.end
                    .min(chunk.end)
                    .saturating_sub(h.start.max(chunk.start))
            };
            held.iter().map(cut).sum()
        };
        let sizes: Vec<usize> = chunks.iter().map(inside).collect();
        assert_eq!(sizes, [256, 256, 0]);
        assert!(choose_held_out(&chunks, 0.0, 32, 5).is_empty());
        assert_ne!(held, choose_held_out(&chunks, 0.25, 32, 6));
    }

    proptest! {
        #[test]
        fn predictions_stay_in_the_chunk_and_off_held_out_tokens(
            seed: u64, step: u64, start in 0usize..500, len in 0usize..300,
            batch in 0usize..40, span in 0usize..200,
            held in proptest::collection::vec((0usize..800, 0usize..60), 0..8),
        ) {
            let held: Vec<Range<usize>> = held.iter().map(|&(s, n)| s..s + n).collect();
            let sampler = SpanSampler::new(seed, batch, span).hold_out(held.clone());
            let chunk = start..start + len;
            let is_free = |t: usize| t > 0 && held.iter().all(|h| !h.contains(&t));
            match sampler.draw(step, chunk.clone()) {
                None => prop_assert!(!chunk.clone().any(is_free)),
                Some(spans) => {
                    prop_assert_eq!(spans.starts.len(), batch);
                    prop_assert!(spans.len >= 1 && spans.len <= span.max(1));
                    prop_assert!(spans.starts.is_sorted());
                    for target in spans.targets().flatten() {
                        prop_assert!(chunk.contains(&target) && is_free(target));
                    }
                }
            }
        }

        #[test]
        fn held_out_tokens_lie_in_their_chunks(
            sizes in proptest::collection::vec(0usize..200, 0..8),
            share in 0.0f64..1.0, piece in 0usize..40, seed: u64,
        ) {
            let mut at = 0;
            let chunks: Vec<Range<usize>> = sizes.iter().map(|n| { at += n; at - n..at }).collect();
            let held = choose_held_out(&chunks, share, piece, seed);
            for pair in held.windows(2) {
                prop_assert!(pair[0].end < pair[1].start);
            }
            let count: usize = held.iter().map(Range::len).sum();
            prop_assert!(held.iter().all(|h| h.start >= 1 && h.end <= at));
            prop_assert!(count as f64 <= at as f64 * share + (chunks.len() * piece.max(1)) as f64);
        }
    }
}
