//! Why a document cannot be read. Each is one line that says what to do.

use std::io;

use thiserror::Error;

use crate::advice::Advice;

use super::{MAX_FILE_BYTES, MAX_TEXT_BYTES};

/// What is wrong with which document.
#[derive(Debug, Error)]
#[error("{name}: {problem}")]
pub struct DocumentError {
    pub name: String,
    #[source]
    pub problem: DocumentProblem,
}

#[derive(Debug, Error)]
pub enum DocumentProblem {
    #[error("does not exist; check the path")]
    NotFound,
    #[error("may not be read: permission denied; check its permissions")]
    PermissionDenied,
    #[error("is a folder; name a file in it")]
    Directory,
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("holds no text; choose another document")]
    Empty,
    #[error("is larger than {} MiB; cut it into parts", MAX_FILE_BYTES >> 20)]
    TooLarge,
    #[error("holds more than {} MiB of text; cut it into parts", MAX_TEXT_BYTES >> 20)]
    TextTooLong,
    #[error("is a model, not a document; name a document")]
    Model,
    #[error("is {what}; {advice}")]
    Unsupported {
        what: &'static str,
        advice: &'static str,
    },
    #[error(
        "is no text: byte {at} is 0x{byte:02x}; readable are {}",
        super::READABLE
    )]
    Binary { at: usize, byte: u8 },
    #[error("is not UTF-8: byte {at} is 0x{byte:02x}; save it as UTF-8")]
    NotUtf8 { at: usize, byte: u8 },
    #[error("is not {encoding}: some of its bytes mean nothing there; choose another encoding")]
    NotInEncoding { encoding: &'static str },
    #[error(
        "there is no encoding {label:?}; choose one such as utf-8, utf-16le, windows-1252, iso-8859-2 or shift_jis"
    )]
    UnknownEncoding { label: String },
    #[error("is protected by a password; save it without one")]
    Password,
    #[error("is protected against copying (DRM), so its text cannot be read")]
    Protected,
    #[error(
        "is a PDF without text, most likely scanned pages; run text recognition over it first (ocrmypdf does)"
    )]
    Scanned,
    #[error(
        "is a PDF whose text cannot be taken out: its fonts or its structure are unknown here; convert it to text first (pdftotext does)"
    )]
    UnknownFonts,
    #[error("is a damaged {format}: {detail}; get it again, or save it anew")]
    Damaged {
        format: &'static str,
        detail: String,
    },
    #[error(
        "unpacks to more than {} MiB, which no document of its kind needs; it is not opened",
        super::MAX_UNPACKED_BYTES >> 20
    )]
    ArchiveBomb,
    #[error(
        "holds parts that unpack to more than {} MiB each, which no text needs, and no text beside \
         them; save it anew, or as text",
        super::MAX_CONTENT_BYTES >> 20
    )]
    PdfBomb,
    #[error("takes longer than {seconds} seconds to read; save it anew, or as text")]
    TimedOut { seconds: u64 },
}

impl DocumentError {
    /// The way out that the program itself has.
    pub fn advice(&self) -> Option<Advice> {
        match self.problem {
            DocumentProblem::NotUtf8 { .. } => Some(Advice::NameEncoding),
            DocumentProblem::Model => Some(Advice::GiveAsModel),
            _ => None,
        }
    }
}

impl DocumentProblem {
    pub(super) fn open(error: &io::Error) -> DocumentProblem {
        match error.kind() {
            io::ErrorKind::NotFound => DocumentProblem::NotFound,
            io::ErrorKind::PermissionDenied => DocumentProblem::PermissionDenied,
            // Windows refuses to open a folder instead of opening it.
            io::ErrorKind::IsADirectory => DocumentProblem::Directory,
            kind => DocumentProblem::Unreadable(io::Error::new(kind, error.to_string())),
        }
    }

    #[cfg(feature = "documents")]
    pub(super) fn damaged(format: super::Format, detail: impl ToString) -> DocumentProblem {
        DocumentProblem::Damaged {
            format: format.name(),
            // A parser quotes what it found, line ends and all.
            detail: detail
                .to_string()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
        }
    }
}
