//! How much context changes each token: `log P_full - log P_local`, in nats.

use std::ops::Range;

use eframe::egui::Color32;
use inscribe::write::record::RunRecord;

use crate::theme::Theme;

/// Values of all tokens of the document, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shades {
    /// Value of each token in nats; NaN where it is not known.
    pub values: Vec<f32>,
    /// Absolute value that is shaded in full, in nats: most values are below it.
    pub full: f32,
    /// Index of each segment's first token.
    pub starts: Vec<usize>,
    /// The first tokens of each segment: all that comes before them is near, so that nothing
    /// distant can change them.
    pub quiet: Vec<Range<usize>>,
    made_of: Vec<(usize, usize, usize)>,
}

impl Shades {
    /// Works the values out again where the passes have reported more. Returns whether they have.
    pub fn refresh(&mut self, record: &RunRecord) -> bool {
        let of: Vec<_> = record
            .segments
            .iter()
            .map(|segment| {
                let seconds = segment.prefill_secs + segment.local_secs;
                let (full, local) = (segment.surprisal.len(), segment.local_surprisal.len());
                (full, local, seconds.to_bits() as usize)
            })
            .collect();
        if of == self.made_of {
            return false;
        }
        let mut values = Vec::new();
        let mut starts = Vec::new();
        for segment in &record.segments {
            starts.push(values.len());
            for token in 0..segment.tokens {
                let full = segment.surprisal.get(token).copied().flatten();
                let local = segment.local_surprisal.get(token).copied().flatten();
                values.push(match (full, local) {
                    (Some(full), Some(local)) => local - full,
                    _ => f32::NAN,
                });
            }
        }
        let quiet = starts
            .iter()
            .filter_map(|&start| quiet_from(&values, start));
        *self = Shades {
            quiet: quiet.collect(),
            full: full_size(&values),
            values,
            starts,
            made_of: of,
        };
        true
    }

    pub fn is_known(&self) -> bool {
        self.full > 0.0
    }

    /// The value of the word that some tokens make up: log-probabilities of parts add up.
    pub fn of_word(&self, tokens: Range<usize>) -> f32 {
        let tokens = tokens.start.min(self.values.len())..tokens.end.min(self.values.len());
        let known = self.values[tokens].iter().filter(|v| v.is_finite());
        known.sum()
    }

    /// A word's value in parts of the full size, from -1 to 1.
    pub fn part(&self, tokens: Range<usize>) -> f32 {
        if self.full > 0.0 {
            (self.of_word(tokens) / self.full).clamp(-1.0, 1.0)
        } else {
            0.0
        }
    }

    /// Whether nothing is distant for a token yet.
    pub fn is_quiet(&self, token: usize) -> bool {
        self.quiet.iter().any(|quiet| quiet.contains(&token))
    }

    /// The tokens, as many as a short paragraph has, that distant context changes most; `None`
    /// where it changes nothing that could be seen.
    pub fn hottest(&self) -> Option<Range<usize>> {
        const PARAGRAPH: usize = 48;
        // A single extreme makes no paragraph.
        let size = |v: &f32| {
            if v.is_finite() {
                v.abs().min(self.full)
            } else {
                0.0
            }
        };
        let length = PARAGRAPH.min(self.values.len());
        let mut sum: f32 = self.values.iter().take(length).map(size).sum();
        let (mut most, mut best) = (sum, 0);
        for (at, (gone, come)) in self
            .values
            .iter()
            .zip(self.values.iter().skip(length))
            .enumerate()
        {
            sum += size(come) - size(gone);
            if sum > most {
                (most, best) = (sum, at + 1);
            }
        }
        let seen = self.full * 0.1 * length as f32;
        (self.is_known() && most > seen).then_some(best..best + length)
    }

    /// Mean size, or signed mean, in parts of the full size.
    pub fn mean_part(&self, tokens: Range<usize>, signed: bool) -> f32 {
        let tokens = tokens.start.min(self.values.len())..tokens.end.min(self.values.len());
        let (mut sum, mut count) = (0.0, 0.0f32);
        for value in self.values[tokens].iter().filter(|v| v.is_finite()) {
            sum += if signed { *value } else { value.abs() };
            count += 1.0;
        }
        if count > 0.0 && self.full > 0.0 {
            (sum / count / self.full).clamp(-1.0, 1.0)
        } else {
            0.0
        }
    }

