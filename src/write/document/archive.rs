//! The zip archives that Word documents and EPUBs are.

use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::detect::unsupported;
use super::{DocumentProblem, Draft, MAX_UNPACKED_BYTES, docx, epub};

pub(super) fn read(bytes: &[u8]) -> Result<Draft, DocumentProblem> {
    let mut archive = Archive::open(bytes)?;
    if archive.has("META-INF/container.xml") {
        return epub::read(&mut archive);
    }
    let names = archive.names();
    let holds = |folder: &str| names.iter().any(|name| name.starts_with(folder));
    if holds("word/") {
        return docx::read(&mut archive);
    }
    let as_text = "save its text as .docx, .txt or .md";
    if holds("xl/") {
        return Err(unsupported("a spreadsheet", as_text));
    }
    if holds("ppt/") {
        return Err(unsupported("a presentation", as_text));
    }
    if holds("content.xml") {
        return Err(unsupported("an OpenDocument file", "save it as .docx"));
    }
    Err(unsupported(
        "a zip archive that is neither a Word document nor an EPUB",
        "unpack it and name a document in it",
    ))
}

pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// Bytes that may still be unpacked.
    left: u64,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Archive<'a>, DocumentProblem> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
        Ok(Archive {
            zip,
            left: MAX_UNPACKED_BYTES,
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(name).is_some()
    }

    pub(super) fn names(&self) -> Vec<String> {
        let names = self.zip.file_names().flatten();
        names.map(|name| name.into_owned()).collect()
    }

    /// A part's bytes; `None` if there is no such part.
    pub(super) fn part(&mut self, name: &str) -> Result<Option<Vec<u8>>, DocumentProblem> {
        let part = match self.zip.by_name(name) {
            Ok(part) => part,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED)) => {
                return Err(DocumentProblem::Password);
            }
            Err(error) => return Err(damaged(&error)),
        };
        // What the archive says of its sizes need not be true.
        let mut bytes = Vec::new();
        let mut limited = part.take(self.left + 1);
        limited.read_to_end(&mut bytes).map_err(|error| {
            let format = "archive";
            let detail = format!("{name}: {error}");
            DocumentProblem::Damaged { format, detail }
        })?;
        self.left = match self.left.checked_sub(bytes.len() as u64) {
            Some(left) => left,
            None => return Err(DocumentProblem::ArchiveBomb),
        };
        Ok(Some(bytes))
    }
}

fn damaged(error: &ZipError) -> DocumentProblem {
    DocumentProblem::Damaged {
        format: "archive (.docx and .epub are zip archives)",
        detail: error.to_string(),
    }
}
