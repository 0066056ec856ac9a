//! Word documents (Office Open XML): paragraphs, headings by their styles, lists, tables, notes.

mod numbering;

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use numbering::{ListPlace, Numbering};

use super::archive::Archive;
use super::detect::decode_xml;
use super::xml::{attribute, reference};
use super::{BlockKind, DocumentProblem, Draft, Format};

pub(super) fn read(archive: &mut Archive) -> Result<Draft, DocumentProblem> {
    let main = main_part(archive)?;
    let folder = main.rsplit_once('/').map_or("", |(folder, _)| folder);
    let styles = match archive.part(&format!("{folder}/styles.xml"))? {
        Some(bytes) => read_styles(&decode_xml(&bytes))?,
        None => HashMap::new(),
    };
    let mut numbering = match archive.part(&format!("{folder}/numbering.xml"))? {
        Some(bytes) => Numbering::read(&decode_xml(&bytes))?,
        None => Numbering::default(),
    };
    let mut draft = Draft::new(Format::Docx);
    let Some(bytes) = archive.part(&main)? else {
        return Err(damaged(format!("its part {main} is missing")));
    };
    // Headers and footers are parts of their own, and no part of the text.
    Body::new(&styles, &mut numbering).read(&decode_xml(&bytes), &mut draft)?;
    for notes in ["footnotes.xml", "endnotes.xml"] {
        if let Some(bytes) = archive.part(&format!("{folder}/{notes}"))? {
            Body::new(&styles, &mut numbering).read(&decode_xml(&bytes), &mut draft)?;
        }
    }
    Ok(draft)
}

fn damaged(detail: impl ToString) -> DocumentProblem {
    DocumentProblem::damaged(Format::Docx, detail)
}

