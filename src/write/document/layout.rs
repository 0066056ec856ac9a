//! From characters on pages to lines, and from lines to headings, paragraphs and lists. A PDF
//! keeps none of these.

use std::collections::HashMap;

use super::plain::heading_level;
use super::{BlockKind, Draft};

/// A character as a PDF draws it. Lengths are in points, before the page is turned.
pub(super) struct Glyph<'a> {
    /// Where a step to the right, and one upwards, of the character leads on the page.
    pub across: (f64, f64),
    pub up: (f64, f64),
    pub at: (f64, f64),
    /// Width of the character, as a part of the font's size.
    pub width: f64,
    pub font_size: f64,
    pub text: &'a str,
}

#[derive(Clone, Debug)]
struct Line {
    page: u32,
    /// Ends of the line along the writing, and its place across it, in points.
    start: f64,
    end: f64,
    down: f64,
    size: f64,
    direction: (f64, f64),
    text: String,
}

/// The lines of all pages.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Vec<Line>,
    page: u32,
    word_begins: bool,
}

/// Gaps wider than this part of the size are spaces; narrower ones move letters closer.
const SPACE: f64 = 0.15;

impl Lines {
    pub(super) fn begin_page(&mut self, page: u32) {
        self.page = page;
    }

    pub(super) fn begin_word(&mut self) {
        self.word_begins = true;
    }

    pub(super) fn add(&mut self, glyph: &Glyph) {
        let length = |(x, y): (f64, f64)| x.hypot(y);
        let size = glyph.font_size * (length(glyph.across) * length(glyph.up)).sqrt();
        let size = if size.is_finite() && size > 0.0 {
            size
        } else {
            1.0
        };
        let scale = length(glyph.across);
        let (dx, dy) = if scale.is_finite() && scale > 0.0 {
            (glyph.across.0 / scale, glyph.across.1 / scale)
        } else {
            (1.0, 0.0)
        };
        let (x, y) = glyph.at;
        let (along, down) = (x * dx + y * dy, x * dy - y * dx);
        let end = along + glyph.width * size;
        let word_begins = std::mem::take(&mut self.word_begins);
        let goes_on = |line: &&mut Line| {
            let (ox, oy) = line.direction;
            line.page == self.page
                && ox * dx + oy * dy > 0.99
                && (down - line.down).abs() <= 0.5 * size.max(line.size)
                && along >= line.end - 2.0 * size
        };
        match self.lines.last_mut().filter(goes_on) {
            Some(line) => {
                if word_begins && along > line.end + SPACE * size {
                    line.text.push(' ');
                }
                push_letters(&mut line.text, glyph.text);
                line.end = end;
                // A raised note mark does not make its line a small one.
                line.size = line.size.max(size);
            }
            None if glyph.text.trim().is_empty() => {}
            None => {
                let mut text = String::new();
                push_letters(&mut text, glyph.text);
                self.lines.push(Line {
                    page: self.page,
                    start: along,
                    end,
                    down,
                    size,
                    direction: (dx, dy),
                    text,
                });
            }
        }
    }
}

/// Splits ligatures into their letters.
fn push_letters(line: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            'ﬀ' => line.push_str("ff"),
            'ﬁ' => line.push_str("fi"),
            'ﬂ' => line.push_str("fl"),
            'ﬃ' => line.push_str("ffi"),
            'ﬄ' => line.push_str("ffl"),
            'ﬅ' | 'ﬆ' => line.push_str("st"),
            '\0' => {}
            c if c.is_control() => line.push(' '),
            c => line.push(c),
        }
    }
}

pub(super) fn add_blocks(lines: Lines, draft: &mut Draft) {
    let mut lines = lines.lines;
    lines.retain(|line| !line.text.trim().is_empty());
    drop_running_heads(&mut lines, draft);
    let look = Look::of(&lines);
    let mut paragraph: Option<Paragraph> = None;
    for line in &lines {
        match &mut paragraph {
            Some(open) if look.goes_on(open, line) => open.add(line),
            _ => {
                if let Some(done) = paragraph.replace(Paragraph::new(line)) {
                    done.finish(&look, draft);
                }
            }
        }
    }
    if let Some(done) = paragraph {
        done.finish(&look, draft);
    }
}

