//! What a file holds, by its first bytes, and its text by its encoding.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

#[cfg(not(feature = "documents"))]
use super::missing::{read_archive, read_html, read_pdf};
use super::{DocumentProblem, Draft, ReadOptions, markdown, plain};
#[cfg(feature = "documents")]
use super::{archive::read as read_archive, html::read as read_html, pdf::read as read_pdf};

pub(super) fn read(
    name: &str,
    bytes: &[u8],
    options: &ReadOptions,
) -> Result<Draft, DocumentProblem> {
    if bytes.is_empty() {
        return Err(DocumentProblem::Empty);
    }
    // Readers allow some bytes before the header.
    let head = &bytes[..bytes.len().min(1024)];
    let is_archive = bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06");
    if !is_archive && find(head, b"%PDF-").is_some() {
        return read_pdf(bytes, options.pages.as_ref());
    }
    if let Some(pages) = &options.pages {
        return Err(DocumentProblem::NoPages {
            pages: pages.to_string(),
        });
    }
    if is_archive {
        return read_archive(bytes);
    }
    if let Some(problem) = foreign(bytes) {
        return Err(problem);
    }
    let is_html = looks_like_html(name, bytes);
    let (text, guessed) = decode(bytes, options, is_html)?;
    let text = unix_lines(text);
    let mut draft = if is_html {
        read_html(&text)?
    } else if looks_like_markdown(name, &text) {
        markdown::read(text)
    } else {
        plain::read(text)
    };
    draft.guessed_encoding = guessed.map(Encoding::name);
    draft.notes.extend(guessed.map(guess_note));
    Ok(draft)
}

pub(super) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

/// Formats that are recognised by their first bytes and cannot be read.
fn foreign(bytes: &[u8]) -> Option<DocumentProblem> {
    const OLE: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";
    if bytes.starts_with(OLE) {
        // Word wraps a protected .docx in the container of its old format.
        let encrypted: Vec<u8> = "EncryptedPackage"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        return Some(if find(bytes, &encrypted).is_some() {
            DocumentProblem::Password
        } else {
            unsupported(
                "an old Office file (.doc, .xls or .ppt)",
                "save it as .docx",
            )
        });
    }
    if bytes.starts_with(b"GGUF") {
        return Some(DocumentProblem::Model);
    }
    const OTHERS: [(&[u8], &str, &str); 13] = [
        (
            b"{\\rtf",
            "a rich text file (.rtf)",
            "save it as .docx or .txt",
        ),
        (b"\x89PNG", "a picture", PICTURE),
        (b"\xFF\xD8\xFF", "a picture", PICTURE),
        (b"GIF8", "a picture", PICTURE),
        (b"II*\0", "a picture", PICTURE),
        (b"MM\0*", "a picture", PICTURE),
        (b"\x1F\x8B", "a compressed file (gzip)", UNPACK),
        (b"BZh", "a compressed file (bzip2)", UNPACK),
        (b"\xFD7zXZ\0", "a compressed file (xz)", UNPACK),
        (b"\x28\xB5\x2F\xFD", "a compressed file (zstd)", UNPACK),
        (b"7z\xBC\xAF\x27\x1C", "a compressed file (7z)", UNPACK),
        (b"Rar!\x1A\x07", "a compressed file (rar)", UNPACK),
        (b"\x7FELF", "a program", "name a document"),
    ];
    let mut others = OTHERS.iter();
    let (_, what, advice) = others.find(|(magic, ..)| bytes.starts_with(magic))?;
    Some(unsupported(what, advice))
}

const PICTURE: &str = "run text recognition over it and save the text";
const UNPACK: &str = "unpack it first";

pub(super) fn unsupported(what: &'static str, advice: &'static str) -> DocumentProblem {
    DocumentProblem::Unsupported { what, advice }
}

fn extension(name: &str) -> String {
    let extension = name.rsplit_once('.').map_or("", |(_, end)| end);
    extension.to_ascii_lowercase()
}

fn looks_like_html(name: &str, bytes: &[u8]) -> bool {
    let named = matches!(extension(name).as_str(), "html" | "htm" | "xhtml");
    // UTF-16 has a zero beside each of these letters.
    let head = bytes.iter().filter(|&&b| b != 0).take(1024);
    let head: Vec<u8> = head.map(u8::to_ascii_lowercase).collect();
    let start = head.iter().position(|b| b.is_ascii_graphic());
    let opens = start.is_some_and(|at| head[at] == b'<');
    let doctype = find(&head, b"<!doctype html").is_some() || find(&head, b"<html").is_some();
    named || (opens && doctype)
}

fn looks_like_markdown(name: &str, text: &str) -> bool {
    if matches!(
        extension(name).as_str(),
        "md" | "markdown" | "mdown" | "mkd"
    ) {
        return true;
    }
    // Of other names, what has headings with Markdown's marks after an empty line.
    let mut after_empty = true;
    let mut headings = 0;
    for line in text.lines() {
        let marks = line.bytes().take_while(|&b| b == b'#').count();
        let is_heading = (1..=6).contains(&marks) && line[marks..].starts_with(' ');
        headings += usize::from(is_heading && after_empty);
        after_empty = line.trim().is_empty();
    }
    headings >= 2
}

