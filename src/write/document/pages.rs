//! Which pages of a document are read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Pages of a document, counted from 1: `5`, `3-20`, `3-` (to the end), or several with commas
/// between them, as in `1-3,8`. They are read in the document's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pages(Vec<Run>);

/// From a page to another; to the last one where none is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u32,
    last: Option<u32>,
}

/// What is no choice of pages.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{0}' names no pages; write 5, 3-20, 3- or 1-3,8, counted from 1")]
pub struct PagesError(String);

impl Pages {
    /// Whether a page is among them.
    pub fn contains(&self, page: u32) -> bool {
        let holds = |run: &Run| run.first <= page && run.last.is_none_or(|last| page <= last);
        self.0.iter().any(holds)
    }

    /// The last page that is named.
    #[cfg(feature = "documents")]
    pub(super) fn highest(&self) -> u32 {
        let ends = self.0.iter().map(|run| run.last.unwrap_or(run.first));
        ends.max().unwrap_or(0)
    }
}

impl FromStr for Pages {
    type Err = PagesError;

    fn from_str(text: &str) -> Result<Pages, PagesError> {
        let runs = text.split(',').map(|part| Run::of(part.trim()));
        let runs: Option<Vec<Run>> = runs.collect();
        runs.map(Pages).ok_or_else(|| PagesError(text.to_owned()))
    }
}

impl Run {
    fn of(text: &str) -> Option<Run> {
        let number = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u32>().ok().filter(|&n| digits && n > 0)
        };
        let Some((first, last)) = text.split_once('-') else {
            let only = number(text)?;
            return Some(Run {
                first: only,
                last: Some(only),
            });
        };
        let (first, last) = (number(first.trim())?, last.trim());
        if last.is_empty() {
            return Some(Run { first, last: None });
        }
        let last = number(last).filter(|&last| last >= first)?;
        Some(Run {
            first,
            last: Some(last),
        })
    }
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, run) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let first = run.first;
            match run.last {
                Some(last) if last == first => write!(f, "{comma}{first}")?,
                Some(last) => write!(f, "{comma}{first}-{last}")?,
                None => write!(f, "{comma}{first}-")?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Pages {
    type Error = PagesError;

    fn try_from(text: String) -> Result<Pages, PagesError> {
        text.parse()
    }
}

impl From<Pages> for String {
    fn from(pages: Pages) -> String {
        pages.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_and_said_again() {
        for (text, said, within) in [
            ("5", "5", vec![5]),
            ("3-5", "3-5", vec![3, 4, 5]),
            (" 1 - 2, 8-", "1-2,8-", vec![1, 2, 8, 9]),
            ("7,2", "7,2", vec![2, 7]),
        ] {
            let pages: Pages = text.parse().unwrap();
            assert_eq!(pages.to_string(), said);
            let found: Vec<u32> = (0..10).filter(|&page| pages.contains(page)).collect();
            assert_eq!(found, within, "{text}");
            let json = serde_json::to_string(&pages).unwrap();
            assert_eq!(serde_json::from_str::<Pages>(&json).unwrap(), pages);
        }
        for text in [
            "",
            "0",
            "5-3",
            "-5",
            "1,,2",
            "a",
            "1-2-3",
            "+1",
            "99999999999",
            "0-",
        ] {
            let error = text.parse::<Pages>().unwrap_err();
            assert!(error.to_string().contains("3-20"), "{error}");
        }
    }
}
