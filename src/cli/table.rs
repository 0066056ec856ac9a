//! Aligned tables with bars, for a person's eyes.

use std::borrow::Cow;

use console::measure_text_width;
use inscribe::write::figure::colour::Rgb;

use super::terminal::{self, Look};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Words: left, cut where there is no room.
    Text,
    /// Figures: right, never cut.
    Number,
    /// [`Cell::Bar`] and [`Cell::Signed`]: takes the room that is left.
    Bar,
}

#[derive(Clone, Debug)]
pub enum Cell {
    Text(String),
    /// A bar that fills a part of its room, from 0 to 1.
    Bar(f64, Rgb),
    /// Bars of several colours one after the other, together at most 1.
    Stacked(Vec<(f64, Rgb)>),
    /// A bar from the middle to either side, for a value from -1 to 1.
    Signed(f64),
    Empty,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::Text(text.into())
    }
}

/// Rows under headings.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<(String, Kind)>,
    rows: Vec<Vec<Cell>>,
}

const BETWEEN: usize = 2;
const LEAST_TEXT: usize = 8;
const LONG_TEXT: usize = 28;
const LEAST_BAR: usize = 6;
const GOOD_BAR: usize = 15;
const MOST_BAR: usize = 32;

impl Table {
    pub fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Kind)>) -> Table {
        let columns = columns
            .into_iter()
            .map(|(name, kind)| (name.to_owned(), kind));
        Table {
            columns: columns.collect(),
            rows: Vec::new(),
        }
    }

    /// A row; cells that are missing are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table in lines no wider than the terminal, as far as its figures allow: texts that no
    /// row has are left out, others cut, then bars are left out.
    pub fn lines(&self, look: &Look) -> Vec<String> {
        let widths = self.widths(look);
        let mut lines = vec![self.heading(look, &widths)];
        lines.extend(self.rows.iter().map(|row| {
            let cells = self.columns.iter().zip(&widths).enumerate();
            let cells = cells.filter(|(_, (_, width))| **width > 0);
            let painted = cells.map(|(at, ((_, kind), width))| {
                cell(look, row.get(at).unwrap_or(&Cell::Empty), *kind, *width)
            });
            joined(painted)
        }));
        lines
    }

    fn heading(&self, look: &Look, widths: &[usize]) -> String {
        let cells = self
            .columns
            .iter()
            .zip(widths)
            .filter(|(_, width)| **width > 0);
        let painted = cells.map(|((name, kind), width)| {
            let name = look.fit(name, *width).into_owned();
            aligned(look.paint(&name, terminal::MUTED), *kind, *width)
        });
        joined(painted)
    }

    fn widths(&self, look: &Look) -> Vec<usize> {
        let natural = |(at, (name, kind)): (usize, &(String, Kind))| match kind {
            Kind::Bar => 0,
            _ => {
                let cells = self.rows.iter().filter_map(|row| match row.get(at) {
                    Some(Cell::Text(text)) => Some(measure_text_width(text)),
                    _ => None,
                });
                match (kind, cells.max().unwrap_or(0)) {
                    (Kind::Text, 0) if !self.rows.is_empty() => 0,
                    (_, widest) => widest.max(measure_text_width(name)),
                }
            }
        };
        let natural: Vec<usize> = self.columns.iter().enumerate().map(natural).collect();
        let mut widths = natural.clone();
        let of_kind = |wanted: Kind| {
            let columns = self.columns.iter().enumerate();
            columns
                .filter(move |(_, c)| c.1 == wanted)
                .map(|(at, _)| at)
                .collect::<Vec<_>>()
        };
        let (texts, bars) = (of_kind(Kind::Text), of_kind(Kind::Bar));
        let shown = bars.len() + widths.iter().filter(|&&width| width > 0).count();
        let gaps = BETWEEN * shown.saturating_sub(1);
        let room = look.columns.saturating_sub(gaps);
        let used = |widths: &[usize]| widths.iter().sum::<usize>();
        // Long texts give way until bars are easy to read, and all until they can be read at all.
        for (least_text, bar) in [(LONG_TEXT, GOOD_BAR), (LEAST_TEXT, LEAST_BAR)] {
            while used(&widths) + bars.len() * bar > room {
                let widest = texts.iter().copied().max_by_key(|&at| widths[at]);
                match widest.filter(|&at| widths[at] > least_text) {
                    Some(at) => widths[at] -= 1,
                    None => break,
                }
            }
        }
        let left = room.saturating_sub(used(&widths));
        let each = left.checked_div(bars.len()).unwrap_or(0).min(MOST_BAR);
        let drawn = each >= LEAST_BAR;
        for &at in &bars {
            widths[at] = if drawn { each } else { 0 };
        }
        // Texts that gave way to bars have the room back that no bar took.
        let gaps = BETWEEN
            * widths
                .iter()
                .filter(|&&width| width > 0)
                .count()
                .saturating_sub(1);
        let mut spare = look.columns.saturating_sub(gaps + used(&widths));
        while spare > 0 {
            let cut = texts.iter().copied().filter(|&at| widths[at] < natural[at]);
            let Some(at) = cut.min_by_key(|&at| widths[at]) else {
                break;
            };
            widths[at] += 1;
            spare -= 1;
        }
        widths
    }
}

fn joined(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.collect();
    cells.join(&" ".repeat(BETWEEN)).trim_end().to_owned()
}

