//! A PDF's objects, with what its streams unpack to bounded before anything unpacks them whole.
//!
//! The parser that draws the pages unpacks without a limit: seven kilobytes may become gigabytes.
//! So a newer version of it, which takes a limit, loads the file (and rebuilds a damaged table of
//! objects), each stream is unpacked once within the limit, and those that pass it are left out.

use std::collections::HashMap;
use std::time::Instant;

use lopdf::DecompressError;
use lopdf::Error as PdfError;
use pdf_extract::{Dictionary, Document as Pdf, Object, ObjectId, Stream, StringFormat};

use super::super::{DocumentProblem, Format, MAX_CONTENT_BYTES};
use super::timed_out;

pub(super) struct Loaded {
    pub pdf: Pdf,
    /// Streams that unpack to more than [`MAX_CONTENT_BYTES`].
    pub left_out: Vec<ObjectId>,
    pub was_encrypted: bool,
    /// Streams that do not unpack.
    pub broken: Vec<ObjectId>,
    /// Unpacked bytes of each stream that was measured.
    unpacked: HashMap<ObjectId, usize>,
}

impl Loaded {
    /// What a page's content unpacks to, at least; the same stream may be named many times.
    pub fn page_bytes(&self, page: ObjectId) -> usize {
        let streams = self.pdf.get_page_contents(page).into_iter();
        streams
            .map(|id| {
                if self.left_out.contains(&id) {
                    usize::MAX
                } else {
                    self.unpacked.get(&id).copied().unwrap_or(0)
                }
            })
            .fold(0, usize::saturating_add)
    }
}

pub(super) fn load(bytes: &[u8], deadline: Instant) -> Result<Loaded, DocumentProblem> {
    let options = lopdf::LoadOptions::with_max_decompressed_size(MAX_CONTENT_BYTES);
    let mut from = lopdf::Document::load_mem_with_options(bytes, options).map_err(problem)?;
    if from.is_encrypted() && from.decrypt("").is_err() {
        return Err(DocumentProblem::Password);
    }
    let was_encrypted = from.was_encrypted() | from.is_encrypted();
    let mut pdf = Pdf::new();
    pdf.version = std::mem::take(&mut from.version);
    pdf.trailer = dictionary(std::mem::take(&mut from.trailer));
    pdf.max_id = from.max_id;
    let mut loaded = Loaded {
        pdf,
        left_out: Vec::new(),
        was_encrypted,
        broken: Vec::new(),
        unpacked: HashMap::new(),
    };
    for (id, object) in from.objects {
        if Instant::now() > deadline {
            return Err(timed_out());
        }
        let object = match object {
            lopdf::Object::Stream(stream) => Object::Stream(loaded.measured(id, stream)),
            object => converted(object),
        };
        loaded.pdf.objects.insert(id, object);
    }
    Ok(loaded)
}

impl Loaded {
    /// A stream as it was, empty if text never comes from its kind, or unpacks to too much.
    fn measured(&mut self, id: ObjectId, mut stream: lopdf::Stream) -> Stream {
        if is_no_content(&stream.dict) {
            stream.content.clear();
        }
        match stream.decompressed_content_with_limit(MAX_CONTENT_BYTES) {
            Ok(content) => {
                self.unpacked.insert(id, content.len());
            }
            Err(PdfError::Decompress(DecompressError::MemoryLimitExceeded { .. })) => {
                self.left_out.push(id);
                stream.content.clear();
            }
            // It is read as it is.
            Err(_) => {
                self.broken.push(id);
                stream.dict.remove(b"Filter");
                self.unpacked.insert(id, stream.content.len());
            }
        }
        let mut dict = dictionary(stream.dict);
        if stream.content.is_empty() {
            dict.remove(b"Filter");
        }
        Stream::new(dict, stream.content)
    }
}

/// Whether a stream holds a picture or something that is not part of a page; such streams are among
/// the largest of a file.
fn is_no_content(dict: &lopdf::Dictionary) -> bool {
    let is = |key: &[u8], kinds: &[&[u8]]| {
        let kind = dict.get(key).and_then(lopdf::Object::as_name);
        kind.is_ok_and(|kind| kinds.contains(&kind))
    };
    is(b"Subtype", &[b"Image"]) || is(b"Type", &[b"ObjStm", b"XRef", b"Metadata", b"EmbeddedFile"])
}

/// The same object of the version that draws.
fn converted(object: lopdf::Object) -> Object {
    use lopdf::Object as From;
    match object {
        From::Null => Object::Null,
        From::Boolean(value) => Object::Boolean(value),
        From::Integer(value) => Object::Integer(value),
        From::Real(value) => Object::Real(value),
        From::Name(name) => Object::Name(name),
        From::String(text, lopdf::StringFormat::Literal) => {
            Object::String(text, StringFormat::Literal)
        }
        From::String(text, lopdf::StringFormat::Hexadecimal) => {
            Object::String(text, StringFormat::Hexadecimal)
        }
        From::Array(items) => Object::Array(items.into_iter().map(converted).collect()),
        From::Dictionary(inner) => Object::Dictionary(dictionary(inner)),
        // Streams are objects of their own; one within another object has no content.
        From::Stream(stream) => Object::Dictionary(dictionary(stream.dict)),
        From::Reference(id) => Object::Reference(id),
    }
}

fn dictionary(from: lopdf::Dictionary) -> Dictionary {
    let entries = from.into_iter();
    entries
        .map(|(key, value)| (key, converted(value)))
        .collect()
}

fn problem(error: PdfError) -> DocumentProblem {
    match error {
        PdfError::InvalidPassword
        | PdfError::Decryption(_)
        | PdfError::UnsupportedSecurityHandler(_) => DocumentProblem::Password,
        error => DocumentProblem::damaged(Format::Pdf, error),
    }
}
