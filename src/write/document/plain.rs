//! Plain text: paragraphs between empty lines, and the headings that people write without marks.

use super::{Block, BlockKind, Draft, Format};

/// The longest line taken for a heading, in bytes.
const MAX_HEADING: usize = 80;

pub(super) fn read(text: String) -> Draft {
    let mut blocks = Vec::new();
    for (start, end) in paragraphs(&text) {
        if has_a_paragraph_a_line(&text[start..end]) {
            let mut at = start;
            for line in text[start..end].split_inclusive('\n') {
                let (from, to) = (
                    at + line.len() - line.trim_start().len(),
                    at + line.trim_end().len(),
                );
                add(&text, from, to, &mut blocks);
                at += line.len();
            }
        } else {
            add(&text, start, end, &mut blocks);
        }
    }
    Draft {
        blocks,
        text,
        ..Draft::new(Format::Text)
    }
}

/// Whether lines end where paragraphs do, as programs without line breaks of their own save them.
fn has_a_paragraph_a_line(text: &str) -> bool {
    let lines = text.lines().count();
    lines >= 3 && text.len() / lines > 120
}

fn add(text: &str, start: usize, end: usize, blocks: &mut Vec<Block>) {
    let paragraph = &text[start..end];
    match heading(paragraph) {
        Some(heading) => {
            let kind = BlockKind::Heading(heading.level);
            blocks.push(block(kind, start..start + heading.end));
            // A title may come right before its text, without an empty line between them.
            let below = text[start + heading.body..end].trim_start().len();
            if below > 0 {
                blocks.push(block(BlockKind::Paragraph, end - below..end));
            }
        }
        None if is_item(paragraph) => items(text, start, end, blocks),
        None => blocks.push(block(BlockKind::Paragraph, start..end)),
    }
}

fn block(kind: BlockKind, bytes: std::ops::Range<usize>) -> Block {
    Block { kind, bytes }
}

/// Stretches of lines that are not empty, without the white space around them.
fn paragraphs(text: &str) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut open = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        if content.trim_start().is_empty() {
            open = false;
        } else {
            let end = at + content.len();
            match found.last_mut() {
                Some(last) if open => last.1 = end,
                _ => found.push((at + content.len() - content.trim_start().len(), end)),
            }
            open = true;
        }
        at += line.len();
    }
    found
}

/// At the start of a paragraph: its level, where it ends and where what follows starts.
struct Heading {
    level: u8,
    end: usize,
    body: usize,
}

/// The level of a line that reads as a heading.
#[cfg(feature = "documents")]
pub(super) fn heading_level(line: &str) -> Option<u8> {
    heading(line).map(|heading| heading.level)
}

fn heading(paragraph: &str) -> Option<Heading> {
    let first = paragraph.split('\n').next()?.trim_end();
    if first.trim().is_empty() || first.len() > MAX_HEADING {
        return None;
    }
    let heading = |level: u8, body: usize| Heading {
        level,
        end: first.len(),
        body: body.min(paragraph.len()),
    };
    if let Some(below) = paragraph.split('\n').nth(1) {
        let line = below.trim();
        let underlined = |mark: char| line.len() >= 3 && line.chars().all(|c| c == mark);
        let body = paragraph.find('\n').unwrap_or(0) + 1 + below.len();
        return if underlined('=') {
            Some(heading(1, body))
        } else {
            (underlined('-') && !is_item(first)).then(|| heading(2, body))
        };
    }
    let line = first.trim();
    // The rows of a table of contents are no headings.
    if line.contains("..") || line.contains(". .") {
        return None;
    }
    let level = numbered(line)
        .or_else(|| named(line))
        .or_else(|| shouted(line))?;
    Some(heading(level, first.len()))
}

/// `3.1. Header Format`: as deep as it has numbers.
fn numbered(line: &str) -> Option<u8> {
    let (number, title) = line.split_once(char::is_whitespace)?;
    let parts: Vec<&str> = number.trim_end_matches('.').split('.').collect();
    let is_number =
        |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let title = title.trim();
    let starts = title.chars().next()?;
    let dotted = number.contains('.');
    let ends_well = !title.ends_with(['.', ',', ';', ':']);
    (dotted && parts.iter().all(is_number) && starts.is_uppercase() && ends_well)
        .then(|| parts.len().clamp(1, 6) as u8)
}

/// `Chapter IV`, `Letter 2`, `PART ONE: The Road`.
fn named(line: &str) -> Option<u8> {
    let mut words = line.split_whitespace();
    let level = match words.next()?.to_lowercase().as_str() {
        "part" | "book" | "volume" | "act" => 1,
        "chapter" | "letter" | "appendix" | "article" | "amendment" | "canto" | "scene" => 2,
        "section" => 3,
        _ => return None,
    };
    let number = words.next()?.trim_end_matches(['.', ':', ')', ',']);
    const SPELT: [&str; 13] = [
        "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "first",
        "second", "the",
    ];
    let roman = number.chars().all(|c| "ivxlcIVXLC".contains(c));
    let counts = number.bytes().all(|b| b.is_ascii_digit())
        || roman
        || (number.len() == 1 && number.chars().all(char::is_uppercase))
        || SPELT.contains(&number.to_lowercase().as_str());
    (counts && !number.is_empty() && !line.ends_with([',', ';'])).then_some(level)
}

/// `THE SUMMER SOLSTICE`.
fn shouted(line: &str) -> Option<u8> {
    let letters = line.chars().filter(|c| c.is_alphabetic());
    let (mut count, mut upper) = (0, 0);
    for letter in letters {
        count += 1;
        upper += usize::from(letter.is_uppercase());
    }
    (count >= 4 && upper == count && !line.ends_with([',', ';', ':'])).then_some(2)
}

/// Whether a line starts as one of a list.
fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    let marked = ["- ", "* ", "+ ", "• ", "– "];
    if marked.iter().any(|mark| line.starts_with(mark)) {
        return true;
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    (1..=3).contains(&digits)
        && (line[digits..].starts_with(". ") || line[digits..].starts_with(") "))
}

/// The items of a paragraph whose first line starts one.
fn items(text: &str, start: usize, end: usize, blocks: &mut Vec<Block>) {
    let mut at = start;
    let mut item = start;
    for line in text[start..end].split_inclusive('\n') {
        if at > start && is_item(line) {
            let kept = text[item..at].trim_end().len();
            blocks.push(block(BlockKind::ListItem, item..item + kept));
            item = at + line.len() - line.trim_start().len();
        }
        at += line.len();
    }
    blocks.push(block(BlockKind::ListItem, item..end));
}
