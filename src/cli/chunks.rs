//! A run's chunks as a table.

use inscribe::words;
use inscribe::write::event::ChunkSteps;
use inscribe::write::figure::utility_colour;
use inscribe::write::record::{ChunkRecord, RunRecord};

use super::table::{Cell, Kind, Table};
use super::terminal;

/// Which steps to show, and with them what they did or what is known before any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    Planned,
    Taken,
}

impl Steps {
    fn of(self, chunk: &ChunkRecord) -> ChunkSteps {
        match self {
            Steps::Planned => chunk.planned,
            Steps::Taken => chunk.taken,
        }
    }
}

/// A row for each chunk.
pub fn table(record: &RunRecord, shown: Steps) -> Table {
    let mut table = Table::new(headings(record, shown));
    let scale = record.utility_scale().unwrap_or(1.0);
    let totals = record.chunks().map(|(_, c)| shown.of(c).total());
    let most_steps = f64::from(totals.max().unwrap_or(0).max(1));
    let number = |value: Option<f64>| Cell::from(value.map_or(String::new(), words::number));
    for (at, (segment, chunk)) in record.chunks().enumerate() {
        let share = |steps: u32| f64::from(steps) / most_steps;
        let bar = |utility: f64| Cell::Bar(utility / scale, utility_colour(utility, scale));
        let signed = |signed: f64| Cell::Signed(signed / scale);
        let steps = shown.of(chunk);
        let mut row: Vec<Cell> = vec![(at + 1).to_string().into()];
        if record.segments.len() > 1 {
            row.push((segment + 1).to_string().into());
        }
        if shown == Steps::Planned {
            let tokens = &chunk.tokens;
            row.push(format!("{}..{}", tokens.start, tokens.end).into());
        }
        row.extend([
            chunk.title.clone().unwrap_or_default().into(),
            number(chunk.utility),
            chunk.utility.map_or(Cell::Empty, bar),
            chunk.signed.map_or(Cell::Empty, signed),
            steps.total().to_string().into(),
            Cell::Stacked(vec![
                (share(steps.coverage), terminal::COVERAGE),
                (share(steps.utility), terminal::UTILITY),
            ]),
        ]);
        match shown {
            Steps::Planned => row.push(number(chunk.surprisal)),
            Steps::Taken => row.extend([number(chunk.loss_before), number(chunk.loss_after)]),
        }
        table.row(row);
    }
    table
}

fn headings(record: &RunRecord, shown: Steps) -> Vec<(&'static str, Kind)> {
    let mut headings = vec![("chunk", Kind::Number)];
    if record.segments.len() > 1 {
        headings.push(("part", Kind::Number));
    }
    if shown == Steps::Planned {
        headings.push(("tokens", Kind::Number));
    }
    headings.extend([
        ("heading", Kind::Text),
        ("utility", Kind::Number),
        ("", Kind::Bar),
        ("- | +", Kind::Bar),
        ("steps", Kind::Number),
        ("", Kind::Bar),
    ]);
    match shown {
        Steps::Planned => headings.push(("surprisal", Kind::Number)),
        Steps::Taken => headings.extend([("loss", Kind::Number), ("after", Kind::Number)]),
    }
    headings
}
