//! Rows of the text as they are drawn: where each word stands, and which tokens make it up.

use std::ops::Range;
use std::sync::Arc;

use eframe::egui::{
    Color32, FontId, Galley, TextStyle, Ui,
    epaint::text::cursor::CCursor,
    text::{LayoutJob, TextFormat},
};
use inscribe::write::document::{Document, Format};

use super::lines::{Row, is_ideograph};
use crate::theme::{Theme, text};

/// A row laid out.
pub struct LaidOut {
    pub galley: Arc<Galley>,
    pub words: Vec<Word>,
}

/// A word of a row, or what else stands between spaces.
pub struct Word {
    pub tokens: Range<usize>,
    /// Left and right end of its place.
    pub from: f32,
    pub to: f32,
    /// Whether it only says how the words around it look.
    pub is_mark: bool,
}

pub fn fonts(ui: &Ui) -> (FontId, FontId) {
    let plain = TextStyle::Body.resolve(ui.style());
    let strong = text::strong_style().resolve(ui.style());
    (
        FontId::new(15.0, plain.family),
        FontId::new(15.0, strong.family),
    )
}

pub fn lay_out(ui: &Ui, document: &Document, tokens: &[Range<usize>], row: Row) -> LaidOut {
    let words = document.text.get(row.bytes()).unwrap_or("");
    // A line end within a row is one that fills a paragraph only; it has the length of a space.
    let words = words.replace('\n', " ");
    let job = job(ui, document, &words, row.heading);
    let galley = ui.painter().layout_job(job);
    let first = tokens.partition_point(|token| token.end <= row.start);
    // Tokens follow one another, so characters are counted once.
    let (mut at, mut chars) = (0, 0);
    let mut x = |byte: usize| {
        let byte = byte.clamp(row.start, row.end) - row.start;
        // A token may end within a character: it is drawn as far as the character before.
        if let Some(part) = words.get(at..byte) {
            chars += part.chars().count();
            at = byte;
        }
        galley.pos_from_cursor(CCursor::new(chars)).min.x
    };
    let mut placed: Vec<Word> = Vec::new();
    let seen = tokens[first..].iter().take_while(|t| t.start < row.end);
    for (at, token) in seen.enumerate() {
        let index = first + at;
        let spaces = spaces_before(&document.text, token);
        let (from, to) = (x(token.start + spaces), x(token.end));
        match placed.last_mut() {
            Some(word) if goes_on(&document.text, tokens, index) => {
                (word.tokens.end, word.to) = (index + 1, to);
                word.is_mark = false;
            }
            _ => placed.push(Word {
                tokens: index..index + 1,
                from,
                to,
                is_mark: is_mark(document, token),
            }),
        }
    }
    LaidOut {
        galley,
        words: placed,
    }
}

fn is_mark(document: &Document, token: &Range<usize>) -> bool {
    let words = document.text.get(token.clone()).unwrap_or("").trim();
    let marks = |c: char| matches!(c, '#' | '*' | '`');
    document.format == Format::Markdown && !words.is_empty() && words.chars().all(marks)
}

/// Bytes of white space that a token begins with, where it has anything else.
fn spaces_before(text: &str, token: &Range<usize>) -> usize {
    let words = text.get(token.clone()).unwrap_or("");
    let trimmed = words.trim_start();
    if trimmed.is_empty() {
        0
    } else {
        words.len() - trimmed.len()
    }
}

/// Whether a token goes on with the word of the token before it.
fn goes_on(text: &str, tokens: &[Range<usize>], index: usize) -> bool {
    let Some(token) = tokens.get(index) else {
        return false;
    };
    let (Some(before), Some(after)) = (text.get(..token.start), text.get(token.start..)) else {
        // It begins within a character.
        return true;
    };
    let joins = |c: char| (c.is_alphanumeric() && !is_ideograph(c)) || matches!(c, '’' | '\'');
    let last = before.chars().next_back();
    let next = after.chars().next();
    last.is_some_and(joins) && next.is_some_and(joins)
}

