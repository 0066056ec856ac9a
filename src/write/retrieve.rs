//! Which part of a long document a question is about, by its words: no part need be read by the
//! model to find out.

use std::collections::HashMap;

/// The words of each part, counted, for Okapi's BM25 (Robertson and Zaragoza, 2009).
pub struct PartWords {
    parts: Vec<Words>,
    mean_len: f64,
}

#[derive(Default)]
struct Words {
    counts: HashMap<String, u32>,
    len: usize,
}

/// How soon more of the same word counts no more, and how much a part's length counts; the usual
/// values.
const K1: f64 = 1.2;
const B: f64 = 0.75;

impl PartWords {
    pub fn new<'t>(texts: impl IntoIterator<Item = &'t str>) -> PartWords {
        let parts: Vec<Words> = texts.into_iter().map(Words::of).collect();
        let len: usize = parts.iter().map(|part| part.len).sum();
        let mean_len = (len as f64 / parts.len().max(1) as f64).max(1.0);
        PartWords { parts, mean_len }
    }

    /// The part that fits the question best, the first of equals; `None` where no part has any of
    /// its words, or all have them alike.
    pub fn best(&self, question: &str) -> Option<usize> {
        let mut asked: Vec<String> = words(question).collect();
        asked.sort();
        asked.dedup();
        let scores: Vec<f64> = self
            .parts
            .iter()
            .map(|part| self.score(part, &asked))
            .collect();
        let best = scores.iter().copied().fold(0.0, f64::max);
        scores
            .iter()
            .position(|&score| score == best && score > 0.0)
    }

    /// Sum over words of `idf f (k1 + 1) / (f + k1 (1 - b + b len / mean))`.
    fn score(&self, part: &Words, asked: &[String]) -> f64 {
        let long = 1.0 - B + B * part.len as f64 / self.mean_len;
        let of_word = |word: &String| {
            let count = f64::from(part.counts.get(word).copied().unwrap_or(0));
            self.rarity(word) * count * (K1 + 1.0) / (count + K1 * long)
        };
        asked.iter().map(of_word).sum()
    }

    /// `ln(1 + (N - n + 1/2) / (n + 1/2))`, n of N parts having the word.
    fn rarity(&self, word: &str) -> f64 {
        let having = self
            .parts
            .iter()
            .filter(|part| part.counts.contains_key(word));
        let (n, all) = (having.count() as f64, self.parts.len() as f64);
        (1.0 + (all - n + 0.5) / (n + 0.5)).ln()
    }
}

impl Words {
    fn of(text: &str) -> Words {
        let mut own = Words::default();
        for word in words(text) {
            *own.counts.entry(word).or_default() += 1;
            own.len += 1;
        }
        own
    }
}

/// Words in small letters; each character of scripts that put no spaces between words.
fn words(text: &str) -> impl Iterator<Item = String> {
    let runs = text.split(|c: char| !c.is_alphanumeric());
    runs.filter(|run| !run.is_empty()).flat_map(|run| {
        let mut found = Vec::new();
        let mut word = String::new();
        for c in run.chars() {
            if matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}') {
                found.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                found.push(c.to_string());
            } else {
                word.extend(c.to_lowercase());
            }
        }
        found.extend((!word.is_empty()).then_some(word));
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_of_the_question_decide() {
        let parts = PartWords::new([
            "The harbour was dug in 1884. The harbour master kept the books.",
            "The lighthouse keeper, a Mrs. Thorne, kept the lamp and the tide table.",
            "灯台は港の北にある。港長は海図を持つ。",
        ]);
        assert_eq!(parts.best("Who was the lighthouse KEEPER?"), Some(1));
        assert_eq!(parts.best("When was the harbour dug?"), Some(0));
        assert_eq!(parts.best("海図はどこ"), Some(2));
        assert_eq!(parts.best("Quantum chromodynamics!"), None);
        assert_eq!(parts.best("?"), None);
    }
}