fn aligned(text: Cow<'_, str>, kind: Kind, width: usize) -> String {
    let spaces = " ".repeat(width.saturating_sub(measure_text_width(&text)));
    match kind {
        Kind::Number => spaces + &text,
        Kind::Text | Kind::Bar => text.into_owned() + &spaces,
    }
}

fn cell(look: &Look, cell: &Cell, kind: Kind, width: usize) -> String {
    match cell {
        Cell::Text(text) => {
            let text = look.plain(text);
            let text = match kind {
                Kind::Text => look.fit(&text, width),
                _ => text.as_ref().into(),
            };
            aligned(text, kind, width)
        }
        Cell::Bar(part, colour) => look.bar(*part, width, *colour),
        Cell::Stacked(parts) => stacked(look, parts, width),
        Cell::Signed(part) => look.signed_bar(*part, width, terminal::NEGATIVE, terminal::UTILITY),
        Cell::Empty => " ".repeat(width),
    }
}

/// Whole columns, so that each colour begins where the one before it ends.
fn stacked(look: &Look, parts: &[(f64, Rgb)], width: usize) -> String {
    let marks = ["#", "=", "-"];
    let (mut line, mut from, mut sum) = (String::new(), 0, 0.0);
    for (at, (part, colour)) in parts.iter().enumerate() {
        sum += if part.is_finite() { part.max(0.0) } else { 0.0 };
        let to = ((sum * width as f64).round() as usize).clamp(from, width);
        let mark = if look.unicode {
            "█"
        } else {
            marks[at % marks.len()]
        };
        line += &look.paint(&mark.repeat(to - from), *colour);
        from = to;
    }
    line + &" ".repeat(width - from)
}

#[cfg(test)]
mod tests {
    use super::super::terminal::Colours;
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([
            ("chunk", Kind::Number),
            ("heading", Kind::Text),
            ("utility", Kind::Number),
            ("", Kind::Bar),
            ("signed", Kind::Bar),
        ]);
        let titles = [
            "Summary",
            "潮汐と灯台の記録",
            "Everything that went wrong between March and September",
        ];
        for (at, title) in titles.into_iter().enumerate() {
            let part = (at + 1) as f64 / 3.0;
            table.row([
                (at + 1).to_string().into(),
                title.into(),
                format!("{part:.2}").into(),
                Cell::Bar(part, terminal::UTILITY),
                Cell::Signed(1.0 - 1.2 * at as f64),
            ]);
        }
        table.row([Cell::from("4")]);
        table
    }

    fn look(columns: usize, unicode: bool) -> Look {
        Look {
            colours: Colours::True,
            unicode,
            columns,
        }
    }

    #[test]
    fn rows_are_aligned_and_fit() {
        for unicode in [true, false] {
            for columns in [40, 60, 80, 120] {
                let lines = table().lines(&look(columns, unicode));
                assert_eq!(lines.len(), 5);
                for line in &lines {
                    assert!(measure_text_width(line) <= columns, "{line}");
                }
                // The figures end in one column.
                let plain: Vec<String> = lines
                    .iter()
                    .map(|l| console::strip_ansi_codes(l).into_owned())
                    .collect();
                let end = |line: &String, figure: &str| {
                    let at = line.find(figure).unwrap() + figure.len();
                    measure_text_width(&line[..at])
                };
                assert_eq!(end(&plain[1], "0.33"), end(&plain[3], "1.00"));
                assert_eq!(unicode, plain[1].contains('█'));
                assert!(unicode || plain.iter().all(|line| line.is_ascii()));
            }
        }
    }

    #[test]
    fn a_text_that_no_row_has_takes_no_room() {
        let mut table = Table::new([
            ("chunk", Kind::Number),
            ("heading", Kind::Text),
            ("utility", Kind::Bar),
        ]);
        table.row([
            "1".to_owned().into(),
            String::new().into(),
            Cell::Bar(1.0, terminal::UTILITY),
        ]);
        let lines = table.lines(&look(21, true));
        let plain = |line: &String| console::strip_ansi_codes(line).into_owned();
        assert_eq!(plain(&lines[0]), "chunk  utility");
        assert!(plain(&lines[1]).ends_with(&"█".repeat(14)), "{lines:?}");
    }

    #[test]
    fn texts_have_the_room_that_bars_do_not_take() {
        // Too narrow for bars beside whole headings, and wide enough for headings without bars.
        let mut table = Table::new([
            ("chunk", Kind::Number),
            ("heading", Kind::Text),
            ("", Kind::Bar),
            ("- | +", Kind::Bar),
            ("surprisal, and figures", Kind::Number),
        ]);
        table.row([
            "1".into(),
            "Chapter XII: Alice's Evidence".into(),
            Cell::Bar(1.0, terminal::UTILITY),
            Cell::Signed(1.0),
            "1.00".into(),
        ]);
        let lines = table.lines(&look(50, true));
        assert!(lines[1].contains("Chapter XII: Alice"), "{lines:?}");
        assert!(measure_text_width(&lines[1]) <= 50);
    }

    #[test]
    fn without_room_bars_go_and_figures_stay() {
        let lines = table().lines(&look(30, true));
        assert!(lines[1].contains("0.33") && !lines[1].contains('█'));
    }

    #[test]
    fn stacked_bars_fill_their_part() {
        let parts = [(0.25, terminal::COVERAGE), (0.5, terminal::UTILITY)];
        let none = Look {
            colours: Colours::None,
            ..look(80, false)
        };
        assert_eq!(stacked(&none, &parts, 8), "##====  ");
    }
}
