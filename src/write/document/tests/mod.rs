mod archives;
mod pdfs;
mod robust;
mod texts;

use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

fn read(name: &str, bytes: &[u8]) -> Result<Document, DocumentProblem> {
    let read = Document::from_bytes(name, bytes, &ReadOptions::default());
    read.map_err(|error| error.problem)
}

/// What every document must keep to.
fn check(document: &Document) {
    let mut at = 0;
    for block in &document.blocks {
        assert!(block.bytes.start >= at && block.bytes.start < block.bytes.end);
        let text = document.text.get(block.bytes.clone()).unwrap();
        assert_eq!(text.trim_end(), text);
        at = block.bytes.end;
    }
    assert!(!document.text.trim().is_empty());
    assert!(!document.text.contains('\r'));
    assert_eq!(document.sha256.len(), 64);
}

/// Each block's kind, as a letter, and its text.
fn blocks(document: &Document) -> Vec<String> {
    check(document);
    let show = |block: &Block| {
        let kind = match block.kind {
            BlockKind::Heading(level) => format!("H{level}"),
            BlockKind::Paragraph => "P".to_owned(),
            BlockKind::ListItem => "L".to_owned(),
            BlockKind::TableRow => "T".to_owned(),
            BlockKind::Code => "C".to_owned(),
        };
        format!("{kind} {}", &document.text[block.bytes.clone()])
    };
    document.blocks.iter().map(show).collect()
}

fn zipped(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in parts {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn docx(body: &str) -> Vec<u8> {
    let rels = r#"<Relationships><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>"#;
    let styles = r#"<w:styles xmlns:w="w"><w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>
        <w:style w:styleId="Mine"><w:name w:val="My heading"/><w:basedOn w:val="berschrift1"/></w:style>
        <w:style w:styleId="A"><w:basedOn w:val="B"/></w:style><w:style w:styleId="B"><w:basedOn w:val="A"/></w:style>
        <w:style w:styleId="Deep"><w:name w:val="Deep"/><w:pPr><w:outlineLvl w:val="2"/></w:pPr></w:style></w:styles>"#;
    let document = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><w:document xmlns:w="w"><w:body>{body}</w:body></w:document>"#
    );
    zipped(&[
        ("[Content_Types].xml", "<Types/>"),
        ("_rels/.rels", rels),
        ("word/document.xml", &document),
        ("word/styles.xml", styles),
    ])
}

const CONTAINER: &str = r#"<?xml version="1.0"?><container><rootfiles><rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"#;
const PACKAGE: &str = r#"<package><manifest><item id="b" href="text/two%20b.xhtml"/><item id="a" href="../one.xhtml"/>
    <item id="css" href="style.css"/></manifest><spine><itemref idref="a"/><itemref idref="b"/></spine></package>"#;

fn epub(more: &[(&str, &str)]) -> Vec<u8> {
    let mut parts = vec![
        ("mimetype", "application/epub+zip"),
        ("META-INF/container.xml", CONTAINER),
        ("OEBPS/content.opf", PACKAGE),
        (
            "one.xhtml",
            "<?xml version='1.0'?><html><head><title/><script src='x'/></head><body><h1>One</h1><p>First&nbsp;part.</p></body></html>",
        ),
        (
            "OEBPS/text/two b.xhtml",
            "<html><body><h2>Two</h2><p>Second part.</p></body></html>",
        ),
    ];
    parts.extend(more);
    zipped(&parts)
}

/// A PDF of pages, each with its content stream, in the smallest form that readers accept.
fn pdf(pages: &[&str]) -> Vec<u8> {
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        String::new(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_owned(),
    ];
    let mut kids = Vec::new();
    for content in pages {
        let page = objects.len() + 1;
        kids.push(format!("{page} 0 R"));
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {} 0 R \
             /Resources << /Font << /F1 3 0 R >> >> >>",
            page + 1
        ));
        let length = content.len();
        objects.push(format!(
            "<< /Length {length} >>\nstream\n{content}\nendstream"
        ));
    }
    let (kids, count) = (kids.join(" "), pages.len());
    objects[1] = format!("<< /Type /Pages /Kids [{kids}] /Count {count} >>");
    assemble(&objects, "")
}

fn assemble(objects: &[String], trailer: &str) -> Vec<u8> {
    let mut out = "%PDF-1.4\n".to_owned();
    let mut places = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        places.push(out.len());
        out.push_str(&format!("{} 0 obj\n{object}\nendobj\n", index + 1));
    }
    let (xref, size) = (out.len(), objects.len() + 1);
    out.push_str(&format!("xref\n0 {size}\n0000000000 65535 f \n"));
    for place in places {
        out.push_str(&format!("{place:010} 00000 n \n"));
    }
    out.push_str(&format!(
        "trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\nstartxref\n{xref}\n%%EOF\n"
    ));
    out.into_bytes()
}