/// Leaves out page numbers and titles at the edge of most pages.
fn drop_running_heads(lines: &mut Vec<Line>, draft: &mut Draft) {
    let pages = lines.chunk_by(|a, b| a.page == b.page).count();
    if pages < 3 {
        return;
    }
    let pattern = |line: &Line| -> String {
        let digits = line.text.trim().chars();
        digits
            .map(|c| if c.is_ascii_digit() { '#' } else { c })
            .collect()
    };
    let is_edge: Vec<bool> = (0..lines.len())
        .map(|i| {
            let page = lines[i].page;
            let other = |at: Option<usize>| at.and_then(|at| lines.get(at)).map(|l| l.page);
            other(i.checked_sub(1)) != Some(page) || other(Some(i + 1)) != Some(page)
        })
        .collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for (line, _) in lines.iter().zip(&is_edge).filter(|(_, edge)| **edge) {
        *counts.entry(pattern(line)).or_default() += 1;
    }
    let often = |line: &Line| {
        let pattern = pattern(line);
        let count = counts.get(&pattern).copied().unwrap_or(0);
        // A chapter's title with the page's number is on the chapter's pages alone.
        count * 2 > pages || (count >= 3 && pattern.contains('#'))
    };
    let edges = lines.iter().zip(&is_edge);
    let drop: Vec<bool> = edges.map(|(line, &edge)| edge && often(line)).collect();
    let dropped = drop.iter().filter(|&&drop| drop).count();
    // What is all there is, however often, is the text.
    if dropped > 0 && dropped < lines.len() {
        let mut drop = drop.into_iter();
        lines.retain(|_| !drop.next().unwrap_or(false));
        let note = format!("{dropped} page numbers and running titles were left out.");
        draft.notes.push(note);
    }
}

/// What is usual in a document.
struct Look {
    /// Size of the font that most characters have, in points.
    size: f64,
    /// Usual distance from line to line, in points.
    pitch: f64,
    /// The place along the writing where long lines end.
    right: f64,
    /// Sizes of headings in halves of a point, largest first.
    headings: Vec<i64>,
}

/// Sizes are compared in halves of a point.
fn half_points(size: f64) -> i64 {
    (size * 2.0).round() as i64
}

impl Look {
    fn of(lines: &[Line]) -> Look {
        let mut weights: HashMap<i64, usize> = HashMap::new();
        for line in lines {
            *weights.entry(half_points(line.size)).or_default() += line.text.len();
        }
        let usual = weights
            .iter()
            .max_by_key(|(size, weight)| (**weight, **size));
        let size = usual.map_or(1.0, |(&size, _)| size as f64 / 2.0).max(0.5);
        let is_usual = |line: &Line| half_points(line.size) == half_points(size);
        let mut pitches: Vec<f64> = lines
            .windows(2)
            .filter(|pair| pair[0].page == pair[1].page && pair.iter().all(is_usual))
            .map(|pair| pair[1].down - pair[0].down)
            .filter(|&pitch| pitch > 0.5 * size && pitch < 3.0 * size)
            .collect();
        let mut ends: Vec<f64> = lines.iter().map(|line| line.end).collect();
        let mut headings: Vec<i64> = weights.into_keys().collect();
        headings.retain(|&half| half as f64 / 2.0 >= 1.12 * size);
        headings.sort_unstable_by(|a, b| b.cmp(a));
        Look {
            size,
            // Short paragraphs have more gaps between them than within.
            pitch: quantile(&mut pitches, 0.25).unwrap_or(1.2 * size),
            right: quantile(&mut ends, 0.8).unwrap_or(f64::INFINITY),
            headings,
        }
    }