/// The text of the bytes, and their encoding where it had to be guessed.
pub(super) fn decode(
    bytes: &[u8],
    options: &ReadOptions,
    is_html: bool,
) -> Result<(String, Option<&'static Encoding>), DocumentProblem> {
    if let Some(label) = &options.encoding {
        let encoding = Encoding::for_label(label.trim().as_bytes());
        let encoding = encoding.ok_or_else(|| DocumentProblem::UnknownEncoding {
            label: label.clone(),
        })?;
        return Ok((decode_as(bytes, encoding)?, None));
    }
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return Ok((decode_as(bytes, encoding)?, None));
    }
    if let Some(encoding) = utf16_without_mark(bytes) {
        return Ok((decode_as(bytes, encoding)?, Some(encoding)));
    }
    if let Some(at) = bytes.iter().position(|&b| is_no_text(b)) {
        let byte = bytes[at];
        return Err(DocumentProblem::Binary { at, byte });
    }
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok((text.to_owned(), None)),
        Err(error) => error,
    };
    if let Some(encoding) = declared(bytes).filter(|_| is_html) {
        return Ok((decode_as(bytes, encoding)?, None));
    }
    if looks_like_windows_1252(bytes) {
        return Ok((decode_as(bytes, WINDOWS_1252)?, Some(WINDOWS_1252)));
    }
    let at = error.valid_up_to();
    Err(DocumentProblem::NotUtf8 {
        at,
        byte: bytes[at],
    })
}

pub(super) fn guess_note(encoding: &'static Encoding) -> String {
    format!("It is not UTF-8 and was read as {}.", encoding.name())
}

fn decode_as(bytes: &[u8], encoding: &'static Encoding) -> Result<String, DocumentProblem> {
    // A mark at the start says more than a label, and is no part of the text.
    let (text, used, broken) = encoding.decode(bytes);
    if broken {
        let at = std::str::from_utf8(bytes)
            .err()
            .map_or(0, |e| e.valid_up_to());
        return Err(match bytes.get(at) {
            Some(&byte) if used == UTF_8 => DocumentProblem::NotUtf8 { at, byte },
            _ => DocumentProblem::NotInEncoding {
                encoding: used.name(),
            },
        });
    }
    match text.bytes().position(is_no_text) {
        Some(at) => Err(DocumentProblem::Binary {
            at,
            byte: text.as_bytes()[at],
        }),
        None => Ok(text.into_owned()),
    }
}

/// Control characters that no text has; tab, line and page feeds, escape (of coloured logs) and
/// the end mark of DOS files (0x1A) do occur.
fn is_no_text(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | 0x0B | 0x0C | b'\r' | 0x1A | 0x1B)
}

/// UTF-16 of a mostly Latin text: every other byte is zero, and hardly any of the rest.
fn utf16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(4096) & !1];
    let pairs = head.len() / 2;
    let zeros = |from: usize| {
        head.iter()
            .skip(from)
            .step_by(2)
            .filter(|&&b| b == 0)
            .count()
    };
    let (even, odd) = (zeros(0), zeros(1));
    let clear = |many: usize, few: usize| pairs >= 4 && many * 10 >= pairs * 7 && few * 20 <= pairs;
    if clear(odd, even) {
        Some(UTF_16LE)
    } else {
        clear(even, odd).then_some(UTF_16BE)
    }
}

/// Whether bytes that are no UTF-8 read as a Western text of one byte a letter: its odd bytes are
/// letters within words or marks beside them, and none of its stretches is valid UTF-8 of more
/// than one byte, as a damaged UTF-8 text's would be.
fn looks_like_windows_1252(bytes: &[u8]) -> bool {
    let mut high = 0;
    let mut fitting = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte < 0x80 {
            continue;
        }
        high += 1;
        let is_letter = byte >= 0xC0 && byte != 0xD7 && byte != 0xF7;
        // Dashes, quotation marks, the ellipsis, and signs that books use.
        let is_mark = matches!(byte, 0x80 | 0x82 | 0x84..=0x85 | 0x8B..=0x8C | 0x91..=0x97 | 0x99)
            || matches!(byte, 0x9B..=0x9C | 0xA0..=0xBF);
        let near = |at: Option<usize>| {
            let byte = at.and_then(|at| bytes.get(at));
            byte.is_some_and(|b| b.is_ascii_alphanumeric())
        };
        let in_word = near(at.checked_sub(1)) || near(Some(at + 1));
        fitting += usize::from((is_letter && in_word) || is_mark);
    }
    let has_utf8 = bytes.utf8_chunks().any(|chunk| !chunk.valid().is_ascii());
    !has_utf8 && high * 4 <= bytes.len() && fitting * 20 >= high * 19
}

/// The encoding that a page or XML file names in its first bytes.
pub(super) fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes[..bytes.len().min(1024)].to_ascii_lowercase();
    let label = |mark: &[u8]| {
        let after = &head[find(&head, mark)? + mark.len()..];
        let quoted = after
            .iter()
            .position(|b| !matches!(b, b'"' | b'\'' | b' ' | b'='))?;
        let after = &after[quoted..];
        let is_label = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':');
        let end = after
            .iter()
            .position(|b| !is_label(b))
            .unwrap_or(after.len());
        Encoding::for_label(&after[..end])
    };
    let found = label(b"encoding=").or_else(|| label(b"charset="));
    // Whoever could write this label in ASCII does not use UTF-16.
    found.filter(|&encoding| encoding != UTF_16LE && encoding != UTF_16BE)
}

/// The text of an XML part of an archive. What is damaged in it becomes U+FFFD.
#[cfg(feature = "documents")]
pub(super) fn decode_xml(bytes: &[u8]) -> String {
    let encoding = declared(bytes).unwrap_or(UTF_8);
    let encoding = utf16_without_mark(bytes).unwrap_or(encoding);
    encoding.decode(bytes).0.into_owned()
}

fn unix_lines(text: String) -> String {
    if text.contains('\r') {
        text.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        text
    }
}
