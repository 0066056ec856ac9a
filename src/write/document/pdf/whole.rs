//! Whether a PDF without text is damaged, or only holds no text.

use pdf_extract::{Object, ObjectId};

use super::super::detect::find;
use super::load::Loaded;

/// Whether the file goes to its end. Some programs leave bytes after the mark.
pub(super) fn has_end(bytes: &[u8]) -> bool {
    let padding = |b: &u8| *b == 0 || b.is_ascii_whitespace();
    let end = bytes
        .iter()
        .rposition(|b| !padding(b))
        .map_or(0, |at| at + 1);
    let tail = &bytes[end.saturating_sub(2048)..end];
    find(tail, b"%%EOF").is_some()
}

/// What is damaged of a file whose pages hold no text, if anything.
pub(super) fn damage<'a>(
    bytes: &[u8],
    loaded: &Loaded,
    mut pages: impl Iterator<Item = &'a ObjectId>,
    failed: usize,
) -> Option<String> {
    if !has_end(bytes) {
        return Some("it breaks off before its end".to_owned());
    }
    if failed > 0 {
        return Some(format!("{failed} of its pages cannot be read"));
    }
    let broken = pages.any(|&page| !has_sound_contents(loaded, page));
    broken.then(|| "what its pages show cannot be unpacked or is missing".to_owned())
}

/// Whether what a page shows is there, and unpacks.
fn has_sound_contents(loaded: &Loaded, page: ObjectId) -> bool {
    let pdf = &loaded.pdf;
    let Ok(contents) = pdf
        .get_dictionary(page)
        .and_then(|page| page.get(b"Contents"))
    else {
        // An empty page.
        return true;
    };
    let streams = match contents {
        Object::Reference(id) => match pdf.get_object(*id) {
            Ok(Object::Array(several)) => several.clone(),
            _ => vec![contents.clone()],
        },
        Object::Array(several) => several.clone(),
        _ => return false,
    };
    streams.iter().all(|stream| {
        let Ok(id) = stream.as_reference() else {
            return false;
        };
        let is_there = pdf.get_object(id).and_then(Object::as_stream).is_ok();
        is_there && !loaded.broken.contains(&id)
    })
}
