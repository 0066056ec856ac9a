//! What is said where the readers of these formats are left out of the build.

use super::detect::unsupported;
use super::{DocumentProblem, Draft, Pages};

const ADVICE: &str = "this program was built without the cargo feature `documents`, which reads \
                      it; save it as text";

pub(super) fn read_archive(_: &[u8]) -> Result<Draft, DocumentProblem> {
    Err(unsupported(
        "a zip archive, as Word documents and EPUBs are",
        ADVICE,
    ))
}

pub(super) fn read_html(_: &str) -> Result<Draft, DocumentProblem> {
    Err(unsupported("an HTML page", ADVICE))
}

pub(super) fn read_pdf(_: &[u8], _: Option<&Pages>) -> Result<Draft, DocumentProblem> {
    Err(unsupported("a PDF", ADVICE))
}

#[cfg(test)]
mod tests {
    use super::super::{Document, ReadOptions};

    #[test]
    fn what_is_missing_is_named_and_text_is_read() {
        let read = |name: &str, bytes: &[u8]| {
            Document::from_bytes(name, bytes, &ReadOptions::default()).map_err(|e| e.to_string())
        };
        for (name, bytes) in [
            ("a.pdf", b"%PDF-1.7".as_slice()),
            ("a.docx", b"PK\x03\x04"),
            ("a.html", b"<html>text"),
        ] {
            let error = read(name, bytes).unwrap_err();
            assert!(error.contains("feature `documents`"), "{error}");
        }
        assert_eq!(read("a.md", b"# A\n\ntext").unwrap().blocks.len(), 2);
        assert_eq!(read("a.txt", b"text").unwrap().text, "text");
    }
}
