//! Why a document cannot be read. Each is one line that says what to do.

use std::io;

use thiserror::Error;

use crate::advice::Advice;

use super::{MAX_FILE_BYTES, MAX_TEXT_BYTES};

/// What is wrong with which document.
#[derive(Debug, Error)]
#[error("{name}: {problem}")]
pub struct DocumentError {
    /// Name of the document: its file name, or `standard input`.
    pub name: String,
    /// What is wrong with it.
    #[source]
    pub problem: DocumentProblem,
}

/// What can be wrong with a document. Each says what to do about it.
#[derive(Debug, Error)]
pub enum DocumentProblem {
    /// There is no such file.
    #[error("does not exist; check the path")]
    NotFound,
    /// The system does not let this user read the file.
    #[error("may not be read: permission denied; check its permissions")]
    PermissionDenied,
    /// The path is that of a folder.
    #[error("is a folder; name a file in it")]
    Directory,
    /// The system could not read the file.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// The file has no text but white space.
    #[error("holds no text; choose another document")]
    Empty,
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("is larger than {} MiB; cut it into parts", MAX_FILE_BYTES >> 20)]
    TooLarge,
    /// The text is longer than [`MAX_TEXT_BYTES`].
    #[error("holds more than {} MiB of text; cut it into parts", MAX_TEXT_BYTES >> 20)]
    TextTooLong,
    /// The file holds a model's weights.
    #[error("is a model, not a document; name a document")]
    Model,
    /// The file is of a known kind that is not read.
    #[error("is {what}; {advice}")]
    Unsupported {
        /// What the file is, with its article.
        what: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// The file is neither text nor of a known kind.
    #[error(
        "is no text: byte {at} is 0x{byte:02x}; readable are {}",
        super::READABLE
    )]
    Binary {
        /// Place of the first byte that no text has, from 0.
        at: usize,
        /// The byte there.
        byte: u8,
    },
    /// The file was to be UTF-8 and is not.
    #[error("is not UTF-8: byte {at} is 0x{byte:02x}; save it as UTF-8")]
    NotUtf8 {
        /// Place of the first byte that breaks the encoding, from 0.
        at: usize,
        /// The byte there.
        byte: u8,
    },
    /// The file does not fit the encoding it was to be read in.
    #[error("is not {encoding}: some of its bytes mean nothing there; choose another encoding")]
    NotInEncoding {
        /// Name of that encoding.
        encoding: &'static str,
    },
    /// The encoding that was named is unknown.
    #[error(
        "there is no encoding {label:?}; choose one such as utf-8, utf-16le, windows-1252, iso-8859-2 or shift_jis"
    )]
    UnknownEncoding {
        /// The name as it was given.
        label: String,
    },
    /// The file cannot be opened without a password.
    #[error("is protected by a password; save it without one")]
    Password,
    /// The file is encrypted against copying.
    #[error("is protected against copying (DRM), so its text cannot be read")]
    Protected,
    /// Pages were chosen of a document that has none.
    #[error(
        "has no pages {pages}: pages can be chosen of a PDF only, and it is none; read the whole of it"
    )]
    NoPages {
        /// The pages that were asked for.
        pages: String,
    },
    /// Pages were chosen that the document does not have.
    #[error("has no pages {pages}: its pages are 1 to {count}")]
    PagesOutside {
        /// The pages that were asked for.
        pages: String,
        /// The pages that there are.
        count: usize,
    },
    /// A PDF whose pages are pictures.
    #[error(
        "is a PDF without text, most likely scanned pages; run text recognition over it first (ocrmypdf does)"
    )]
    Scanned,
    /// A PDF whose text could not be taken out.
    #[error(
        "is a PDF whose text cannot be taken out: its fonts or its structure are unknown here; convert it to text first (pdftotext does)"
    )]
    UnknownFonts,
    /// The file breaks the rules of its format.
    #[error("is a damaged {format}: {detail}; get it again, or save it anew")]
    Damaged {
        /// Name of the format.
        format: &'static str,
        /// What is wrong, in the words of the reader that failed.
        detail: String,
    },
    /// An archive that unpacks to more than a document can need; not opened any further.
    #[error(
        "unpacks to more than {} MiB, which no document of its kind needs; it is not opened",
        super::MAX_UNPACKED_BYTES >> 20
    )]
    ArchiveBomb,
    /// A PDF all of whose text lies in parts that unpack to more than text can need.
    #[error(
        "holds parts that unpack to more than {} MiB each, which no text needs, and no text beside \
         them; save it anew, or as text",
        super::MAX_CONTENT_BYTES >> 20
    )]
    PdfBomb,
    /// Reading took too long and was given up.
    #[error("takes longer than {seconds} seconds to read; save it anew, or as text")]
    TimedOut {
        /// The most seconds that reading may take.
        seconds: u64,
    },
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
