//! Texts side by side.

/// Columns narrower than this are put below each other instead.
const LEAST_WIDTH: usize = 24;
const GAP: usize = 3;

/// Titles and texts as lines for the terminal: beside each other where there is room.
pub fn side_by_side(columns: &[(String, String)]) -> Vec<String> {
    let width = console::Term::stdout()
        .size_checked()
        .map_or(100, |(_, cols)| cols.into());
    lay_out(columns, width)
}

fn lay_out(columns: &[(String, String)], terminal: usize) -> Vec<String> {
    let count = columns.len().max(1);
    let width = (terminal + GAP) / count;
    if width < LEAST_WIDTH + GAP {
        let blocks = columns.iter().flat_map(|(title, text)| {
            let body = text
                .lines()
                .flat_map(|line| wrapped(line, terminal.max(LEAST_WIDTH)));
            let head = [title.clone(), "─".repeat(title.chars().count())];
            head.into_iter().chain(body).chain([String::new()])
        });
        return blocks.collect();
    }
    let width = width - GAP;
    let cells: Vec<Vec<String>> = columns
        .iter()
        .map(|(title, text)| {
            let body = text.lines().flat_map(|line| wrapped(line, width));
            [title.clone(), "─".repeat(width)]
                .into_iter()
                .chain(body)
                .collect()
        })
        .collect();
    let rows = cells.iter().map(Vec::len).max().unwrap_or(0);
    (0..rows)
        .map(|row| {
            let line = cells.iter().map(|column| {
                let cell = column.get(row).map_or("", String::as_str);
                console::pad_str(cell, width + GAP, console::Alignment::Left, None).into_owned()
            });
            line.collect::<String>().trim_end().to_owned()
        })
        .collect()
}

/// A line broken at spaces, and within words that are too long.
pub fn wrapped(line: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in line.split_inclusive(' ') {
        let length = console::measure_text_width(word.trim_end());
        if used > 0 && used + length > width {
            lines.push(String::new());
            used = 0;
        }
        for c in word.chars() {
            let wide = console::measure_text_width(c.encode_utf8(&mut [0; 4]));
            if used + wide > width && c != ' ' {
                lines.push(String::new());
                used = 0;
            }
            if let Some(last) = lines.last_mut() {
                last.push(c);
            }
            used += wide;
        }
    }
    lines
        .iter()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_beside_each_other_where_there_is_room() {
        let columns = [
            (
                "left".to_owned(),
                "some words that go on for a while".to_owned(),
            ),
            ("right".to_owned(), "short".to_owned()),
        ];
        let wide = lay_out(&columns, 60);
        assert!(wide[0].starts_with("left") && wide[0].contains("right"));
        assert!(
            wide.iter()
                .all(|line| console::measure_text_width(line) <= 60)
        );
        let narrow = lay_out(&columns, 30);
        assert!(narrow.contains(&"right".to_owned()));
        assert!(
            narrow
                .iter()
                .all(|line| console::measure_text_width(line) <= 30)
        );
    }

    #[test]
    fn long_words_are_broken() {
        assert_eq!(wrapped("ab cdefgh i", 4), ["ab", "cdef", "gh i"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
