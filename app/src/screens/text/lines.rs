//! A document's text cut into rows of a width. Only where rows begin and end is worked out for all
//! of it; what is seen is laid out when it is drawn.

use std::collections::HashMap;
use std::ops::Range;

use inscribe::write::document::{BlockKind, Document, Format};

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

/// Places of the line ends that only fill a paragraph up to some width, and say nothing of the text:
/// drawn as spaces, or every line would be broken twice in a narrow column.
fn soft_breaks(document: &Document) -> Vec<usize> {
    let text = document.text.as_str();
    let paragraphs = document
        .blocks
        .iter()
        .filter(|b| b.kind == BlockKind::Paragraph);
    let mut breaks = Vec::new();
    for block in paragraphs {
        let Some(words) = text.get(block.bytes.clone()) else {
            continue;
        };
        let lines = || words.trim_end_matches('\n').split('\n');
        let widest = lines().map(|line| line.chars().count()).max().unwrap_or(0);
        let fills = |(line, next): &(&str, &str)| fills(document.format, line, next, widest);
        let mut pairs = lines().zip(lines().skip(1));
        // One break that an editor would not have made is the author's, and so are the others.
        if document.format != Format::Markdown && !pairs.clone().all(|pair| fills(&pair)) {
            continue;
        }
        let mut at = block.bytes.start;
        for pair in &mut pairs {
            at += pair.0.len();
            if fills(&pair) {
                breaks.push(at);
            }
            at += 1;
        }
    }
    breaks
}

/// Whether a line ends because the next word had no room.
fn fills(format: Format, line: &str, next: &str, widest: usize) -> bool {
    // Verses and addresses are shorter, and what is longer was broken by no editor.
    const WRAPPED: std::ops::RangeInclusive<usize> = 50..=120;
    let plain = !line.ends_with("  ") && !next.starts_with(char::is_whitespace);
    if format == Format::Markdown {
        return plain && !line.ends_with('\\');
    }
    let word = next
        .split(' ')
        .next()
        .map_or(0, |word| word.chars().count());
    plain && WRAPPED.contains(&widest) && line.chars().count() + 1 + word > widest
}

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
    let soft = soft_breaks(document);
    let mut rows = Vec::with_capacity(text.len() / 64 + 16);
    let (mut start, mut reached) = (0, 0);
    for line in text.split_inclusive('\n') {
        let end = reached + line.trim_end_matches('\n').len();
        reached += line.len();
        if soft.binary_search(&end).is_ok() {
            continue;
        }
        while headings.peek().is_some_and(|h| h.end <= start) {
            headings.next();
        }
        let heading = headings
            .peek()
            .is_some_and(|h| h.start < end.max(start + 1));
        let widths = if heading { &mut *strong } else { &mut *plain };
        wrap_line(text, start..end, width, heading, widths, &mut rows);
        start = reached;
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
        let c = if c == '\n' { ' ' } else { c };
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
pub fn is_ideograph(c: char) -> bool {
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
    fn lines_that_an_editor_broke_are_joined() {
        let rows = |name: &str, text: &str| {
            let options = ReadOptions::default();
            let document = Document::from_bytes(name, text.as_bytes(), &options).expect("a text");
            let one = |_: char| 1.0;
            let (mut a, mut b) = (Widths::new(one), Widths::new(one));
            wrap(&document, 1000.0, &mut a, &mut b).len()
        };
        let wrapped = "The house at the harbour was built in the winter of 1902 by people\n\
                       who had never built a house before, and it shows to this day in the\n\
                       way that the doors hang.\n";
        assert_eq!((rows("a.txt", wrapped), rows("a.md", wrapped)), (1, 1));
        let verses = "Roses are red,\nviolets are blue,\nnobody wraps\na line for you.\n";
        assert_eq!(rows("a.txt", verses), 4);
        let log = "12:00 started the pump of the north pier, all well so far, it says here\n\
                   12:01 ok\n12:02 ok\n";
        assert_eq!(rows("a.txt", log), 3);
        assert_eq!(rows("a.md", "- one\n- two\n"), 2);
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