    fn heading(&self, size: f64) -> Option<u8> {
        let half = half_points(size);
        let rank = self.headings.iter().position(|&h| h == half)?;
        Some((rank + 1).min(4) as u8)
    }

    /// Whether a line belongs to the paragraph above it.
    fn goes_on(&self, open: &Paragraph, line: &Line) -> bool {
        let last = &open.last;
        if is_contents(&last.text) || is_contents(&line.text) {
            return false;
        }
        if half_points(last.size) != half_points(line.size) || bullet(&line.text).is_some() {
            return false;
        }
        let ended = ends_sentence(&last.text);
        if last.page != line.page || line.down < last.down {
            // The next page or column: a paragraph goes on in the middle of a sentence.
            let lower = line.text.trim_start().chars().next();
            return !ended && lower.is_some_and(char::is_lowercase);
        }
        let pitch = self.pitch * (line.size / self.size).max(1.0);
        if line.down - last.down > 1.35 * pitch {
            return false;
        }
        let indented = line.start > last.start + 0.8 * line.size;
        let short = last.end < self.right - 6.0 * line.size;
        let is_heading = self.heading(line.size).is_some();
        is_heading || !(ended && (indented || short))
    }
}

fn quantile(values: &mut [f64], part: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * part) as usize;
    values.get(at).copied()
}

/// Whether a line belongs to a table of contents: dots lead from its title to its page.
fn is_contents(text: &str) -> bool {
    text.contains(". . .") || text.contains("....")
}

/// The dots made three.
fn short_leader(text: &str) -> String {
    let is_dot = |c: char| c == '.' || c == ' ';
    let leader = text.find(". . .").or_else(|| text.find("...."));
    let (title, rest) = text.split_at(leader.unwrap_or(text.len()));
    format!("{} ... {}", title.trim(), rest.trim_start_matches(is_dot))
}

fn ends_sentence(text: &str) -> bool {
    let text = text.trim_end().trim_end_matches(['"', '”', '’', ')', ']']);
    text.ends_with(['.', '!', '?', ':', '…', '。'])
}

/// What follows the mark of a list's item.
fn bullet(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let marks = ['•', '·', '‣', '▪', '●', '◦', '■', '–'];
    text.strip_prefix(marks)
        .filter(|rest| !rest.trim().is_empty())
}

struct Paragraph {
    text: String,
    last: Line,
    lines: usize,
}

impl Paragraph {
    fn new(line: &Line) -> Paragraph {
        Paragraph {
            text: line.text.trim().to_owned(),
            last: line.clone(),
            lines: 1,
        }
    }

    fn add(&mut self, line: &Line) {
        let next = line.text.trim();
        let goes_on = next.chars().next().is_some_and(char::is_lowercase);
        let soft = self.text.ends_with('\u{AD}');
        let letter_before = self
            .text
            .chars()
            .rev()
            .nth(1)
            .is_some_and(char::is_alphabetic);
        if soft || (self.text.ends_with(['-', '‐']) && letter_before && goes_on) {
            // A word parted at the line's end.
            self.text.pop();
        } else {
            self.text.push(' ');
        }
        self.text.push_str(next);
        self.last = line.clone();
        self.lines += 1;
    }

    fn finish(self, look: &Look, draft: &mut Draft) {
        if is_contents(&self.text) {
            draft.push(BlockKind::TableRow, &short_leader(&self.text));
            return;
        }
        let short = self.text.len() <= 200;
        let by_size = look.heading(self.last.size).filter(|_| short);
        let by_words = || heading_level(&self.text).filter(|_| self.lines == 1);
        if let Some(level) = by_size.or_else(by_words) {
            draft.push(BlockKind::Heading(level), &self.text);
        } else if let Some(item) = bullet(&self.text) {
            draft.push(BlockKind::ListItem, item);
        } else {
            draft.push(BlockKind::Paragraph, &self.text);
        }
    }
}
