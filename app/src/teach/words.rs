//! A token in its sentence.

use std::ops::Range;

use eframe::egui::{Color32, TextFormat, TextStyle, Ui, text::LayoutJob};

use crate::theme::{Theme, space};

/// Most bytes of a sentence that are shown at either side of the word.
const SIDE: usize = 180;

/// A document's text, and the bytes that each token covers.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    pub text: &'a str,
    pub tokens: &'a [Range<usize>],
}

impl<'a> Words<'a> {
    /// What comes before the word that a token is in, the word, and what comes after, within its
    /// sentence.
    pub fn around(&self, token: usize) -> Option<[String; 3]> {
        let bytes = self.tokens.get(token)?.clone();
        let (before, own) = (self.text.get(..bytes.start)?, self.text.get(bytes.clone())?);
        let after = self.text.get(bytes.end..)?;
        let spaces = own.len() - own.trim_start().len();
        let (lead, own) = own.split_at(spaces);
        // The rest of a word that was cut into several tokens.
        let joined = lead.is_empty() && own.starts_with(char::is_alphanumeric);
        let head = if joined { ending_word(before) } else { "" };
        let tail = if own.ends_with(char::is_alphanumeric) {
            beginning_word(after)
        } else {
            ""
        };
        let word = format!("{head}{own}{tail}").trim().to_owned();
        // White space alone is no word to show.
        if word.is_empty() {
            return None;
        }
        let before = format!("{}{lead}", &before[..before.len() - head.len()]);
        Some([
            flat(sentence_before(&before)),
            word,
            flat(sentence_after(&after[tail.len()..])),
        ])
    }

    /// Shows the sentence with the word on coloured ground.
    pub fn show(&self, ui: &mut Ui, token: usize, size: f32) {
        let Some([before, word, after]) = self.around(token) else {
            return;
        };
        let p = Theme::of(ui).palette;
        let mut font = TextStyle::Body.resolve(ui.style());
        font.size = size;
        let format = |colour: Color32, background: Color32| TextFormat {
            color: colour,
            background,
            line_height: Some(1.5 * size),
            ..TextFormat::simple(font.clone(), colour)
        };
        let plain = || format(p.muted, Color32::TRANSPARENT);
        let mut job = LayoutJob::default();
        job.append(&format!("“{before}"), 0.0, plain());
        job.append(&word, 0.0, format(p.ink, p.utility.gamma_multiply(0.35)));
        job.append(&format!("{after}”"), 0.0, plain());
        ui.label(job);
        ui.add_space(space::XS);
    }
}

fn ending_word(text: &str) -> &str {
    let start = text
        .char_indices()
        .rev()
        .take_while(|(_, c)| c.is_alphanumeric())
        .last();
    start.map_or("", |(at, _)| &text[at..])
}

fn beginning_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric());
    &text[..end.unwrap_or(text.len())]
}

/// From the sentence's beginning, or from a place not too far before its end.
fn sentence_before(text: &str) -> String {
    let ends = |at: &(usize, &str)| at.1.starts_with(char::is_whitespace);
    let mut breaks = text
        .match_indices(['.', '!', '?', ':'])
        .map(|(at, mark)| (at + mark.len(), &text[at + mark.len()..]))
        .filter(ends)
        .map(|(at, _)| at);
    let paragraph = text.rfind("\n\n").map(|at| at + 2);
    let start = breaks.next_back().max(paragraph).unwrap_or(0);
    let sentence = text[start..].trim_start();
    match far_enough(sentence, sentence.len().saturating_sub(SIDE)) {
        Some(at) if at > 0 => format!("… {}", &sentence[at..]),
        _ => sentence.to_owned(),
    }
}

fn sentence_after(text: &str) -> String {
    let marks = text.match_indices(['.', '!', '?']);
    let ends = marks.map(|(at, mark)| at + mark.len()).find(|&at| {
        let rest = &text[at..];
        rest.is_empty() || rest.starts_with(char::is_whitespace)
    });
    let paragraph = text.find("\n\n");
    let ends = [ends, paragraph].into_iter().flatten().min();
    let sentence = &text[..ends.unwrap_or(text.len())];
    match far_enough(sentence, SIDE) {
        Some(at) if at < sentence.len() => format!("{} …", sentence[..at].trim_end()),
        _ => sentence.to_owned(),
    }
}

/// The next space from a byte on.
fn far_enough(text: &str, from: usize) -> Option<usize> {
    let mut places = text.char_indices().skip_while(|&(at, _)| at < from);
    if from == 0 {
        return Some(0);
    }
    places.find(|(_, c)| c.is_whitespace()).map(|(at, _)| at)
}

/// In one line.
fn flat(text: String) -> String {
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token at each of these pieces.
    fn around(pieces: &[&str], token: usize) -> [String; 3] {
        let text = pieces.concat();
        let mut at = 0;
        let tokens: Vec<Range<usize>> = pieces
            .iter()
            .map(|piece| {
                at += piece.len();
                at - piece.len()..at
            })
            .collect();
        let words = Words {
            text: &text,
            tokens: &tokens,
        };
        words.around(token).expect("a token of the text")
    }

    #[test]
    fn a_token_stands_in_its_word_and_its_sentence() {
        let pieces = [
            "It rose. Old",
            " Math",
            "ilde",
            " was\nlost",
            ". Nobody",
            " knew.",
        ];
        for token in [1, 2] {
            let [before, word, after] = around(&pieces, token);
            assert_eq!((before.as_str(), word.as_str()), ("Old ", "Mathilde"));
            assert_eq!(after, " was lost.");
        }
        let [before, word, after] = around(&["# The müll", "\n\n", "Burnt", " down"], 2);
        assert_eq!(
            (before.as_str(), word.as_str(), after.as_str()),
            ("", "Burnt", " down")
        );
    }

    #[test]
    fn long_sentences_are_cut_and_odd_places_do_no_harm() {
        let long = "wörd ".repeat(200);
        let [before, word, after] = around(&[&long, "middle", &format!(" {long}")], 1);
        assert_eq!(word, "middle");
        assert!(
            before.starts_with("… ") && after.ends_with(" …"),
            "{before} {after}"
        );
        assert!(before.len() < 2 * SIDE && after.len() < 2 * SIDE);
        let text = "ä";
        let words = Words {
            text,
            tokens: &[0..1, 5..9],
        };
        assert_eq!(words.around(0), None, "not at a character's edge");
        assert_eq!(words.around(1), None);
        assert_eq!(words.around(2), None);
    }
}
