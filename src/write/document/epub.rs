//! EPUB: the pages of a book in the order of its spine.

use std::collections::{HashMap, HashSet};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::archive::Archive;
use super::detect::decode_xml;
use super::xml::attribute;
use super::{DocumentProblem, Draft, Format, html};

pub(super) fn read(archive: &mut Archive) -> Result<Draft, DocumentProblem> {
    let container = required(archive, "META-INF/container.xml")?;
    let (mut package, mut other) = (None, None);
    each_tag(&container, |name, tag| {
        if name == "rootfile" {
            let kind = attribute(tag, "media-type").unwrap_or_default();
            let is_package = kind == "application/oebps-package+xml";
            let found = if is_package { &mut package } else { &mut other };
            *found = found.take().or_else(|| attribute(tag, "full-path"));
        }
    })?;
    let package = package
        .or(other)
        .ok_or_else(|| damaged("its container names no package"))?;
    let spine = spine(&required(archive, &package)?, &package)?;
    let encrypted = encrypted_parts(archive)?;
    let mut draft = Draft::new(Format::Epub);
    let mut missing = 0;
    for page in &spine {
        if encrypted.contains(page) {
            return Err(DocumentProblem::Protected);
        }
        match archive.part(page)? {
            Some(bytes) => html::append(&decode_xml(&bytes), true, &mut draft)?,
            None => missing += 1,
        }
    }
    if missing > 0 {
        let all = spine.len();
        let note = format!("{missing} of the book's {all} parts are missing from the file.");
        draft.notes.push(note);
    }
    Ok(draft)
}

fn required(archive: &mut Archive, name: &str) -> Result<String, DocumentProblem> {
    let bytes = archive.part(name)?;
    let bytes = bytes.ok_or_else(|| damaged(format!("its part {name} is missing")))?;
    Ok(decode_xml(&bytes))
}

fn damaged(detail: impl ToString) -> DocumentProblem {
    DocumentProblem::damaged(Format::Epub, detail)
}

fn each_tag(xml: &str, mut visit: impl FnMut(&str, &BytesStart)) -> Result<(), DocumentProblem> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = false;
    loop {
        match reader.read_event().map_err(damaged)? {
            Event::Start(tag) | Event::Empty(tag) => visit(tag.local_name().as_ref(), &tag),
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

/// The names of the pages' parts in reading order.
fn spine(xml: &str, package: &str) -> Result<Vec<String>, DocumentProblem> {
    let mut hrefs: HashMap<String, String> = HashMap::new();
    let mut order = Vec::new();
    each_tag(xml, |name, tag| match name {
        "item" => {
            if let (Some(id), Some(href)) = (attribute(tag, "id"), attribute(tag, "href")) {
                hrefs.insert(id, href);
            }
        }
        "itemref" => order.extend(attribute(tag, "idref")),
        _ => {}
    })?;
    let folder = package.rsplit_once('/').map_or("", |(folder, _)| folder);
    let pages = order.iter().filter_map(|id| hrefs.get(id));
    let pages: Vec<String> = pages.map(|href| resolve(folder, href)).collect();
    if pages.is_empty() {
        return Err(damaged("its package lists no pages"));
    }
    Ok(pages)
}

/// A link's target within the archive.
fn resolve(folder: &str, href: &str) -> String {
    let href = href.split('#').next().unwrap_or("");
    let decoded = percent_decoded(href);
    let (base, path) = match decoded.strip_prefix('/') {
        Some(absolute) => ("", absolute),
        None => (folder, decoded.as_str()),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes
            .get(at + 1..at + 3)
            .and_then(|d| std::str::from_utf8(d).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match value.filter(|_| bytes[at] == b'%') {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Parts that are encrypted. Fonts often are, in books that anyone may read.
fn encrypted_parts(archive: &mut Archive) -> Result<HashSet<String>, DocumentProblem> {
    let mut parts = HashSet::new();
    if let Some(bytes) = archive.part("META-INF/encryption.xml")? {
        each_tag(&decode_xml(&bytes), |name, tag| {
            if name == "CipherReference" {
                parts.extend(attribute(tag, "URI").map(|uri| resolve("", &uri)));
            }
        })?;
    }
    Ok(parts)
}