    /// The segment of a token of the document, and its place there.
    pub fn place(&self, token: usize) -> Option<(usize, usize)> {
        let segment = self
            .starts
            .partition_point(|&s| s <= token)
            .checked_sub(1)?;
        Some((segment, token - self.starts[segment]))
    }
}

/// The tokens from `start` on that both passes gave the very same surprisal: they read the same.
fn quiet_from(values: &[f32], start: usize) -> Option<Range<usize>> {
    const TELLING: usize = 8;
    let unchanged = |v: &&f32| **v == 0.0 || v.is_nan();
    let length = values[start..].iter().take_while(unchanged).count();
    let any_known = values[start..].iter().any(|v| v.is_finite());
    (any_known && length >= TELLING).then_some(start..start + length)
}

/// What 98 of 100 tokens stay below, so that a few extremes do not pale the rest.
fn full_size(values: &[f32]) -> f32 {
    let mut sizes: Vec<f32> = values
        .iter()
        .filter(|v| v.is_finite())
        .map(|v| v.abs())
        .collect();
    if sizes.is_empty() {
        return 0.0;
    }
    let at = (sizes.len() - 1) * 98 / 100;
    let (_, full, _) = sizes.select_nth_unstable_by(at, f32::total_cmp);
    full.max(0.5)
}

/// The ground behind a token: one hue, stronger with the part. Signed, blue is where distant
/// context misleads.
pub fn ground(theme: Theme, part: f32, signed: bool) -> Option<Color32> {
    let size = part.abs();
    if size < 0.06 {
        return None;
    }
    let hue = if signed && part < 0.0 {
        theme.palette.better
    } else {
        theme.palette.utility
    };
    let most = if theme.dark { 0.52 } else { 0.62 };
    Some(hue.gamma_multiply(most * size.powf(0.8)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use inscribe::write::synthetic::{Invented, events};

    #[test]
    fn shades_are_the_difference_of_both_passes() {
        let run = Invented {
            context: 5000,
            ..Invented::default()
        };
        let record = RunRecord::from_events(&events(&run));
        let mut shades = Shades::default();
        assert!(shades.refresh(&record));
        assert!(!shades.refresh(&record), "nothing is new");
        assert_eq!(shades.values.len(), run.tokens);
        assert!(shades.is_known());
        let (segment, token) = shades.place(6000).expect("a token");
        let part = &record.segments[segment];
        let both = part.local_surprisal[token].zip(part.surprisal[token]);
        if let Some((local, full)) = both {
            assert_eq!(shades.values[6000], local - full);
        }
        assert!((0..run.tokens).all(|t| shades.part(t..t + 1).abs() <= 1.0));
        let shaded = (0..run.tokens)
            .filter(|&t| shades.part(t..t + 1).abs() == 1.0)
            .count();
        assert!(shaded < run.tokens / 20, "{shaded} are shaded in full");
        assert!(shades.mean_part(0..usize::MAX, false) > 0.0);
    }

    #[test]
    fn the_quiet_beginning_and_the_hottest_place_are_found() {
        let mut values = vec![0.0; 700];
        values[0] = f32::NAN;
        for (at, value) in values.iter_mut().enumerate().skip(512) {
            *value = if (600..640).contains(&at) { 2.0 } else { 0.02 };
        }
        let shades = Shades {
            quiet: quiet_from(&values, 0).into_iter().collect(),
            full: full_size(&values),
            values,
            ..Shades::default()
        };
        assert_eq!(shades.quiet.first(), Some(&(0..512)));
        assert!(shades.is_quiet(511) && !shades.is_quiet(512));
        let hot = shades.hottest().expect("a place");
        assert!(hot.start <= 600 && 640 <= hot.end, "{hot:?}");
        assert_eq!(shades.of_word(600..603), 6.0, "parts of a word add up");
        let nothing = Shades {
            values: vec![0.0; 100],
            full: 0.5,
            ..Shades::default()
        };
        assert_eq!(nothing.hottest(), None);
    }
}