/// The tokens of the word that a token is part of.
pub fn word_around(text: &str, tokens: &[Range<usize>], token: usize) -> Range<usize> {
    let mut word = token..token + 1;
    while word.start > 0 && goes_on(text, tokens, word.start) {
        word.start -= 1;
    }
    while goes_on(text, tokens, word.end) {
        word.end += 1;
    }
    word
}

/// The row's letters, with the marks of Markdown fainter than the words.
fn job(ui: &Ui, document: &Document, words: &str, heading: bool) -> LayoutJob {
    let (plain, strong) = fonts(ui);
    let font = if heading { strong } else { plain };
    let faint = Theme::of(ui).palette.faint;
    let mut job = LayoutJob {
        break_on_newline: false,
        ..LayoutJob::default()
    };
    job.wrap.max_width = f32::INFINITY;
    let mut put = |from: usize, to: usize, colour: Color32| {
        if let Some(part) = words.get(from..to).filter(|part| !part.is_empty()) {
            job.append(part, 0.0, TextFormat::simple(font.clone(), colour));
        }
    };
    let mut at = 0;
    let marks = match document.format {
        Format::Markdown => marks(words, heading),
        _ => Vec::new(),
    };
    for mark in marks {
        put(at, mark.start, Color32::PLACEHOLDER);
        put(mark.start, mark.end, faint);
        at = mark.end;
    }
    put(at, words.len(), Color32::PLACEHOLDER);
    job
}

/// The bytes of a row that are Markdown's and not the author's: of headings, of emphasis, of code.
fn marks(words: &str, heading: bool) -> Vec<Range<usize>> {
    let mut marks = Vec::new();
    let mut from = 0;
    if heading {
        from = words.len() - words.trim_start_matches('#').len();
        if from > 0 {
            marks.push(0..from);
        }
    }
    let rest = words.get(from..).unwrap_or("");
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if !matches!(c, '*' | '`') {
            continue;
        }
        let mut end = at + 1;
        while chars.next_if(|next| next.1 == c).is_some() {
            end += 1;
        }
        let space = |c: Option<char>| c.is_none_or(char::is_whitespace);
        let before = rest.get(..at).and_then(|s| s.chars().next_back());
        let after = rest.get(end..).and_then(|s| s.chars().next());
        // A star by itself is one.
        if !(space(before) && space(after)) {
            marks.push(from + at..from + end);
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_made_up_of_their_tokens() {
        let text = "Miss Mathilde’s 1,200 stars: 潮汐.";
        let cuts = [0, 4, 9, 13, 17, 19, 20, 22, 23, 26, 29, 30, 31, 34, 37, 38];
        let tokens: Vec<Range<usize>> = cuts.windows(2).map(|w| w[0]..w[1]).collect();
        let word = |token: usize| {
            let word = word_around(text, &tokens, token);
            text.get(tokens[word.start].start..tokens[word.end - 1].end)
        };
        assert_eq!(word(0), Some("Miss"));
        for token in 1..4 {
            assert_eq!(word(token), Some(" Mathilde’s"), "{token}");
        }
        let ideograph = tokens
            .iter()
            .position(|t| text.get(t.clone()) == Some("潮"));
        assert_eq!(word(ideograph.expect("one token")), Some("潮"));
    }

    #[test]
    fn marks_of_markdown_are_told_from_words() {
        let of = |words: &str, heading| -> Vec<String> {
            let marks = marks(words, heading).into_iter();
            marks.map(|m| words[m].to_owned()).collect()
        };
        assert_eq!(of("## 5. The numbers", true), ["##"]);
        assert_eq!(
            of("a **bold** and *thin* `code`", false),
            ["**", "**", "*", "*", "`", "`"]
        );
        assert!(of("2 * 3, and a # sign", false).is_empty());
    }
}
