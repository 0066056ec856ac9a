//! Documents from where there is no file of theirs.

use inscribe::write::document::{Document, Format, ReadOptions};
use sha2::{Digest, Sha256};

/// A text that was kept with a memory, exactly as it is there.
pub fn of_text(name: &str, text: String) -> Document {
    let options = ReadOptions {
        encoding: Some("utf-8".to_owned()),
        ..ReadOptions::default()
    };
    let read = Document::from_bytes(name, text.as_bytes(), &options);
    match read {
        Ok(document) if document.text == text => document,
        // What was a PDF or a page once is text by now.
        _ => plain(name, text),
    }
}

fn plain(name: &str, text: String) -> Document {
    let digest = Sha256::digest(text.as_bytes());
    Document {
        name: name.to_owned(),
        format: Format::Text,
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        blocks: Vec::new(),
        guessed_encoding: None,
        pages: None,
        notes: Vec::new(),
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_text_comes_back_as_it_was() {
        for text in [
            "# Head\n\nWords.\n",
            "a\u{feff}b",
            "  <html>\n",
            "%PDF-1.4\nx",
            "",
        ] {
            let document = of_text("kept.md", text.to_owned());
            assert_eq!(document.text, text);
            let digest = Sha256::digest(text.as_bytes());
            let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(document.sha256, hex);
        }
    }
}
