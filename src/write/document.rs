//! Documents that people have, as text: plain and Markdown, and with the cargo feature `documents`
//! HTML, PDF, Word and EPUB.

#[cfg(feature = "documents")]
mod archive;
mod detect;
#[cfg(feature = "documents")]
mod docx;
#[cfg(feature = "documents")]
mod epub;
mod error;
#[cfg(feature = "documents")]
mod html;
#[cfg(feature = "documents")]
mod layout;
mod markdown;
#[cfg(not(feature = "documents"))]
mod missing;
mod pages;
#[cfg(feature = "documents")]
mod pdf;
mod plain;
#[cfg(feature = "documents")]
mod xml;

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::words::shown_line;

pub use error::{DocumentError, DocumentProblem};
pub use pages::{Pages, PagesError};

/// A document's text and what it is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The file's name, or `standard input`.
    pub name: String,
    /// The kind of file that the text was read from.
    pub format: Format,
    /// The text, with `\n` at the ends of lines.
    pub text: String,
    /// Parts of the text in order, without overlap; between them lies white space and, in Markdown,
    /// what is not text.
    pub blocks: Vec<Block>,
    /// SHA-256 of the text, in hexadecimal.
    pub sha256: String,
    /// What whoever uses the document should know, such as pages without text; one sentence each.
    pub notes: Vec<String>,
    /// Name of the encoding, where it had to be guessed because the text is not UTF-8 and does not
    /// say what it is. A wrong guess is put right with [`ReadOptions`].
    pub guessed_encoding: Option<&'static str>,
    /// The pages that the text is of; `None` where it is the whole document's.
    pub pages: Option<Pages>,
}

/// A part of the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// What the part is in the document.
    pub kind: BlockKind,
    /// Range of bytes of the part in [`Document::text`].
    pub bytes: Range<usize>,
}

/// What a part of a document's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// A heading; its level is 1, the highest, to 6.
    Heading(u8),
    /// Running text.
    Paragraph,
    /// One item of a list, with its bullet or number.
    ListItem,
    /// One row of a table.
    TableRow,
    /// Code or other text whose line breaks matter.
    Code,
}

/// The kind of file that a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Plain text, in any encoding that the reader can detect or is given.
    Text,
    /// Markdown.
    Markdown,
    /// HTML.
    Html,
    /// PDF with text in it; scanned pages have none.
    Pdf,
    /// Word's Office Open XML.
    Docx,
    /// EPUB, version 2 or 3.
    Epub,
}

impl Format {
    /// The name of the kind for people.
    pub fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Markdown => "Markdown",
            Format::Html => "HTML",
            Format::Pdf => "PDF",
            Format::Docx => "Word document",
            Format::Epub => "EPUB",
        }
    }
}

/// How to read a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Label of the encoding of a text that is not UTF-8, such as `windows-1252`; `None` to work it
    /// out from the bytes.
    pub encoding: Option<String>,
    /// The pages to read; `None` for all. Only a PDF has pages.
    pub pages: Option<Pages>,
}

/// The bytes of a plain text as text, line ends as they are, and a sentence on their encoding where
/// it had to be guessed.
pub fn decode_text(
    name: &str,
    bytes: &[u8],
    options: &ReadOptions,
) -> Result<(String, Option<String>), DocumentError> {
    let decoded = detect::decode(bytes, options, false);
    let (text, guessed) = decoded.map_err(|problem| DocumentError {
        name: name.to_owned(),
        problem,
    })?;
    Ok((text, guessed.map(detect::guess_note)))
}

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 256 << 20;
/// The longest text that is taken out of a file, in bytes.
pub const MAX_TEXT_BYTES: usize = 64 << 20;
/// What is unpacked of a zip archive at most, in bytes.
const MAX_UNPACKED_BYTES: u64 = 256 << 20;
/// What a stream of a PDF, and a page's content in all, may unpack to, in bytes. Text takes
/// kilobytes a page, maps and plots some megabytes.
const MAX_CONTENT_BYTES: usize = 32 << 20;

/// The formats that are read.
const READABLE: &str = if cfg!(feature = "documents") {
    "text, Markdown, HTML, PDF, Word (.docx) and EPUB"
} else {
    "text and Markdown"
};

impl Document {
    /// Reads a file, working out its format and encoding.
    pub fn open(path: impl AsRef<Path>) -> Result<Document, DocumentError> {
        Document::read(path.as_ref(), &ReadOptions::default())
    }

    /// Reads a file, or standard input for `-`.
    pub fn read(path: &Path, options: &ReadOptions) -> Result<Document, DocumentError> {
        let is_stdin = path.as_os_str() == "-";
        let name = if is_stdin {
            "standard input".to_owned()
        } else {
            let file_name = path.file_name().unwrap_or(path.as_os_str());
            file_name.to_string_lossy().into_owned()
        };
        let bytes = if is_stdin {
            read_limited(io::stdin().lock())
        } else {
            read_file(path)
        };
        // A person looks for the file by its whole path, and for the document by its name.
        let bytes = bytes.map_err(|problem| DocumentError {
            name: if is_stdin {
                name.clone()
            } else {
                path.display().to_string()
            },
            problem,
        })?;
        Document::from_bytes(&name, &bytes, options)
    }

