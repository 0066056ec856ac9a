//! The numbers of a Word document's lists: `numbering.xml` says how each level counts.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::super::DocumentProblem;
use super::super::xml::attribute;
use super::damaged;

/// Levels within each other that Word knows.
const LEVELS: usize = 9;

/// A paragraph's place in a list.
#[derive(Clone, Debug, Default)]
pub struct ListPlace {
    pub list: Option<String>,
    pub level: usize,
}

#[derive(Clone, Debug)]
struct Level {
    start: u32,
    /// `decimal`, `lowerLetter`, `bullet`...
    format: String,
    /// `%1.%2.`: the numbers of the levels up to this one and the characters around them.
    text: String,
}

impl Default for Level {
    fn default() -> Level {
        Level {
            start: 1,
            format: "bullet".to_owned(),
            text: String::new(),
        }
    }
}

/// Lists, and how far each has counted.
#[derive(Default)]
pub struct Numbering {
    /// For each list that is used: the list that it is made after, and the levels that start at
    /// another number.
    lists: HashMap<String, (String, HashMap<usize, u32>)>,
    kinds: HashMap<String, Vec<Level>>,
    counts: HashMap<String, [Option<u32>; LEVELS]>,
}

impl Numbering {
    pub fn read(xml: &str) -> Result<Numbering, DocumentProblem> {
        let mut numbering = Numbering::default();
        let (mut kind, mut list, mut level) = (None, None, 0);
        let mut reader = Reader::from_str(xml);
        reader.config_mut().expand_empty_elements = true;
        loop {
            match reader.read_event().map_err(damaged)? {
                Event::Start(tag) => match tag.local_name().as_ref() {
                    "abstractNum" => kind = attribute(&tag, "abstractNumId"),
                    "num" => list = attribute(&tag, "numId"),
                    "lvl" | "lvlOverride" => {
                        let at = attribute(&tag, "ilvl").and_then(|l| l.parse::<usize>().ok());
                        level = at.unwrap_or(0).min(LEVELS - 1);
                    }
                    name => match (&list, &kind) {
                        (Some(list), _) => numbering.of_list(list, level, name, &tag),
                        (None, Some(kind)) => numbering.of_kind(kind, level, name, &tag),
                        (None, None) => {}
                    },
                },
                Event::End(tag) => match tag.local_name().as_ref() {
                    "abstractNum" => kind = None,
                    "num" => list = None,
                    _ => {}
                },
                Event::Eof => return Ok(numbering),
                _ => {}
            }
        }
    }

    fn of_list(&mut self, list: &str, level: usize, name: &str, tag: &BytesStart) {
        let value = attribute(tag, "val").unwrap_or_default();
        let own = self.lists.entry(list.to_owned()).or_default();
        match name {
            "abstractNumId" => own.0 = value,
            "startOverride" => {
                own.1.extend(value.parse().ok().map(|start| (level, start)));
            }
            _ => {}
        }
    }

    fn of_kind(&mut self, kind: &str, level: usize, name: &str, tag: &BytesStart) {
        let value = attribute(tag, "val").unwrap_or_default();
        let levels = self.kinds.entry(kind.to_owned()).or_default();
        if levels.len() <= level {
            levels.resize(level + 1, Level::default());
        }
        let own = &mut levels[level];
        match name {
            "start" => own.start = value.parse().unwrap_or(1),
            "numFmt" => own.format = value,
            "lvlText" => own.text = value,
            _ => {}
        }
    }

    /// The mark of the next paragraph of a list, such as `2.` or `b)`; `None` for bullets and what
    /// counts in a way that is not known here.
    pub fn next(&mut self, place: &ListPlace) -> Option<String> {
        let list = place.list.as_ref()?;
        let (kind, starts) = self.lists.get(list)?;
        let levels = self.kinds.get(kind)?;
        let at = place.level.min(LEVELS - 1);
        let own = levels.get(at)?;
        let start = |level: usize| {
            let usual = levels.get(level).map_or(1, |l| l.start);
            starts.get(&level).copied().unwrap_or(usual)
        };
        let counts = self.counts.entry(list.clone()).or_default();
        counts[at] = Some(counts[at].map_or(start(at), |count| count.saturating_add(1)));
        counts[at + 1..].fill(None);
        if own.format == "bullet" || own.format == "none" {
            return None;
        }
        let mut text = own.text.clone();
        for (level, &count) in counts.iter().enumerate().take(at + 1) {
            let mark = format!("%{}", level + 1);
            if text.contains(&mark) {
                let count = count.unwrap_or_else(|| start(level));
                let format = levels.get(level).map_or("decimal", |l| l.format.as_str());
                text = text.replace(&mark, &written(count, format)?);
            }
        }
        Some(text).filter(|text| !text.trim().is_empty())
    }
}

fn written(count: u32, format: &str) -> Option<String> {
    Some(match format {
        "decimal" => count.to_string(),
        "decimalZero" => format!("{count:02}"),
        "lowerLetter" => letters(count, 'a')?,
        "upperLetter" => letters(count, 'A')?,
        "lowerRoman" => roman(count)?.to_lowercase(),
        "upperRoman" => roman(count)?,
        _ => return None,
    })
}

/// a to z, then aa, bb... as Word counts.
fn letters(count: u32, first: char) -> Option<String> {
    let index = count.checked_sub(1).filter(|&index| index < 26 * 26)?;
    let letter = char::from_u32(first as u32 + index % 26)?;
    Some(letter.to_string().repeat(index as usize / 26 + 1))
}

fn roman(count: u32) -> Option<String> {
    const PARTS: [(u32, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut left = Some(count).filter(|count| (1..4000).contains(count))?;
    let mut out = String::new();
    for (value, part) in PARTS {
        while left >= value {
            out.push_str(part);
            left -= value;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        assert_eq!(roman(1994).as_deref(), Some("MCMXCIV"));
        assert_eq!(letters(28, 'a').as_deref(), Some("bb"));
        assert_eq!((roman(0), letters(0, 'a')), (None, None));
        assert_eq!(written(3, "decimalZero").as_deref(), Some("03"));
        assert_eq!(written(3, "chicago"), None);
    }
}