/// The part that the package names as its document; not every program calls it the same.
fn main_part(archive: &mut Archive) -> Result<String, DocumentProblem> {
    let mut main = None;
    if let Some(bytes) = archive.part("_rels/.rels")? {
        let xml = decode_xml(&bytes);
        let mut reader = Reader::from_str(&xml);
        loop {
            match reader.read_event().map_err(damaged)? {
                Event::Start(tag) | Event::Empty(tag) => {
                    let kind = attribute(&tag, "Type").unwrap_or_default();
                    if kind.ends_with("/officeDocument") {
                        main = attribute(&tag, "Target");
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
    }
    let main = main.unwrap_or_else(|| "word/document.xml".to_owned());
    Ok(main.trim_start_matches('/').to_owned())
}

/// What a paragraph's style makes of it.
#[derive(Clone, Debug, Default)]
struct Style {
    based_on: Option<String>,
    kind: Option<BlockKind>,
    list: ListPlace,
}

fn read_styles(xml: &str) -> Result<HashMap<String, Style>, DocumentProblem> {
    let mut styles: HashMap<String, Style> = HashMap::new();
    let mut current: Option<(String, Style)> = None;
    let mut reader = Reader::from_str(xml);
    reader.config_mut().expand_empty_elements = true;
    loop {
        match reader.read_event().map_err(damaged)? {
            Event::Start(tag) => match (tag.local_name().as_ref(), &mut current) {
                ("style", _) => {
                    let id = attribute(&tag, "styleId").unwrap_or_default();
                    current = Some((id, Style::default()));
                }
                ("name", Some((_, style))) => {
                    let name = attribute(&tag, "val").unwrap_or_default();
                    style.kind = style.kind.or(named_style(&name));
                }
                ("numId", Some((_, style))) => style.list.list = attribute(&tag, "val"),
                ("ilvl", Some((_, style))) => style.list.level = level_of(&tag),
                ("basedOn", Some((_, style))) => style.based_on = attribute(&tag, "val"),
                ("outlineLvl", Some((_, style))) => {
                    style.kind = outline_level(&tag).or(style.kind);
                }
                _ => {}
            },
            Event::End(tag) if tag.local_name().as_ref() == "style" => {
                styles.extend(current.take())
            }
            Event::Eof => return Ok(styles),
            _ => {}
        }
    }
}

/// Word keeps the English names of its own styles in every language.
fn named_style(name: &str) -> Option<BlockKind> {
    let name = name.to_lowercase();
    if name == "title" {
        return Some(BlockKind::Heading(1));
    }
    // Some programs base these on the title.
    if matches!(
        name.as_str(),
        "subtitle" | "author" | "date" | "abstract" | "abstract title"
    ) {
        return Some(BlockKind::Paragraph);
    }
    if matches!(
        name.as_str(),
        "source code" | "html preformatted" | "macro text"
    ) {
        return Some(BlockKind::Code);
    }
    if name.starts_with("list ") {
        return Some(BlockKind::ListItem);
    }
    let level = name.strip_prefix("heading ")?.parse::<u8>().ok()?;
    Some(BlockKind::Heading(level.clamp(1, 6)))
}

/// From 0 for headings; 9 for body text.
fn outline_level(tag: &BytesStart) -> Option<BlockKind> {
    let level = attribute(tag, "val")?.parse::<u8>().ok()?;
    (level < 9).then(|| BlockKind::Heading((level + 1).clamp(1, 6)))
}

fn level_of(tag: &BytesStart) -> usize {
    let level = attribute(tag, "val").and_then(|level| level.parse().ok());
    level.unwrap_or(0)
}

/// The list that a style, or the one it is based on, puts its paragraphs in.
fn style_list(styles: &HashMap<String, Style>, id: &str) -> ListPlace {
    let mut id = id;
    for _ in 0..16 {
        let Some(style) = styles.get(id) else { break };
        if style.list.list.is_some() {
            return style.list.clone();
        }
        let Some(based_on) = style.based_on.as_deref() else {
            break;
        };
        id = based_on;
    }
    ListPlace::default()
}

fn style_kind(styles: &HashMap<String, Style>, id: &str) -> Option<BlockKind> {
    let mut id = id;
    // Styles based on each other in a circle must come to an end.
    for _ in 0..16 {
        let style = styles.get(id)?;
        if style.kind.is_some() {
            return style.kind;
        }
        id = style.based_on.as_deref()?;
    }
    None
}

#[derive(Default)]
struct Paragraph {
    text: String,
    style: Option<BlockKind>,
    outline: Option<BlockKind>,
    numbered: bool,
    list: ListPlace,
}

struct Body<'a> {
    styles: &'a HashMap<String, Style>,
    numbering: &'a mut Numbering,
    /// A text box lies within another paragraph.
    paragraphs: Vec<Paragraph>,
    tables: usize,
    row: Vec<String>,
    in_run: bool,
    in_text: bool,
    /// Elements open within one that is left out.
    skipped: usize,
}

impl<'a> Body<'a> {
    fn new(styles: &'a HashMap<String, Style>, numbering: &'a mut Numbering) -> Body<'a> {
        Body {
            styles,
            numbering,
            paragraphs: Vec::new(),
            tables: 0,
            row: Vec::new(),
            in_run: false,
            in_text: false,
            skipped: 0,
        }
    }

    fn read(mut self, xml: &str, draft: &mut Draft) -> Result<(), DocumentProblem> {
        let mut reader = Reader::from_str(xml);
        reader.config_mut().expand_empty_elements = true;
        let mut open = 0usize;
        loop {
            match reader.read_event().map_err(damaged)? {
                Event::Start(tag) => {
                    open += 1;
                    self.start(&tag);
                }
                Event::End(tag) => {
                    open = open.saturating_sub(1);
                    self.end(tag.local_name().as_ref(), draft);
                    draft.check_length()?;
                }
                Event::Text(text) => self.add(&text),
                Event::CData(text) => self.add(&text),
                Event::GeneralRef(entity) => {
                    let mut buffer = [0; 4];
                    if let Some(c) = reference(&entity) {
                        self.add(c.encode_utf8(&mut buffer));
                    }
                }
                Event::Eof if open > 0 => return Err(damaged("its text breaks off")),
                Event::Eof => return Ok(()),
                _ => {}
            }
        }
    }

    fn add(&mut self, text: &str) {
        if self.in_text && self.skipped == 0 {
            self.put(text);
        }
    }

    fn put(&mut self, text: &str) {
        if let Some(paragraph) = self.paragraphs.last_mut() {
            paragraph.text.push_str(text);
        }
    }

    fn start(&mut self, tag: &BytesStart) {
        let name = tag.local_name();
        let name = name.as_ref();
        // Moved text is found at its new place too, and a fallback repeats what it falls back from.
        if self.skipped > 0 || matches!(name, "moveFrom" | "Fallback" | "delText" | "instrText") {
            self.skipped += 1;
            return;
        }
        match name {
            "p" => self.paragraphs.push(Paragraph::default()),
            "r" => self.in_run = true,
            "t" => self.in_text = true,
            "tab" if self.in_run => self.put("\t"),
            "br" | "cr" if self.in_run => self.put("\n"),
            "noBreakHyphen" if self.in_run => self.put("-"),
            "tbl" => self.tables += 1,
            "tr" if self.tables == 1 => self.row.clear(),
            "tc" if self.tables == 1 => self.row.push(String::new()),
            "pStyle" | "numPr" | "numId" | "ilvl" | "outlineLvl" => self.property(name, tag),
            // What a picture shows, for those who do not see it.
            "docPr" => {
                let told = attribute(tag, "descr").filter(|told| !told.trim().is_empty());
                told.into_iter()
                    .for_each(|told| self.put(&format!(" [{}] ", told.trim())));
            }
            _ => {}
        }
    }

    fn property(&mut self, name: &str, tag: &BytesStart) {
        let styles = self.styles;
        let Some(paragraph) = self.paragraphs.last_mut() else {
            return;
        };
        match name {
            "pStyle" => {
                let id = attribute(tag, "val").unwrap_or_default();
                paragraph.style = style_kind(styles, &id);
                paragraph.list = style_list(styles, &id);
            }
            "numPr" => paragraph.numbered = true,
            "numId" => paragraph.list.list = attribute(tag, "val"),
            "ilvl" => paragraph.list.level = level_of(tag),
            _ => paragraph.outline = outline_level(tag),
        }
    }

    fn end(&mut self, name: &str, draft: &mut Draft) {
        if self.skipped > 0 {
            self.skipped -= 1;
            return;
        }
        match name {
            "p" => self.end_paragraph(draft),
            "r" => self.in_run = false,
            "t" => self.in_text = false,
            "tbl" => self.tables = self.tables.saturating_sub(1),
            "tr" if self.tables == 1 => {
                let row = std::mem::take(&mut self.row);
                draft.push(BlockKind::TableRow, &row.join(" | "));
            }
            _ => {}
        }
    }

    fn end_paragraph(&mut self, draft: &mut Draft) {
        let Some(paragraph) = self.paragraphs.pop() else {
            return;
        };
        if self.tables > 0 {
            if let Some(cell) = self.row.last_mut() {
                cell.push(' ');
                cell.push_str(&paragraph.text);
            }
            return;
        }
        let list = paragraph.numbered.then_some(BlockKind::ListItem);
        // A numbered heading is a heading.
        let heading = paragraph
            .style
            .filter(|kind| matches!(kind, BlockKind::Heading(_)));
        let kind = paragraph.outline.or(heading).or(list).or(paragraph.style);
        let kind = kind.unwrap_or(BlockKind::Paragraph);
        let number = if paragraph.text.trim().is_empty() {
            None
        } else {
            self.numbering.next(&paragraph.list)
        };
        match number {
            Some(number) if kind == BlockKind::ListItem => {
                draft.push_marked(kind, &number, &paragraph.text);
            }
            Some(number) if matches!(kind, BlockKind::Heading(_)) => {
                draft.push(kind, &format!("{number} {}", paragraph.text));
            }
            _ => draft.push(kind, &paragraph.text),
        }
    }
}
