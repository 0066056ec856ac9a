//! A document's text cut into rows of a width. Only where rows begin and end is worked out for all
//! of it; what is seen is laid out when it is drawn.

use std::collections::HashMap;
use std::ops::Range;

use inscribe::write::document::{BlockKind, Document};

/// A row of the text, without the break at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub start: usize,
    pub end: usize,
    pub heading: bool,
}

impl Row {
    pub fn bytes(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// Widths of characters, looked up once each.
pub struct Widths<F> {
    look_up: F,
    ascii: [f32; 128],
    others: HashMap<char, f32>,
}

impl<F: FnMut(char) -> f32> Widths<F> {
    pub fn new(mut look_up: F) -> Widths<F> {
        let mut ascii = [0.0; 128];
        for (code, width) in ascii.iter_mut().enumerate() {
            *width = look_up(char::from(code as u8));
        }
        let space = ascii[usize::from(b' ')];
        ascii[usize::from(b'\t')] = TAB * space;
        Widths {
            look_up,
            ascii,
            others: HashMap::new(),
        }
    }

    fn of(&mut self, c: char) -> f32 {
        match self.ascii.get(c as usize) {
            Some(width) => *width,
            None => *self.others.entry(c).or_insert_with(|| (self.look_up)(c)),
        }
    }
}

/// Spaces of a tab, as egui draws it.
const TAB: f32 = 4.0;

/// Cuts the text at its line ends, and lines at spaces so that none is wider than `width`.
pub fn wrap<F: FnMut(char) -> f32>(
    document: &Document,
    width: f32,
    plain: &mut Widths<F>,
    strong: &mut Widths<F>,
) -> Vec<Row> {
    let text = document.text.as_str();
    let mut headings = document
        .blocks
        .iter()
        .filter(|block| matches!(block.kind, BlockKind::Heading(_)))
        .map(|block| block.bytes.clone())
        .peekable();
    let mut rows = Vec::with_capacity(text.len() / 64 + 16);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end_matches('\n').len();
        while headings.peek().is_some_and(|h| h.end <= start) {
            headings.next();
        }
        let heading = headings
            .peek()
            .is_some_and(|h| h.start < end.max(start + 1));
        let widths = if heading { &mut *strong } else { &mut *plain };
        wrap_line(text, start..end, width, heading, widths, &mut rows);
        start += line.len();
    }
    if rows.is_empty() {
        rows.push(Row {
            start: 0,
            end: 0,
            heading: false,
        });
    }
    rows
}

fn wrap_line<F: FnMut(char) -> f32>(
    text: &str,
    line: Range<usize>,
    width: f32,
    heading: bool,
    widths: &mut Widths<F>,
    rows: &mut Vec<Row>,
) {
    let mut start = line.start;
    let mut used = 0.0;
    // Where the row may end, and how much was used up to there.
    let mut break_at: Option<(usize, f32)> = None;
    for (offset, c) in text.get(line.clone()).unwrap_or("").char_indices() {
        let at = line.start + offset;
        let wide = widths.of(c);
        if used + wide > width && at > start && c != ' ' {
            let (end, before) = break_at.take().unwrap_or((at, used));
            rows.push(Row {
                start,
                end,
                heading,
            });
            (start, used) = (end, used - before);
        }
        used += wide;
        if c == ' ' || c == '-' || c == '\t' || is_ideograph(c) {
            break_at = Some((at + c.len_utf8(), used));
        }
    }
    rows.push(Row {
        start,
        end: line.end,
        heading,
    });
}

/// Scripts that break between any two characters.
fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c), 0x2e80..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0xff00..=0xffef | 0x20000..=0x3ffff)
}

/// The row that a byte is in.
pub fn row_of(rows: &[Row], byte: usize) -> usize {
    rows.partition_point(|row| row.start <= byte)
        .saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use inscribe::write::document::ReadOptions;

    fn document(text: &str) -> Document {
        Document::from_bytes("a.md", text.as_bytes(), &ReadOptions::default()).expect("a text")
    }

    fn rows_of(text: &str, width: f32) -> Vec<String> {
        let document = document(text);
        let one = |_: char| 1.0;
        let mut a = Widths::new(one);
        let mut b = Widths::new(one);
        let rows = wrap(&document, width, &mut a, &mut b);
        let words = rows.iter().map(|row| document.text[row.bytes()].to_owned());
        words.collect()
    }

    #[test]
    fn rows_hold_the_whole_text_and_none_is_too_wide() {
        let text = "# A heading\n\nSome words that go on and on, and averyveryverylongword.\n\n漢字漢字漢字漢字漢字漢字漢字漢字漢字\n";
        for width in [4.0, 10.0, 23.0, 1000.0] {
            let rows = rows_of(text, width);
            for row in &rows {
                assert!(row.trim_end().chars().count() as f32 <= width, "{row:?}");
            }
            let joined: String = rows.concat();
            assert_eq!(joined, text.replace('\n', ""));
        }
        assert_eq!(rows_of("one two three", 8.0), ["one two ", "three"]);
        assert_eq!(rows_of("ab\n\ncd", 8.0), ["ab", "", "cd"]);
    }

    #[test]
    fn headings_are_known_and_bytes_are_found() {
        let document = document("# Head\n\nWords here.\n");
        let one = |_: char| 1.0;
        let mut a = Widths::new(one);
        let mut b = Widths::new(one);
        let rows = wrap(&document, 100.0, &mut a, &mut b);
        assert!(rows[0].heading && !rows[1].heading && !rows[2].heading);
        for (at, row) in rows.iter().enumerate() {
            assert_eq!(row_of(&rows, row.start), at);
        }
        assert_eq!(row_of(&rows, 10_000), rows.len() - 1);
    }
}