    /// Reads what a file of this name holds. The contents decide the format; the name's extension
    /// only distinguishes text formats.
    pub fn from_bytes(
        name: &str,
        bytes: &[u8],
        options: &ReadOptions,
    ) -> Result<Document, DocumentError> {
        let read = || {
            if bytes.len() as u64 > MAX_FILE_BYTES {
                return Err(DocumentProblem::TooLarge);
            }
            let draft = detect::read(name, bytes, options)?;
            Ok(Document {
                pages: options.pages.clone(),
                ..draft.finish(name)?
            })
        };
        read().map_err(|problem| DocumentError {
            name: name.to_owned(),
            problem,
        })
    }

    /// Levels and places of the headings, in order.
    pub fn headings(&self) -> impl Iterator<Item = (u8, Range<usize>)> {
        self.blocks.iter().filter_map(|block| match block.kind {
            BlockKind::Heading(level) => Some((level, block.bytes.clone())),
            _ => None,
        })
    }

    /// A heading's words, without its marks.
    pub fn heading_text(&self, place: &Range<usize>) -> String {
        let text = self.text.get(place.clone()).unwrap_or("");
        let line = text.lines().next().unwrap_or("");
        let bare = line.trim().trim_start_matches('#').trim_end_matches('#');
        shown_line(bare.trim()).into_owned()
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, DocumentProblem> {
    let file = File::open(path).map_err(|error| DocumentProblem::open(&error))?;
    let metadata = file.metadata().map_err(DocumentProblem::Unreadable)?;
    if metadata.is_dir() {
        return Err(DocumentProblem::Directory);
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(DocumentProblem::TooLarge);
    }
    read_limited(file)
}

fn read_limited(source: impl Read) -> Result<Vec<u8>, DocumentProblem> {
    let mut bytes = Vec::new();
    let mut limited = source.take(MAX_FILE_BYTES + 1);
    limited
        .read_to_end(&mut bytes)
        .map_err(DocumentProblem::Unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(DocumentProblem::TooLarge);
    }
    Ok(bytes)
}

/// A document on its way from its file.
#[derive(Debug)]
struct Draft {
    format: Format,
    text: String,
    blocks: Vec<Block>,
    notes: Vec<String>,
    guessed_encoding: Option<&'static str>,
}

impl Draft {
    fn new(format: Format) -> Draft {
        Draft {
            format,
            text: String::new(),
            blocks: Vec::new(),
            notes: Vec::new(),
            guessed_encoding: None,
        }
    }

    fn check_length(&self) -> Result<(), DocumentProblem> {
        if self.text.len() > MAX_TEXT_BYTES {
            return Err(DocumentProblem::TextTooLong);
        }
        Ok(())
    }

    fn finish(self, name: &str) -> Result<Document, DocumentProblem> {
        self.check_length()?;
        if !self.text.chars().any(|c| !c.is_whitespace()) {
            return Err(DocumentProblem::Empty);
        }
        let digest = Sha256::digest(self.text.as_bytes());
        Ok(Document {
            name: shown_line(name).into_owned(),
            format: self.format,
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            text: self.text,
            blocks: self.blocks,
            notes: self.notes,
            guessed_encoding: self.guessed_encoding,
            pages: None,
        })
    }
}

#[cfg(feature = "documents")]
impl Draft {
    /// Adds a block below the last one, with the marks that Markdown would give it. White space
    /// within it is made single, but in code. A block without text is left out.
    fn push(&mut self, kind: BlockKind, text: &str) {
        self.push_marked(kind, "-", text);
    }

    /// As [`Draft::push`], with the mark that an item of a list has.
    fn push_marked(&mut self, kind: BlockKind, mark: &str, text: &str) {
        let text = match kind {
            BlockKind::Code => text.trim_matches('\n').trim_end().to_owned(),
            BlockKind::Paragraph => single_spaced(text),
            // A mark at the start holds for one line.
            _ => single_spaced(text).replace('\n', " "),
        };
        if text.is_empty() {
            return;
        }
        if let Some(last) = self.blocks.last() {
            let lines = matches!(kind, BlockKind::ListItem | BlockKind::TableRow);
            let close = lines && last.kind == kind;
            self.text.push_str(if close { "\n" } else { "\n\n" });
        }
        let start = self.text.len();
        match kind {
            BlockKind::Heading(level) => {
                self.text.extend((0..level).map(|_| '#'));
                self.text.push(' ');
            }
            BlockKind::ListItem => {
                self.text.push_str(mark.trim());
                self.text.push(' ');
            }
            BlockKind::Paragraph | BlockKind::TableRow | BlockKind::Code => {}
        }
        self.text.push_str(&text);
        let bytes = start..self.text.len();
        self.blocks.push(Block { kind, bytes });
    }
}

#[cfg(feature = "documents")]
/// Runs of white space made one: a line's end where they hold one, else a space.
fn single_spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split('\n') {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else {
            continue;
        };
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(first);
        for word in words {
            out.push(' ');
            out.push_str(word);
        }
    }
    out
}

#[cfg(all(test, feature = "documents"))]
mod tests;
