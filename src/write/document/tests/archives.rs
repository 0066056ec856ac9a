use super::*;

#[test]
fn a_word_document() {
    let body = r#"<w:p><w:pPr><w:pStyle w:val="berschrift1"/></w:pPr><w:r><w:t>Title &amp; more</w:t></w:r></w:p>
      <w:p><w:pPr><w:tabs><w:tab w:val="left"/></w:tabs></w:pPr><w:r><w:t xml:space="preserve">Some </w:t></w:r><w:r><w:t>text</w:t><w:br/><w:t>below</w:t><w:tab/><w:t>&#233;nd</w:t></w:r></w:p>
      <w:p><w:pPr><w:pStyle w:val="Mine"/></w:pPr><w:r><w:t>Based</w:t></w:r></w:p>
      <w:p><w:pPr><w:pStyle w:val="Deep"/></w:pPr><w:r><w:t>Third</w:t></w:r></w:p>
      <w:p><w:pPr><w:pStyle w:val="A"/><w:numPr/></w:pPr><w:r><w:t>item</w:t></w:r></w:p>
      <w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>
      <w:p><w:r><mc:AlternateContent><mc:Choice><w:txbxContent><w:p><w:r><w:t>box</w:t></w:r></w:p></w:txbxContent></mc:Choice><mc:Fallback><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent></w:r></w:p>
      <w:tbl><w:tr><w:tc><w:p><w:r><w:t>x</w:t></w:r></w:p><w:p><w:r><w:t>y</w:t></w:r></w:p></w:tc><w:tc><w:tbl><w:tr><w:tc><w:p><w:r><w:t>in</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:tc></w:tr></w:tbl>"#;
    let document = read("a.bin", &docx(body)).unwrap();
    assert_eq!(document.format, Format::Docx);
    assert_eq!(
        blocks(&document),
        [
            "H1 # Title & more",
            "P Some text\nbelow énd",
            "H1 # Based",
            "H3 ### Third",
            "L - item",
            "P new",
            "P box",
            "T x y | in",
        ]
    );
}

#[test]
fn lists_keep_their_numbers_and_pictures_their_words() {
    let numbering = r#"<w:numbering><w:abstractNum w:abstractNumId="7">
        <w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl>
        <w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%1.%2)"/></w:lvl></w:abstractNum>
        <w:abstractNum w:abstractNumId="8"><w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/><w:lvlText w:val="o"/></w:lvl></w:abstractNum>
        <w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num>
        <w:num w:numId="2"><w:abstractNumId w:val="7"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/></w:lvlOverride></w:num>
        <w:num w:numId="3"><w:abstractNumId w:val="8"/></w:num></w:numbering>"#;
    let item = |list: u32, level: u32, text: &str| {
        format!(
            r#"<w:p><w:pPr><w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{list}"/></w:numPr></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"#
        )
    };
    let body = [
        item(1, 0, "one"),
        item(1, 1, "first"),
        item(1, 1, "second"),
        item(1, 0, "two"),
        item(1, 1, "again"),
        item(2, 0, "five"),
        item(3, 0, "dot"),
        r#"<w:p><w:r><w:t>See</w:t><w:drawing><wp:docPr id="1" descr="A map of the bay"/></w:drawing></w:r></w:p>"#.to_owned(),
        r#"<w:p><w:pPr><w:pStyle w:val="Writer"/></w:pPr><w:r><w:t>A. Writer</w:t></w:r></w:p>"#.to_owned(),
    ];
    let styles = r#"<w:styles xmlns:w="w"><w:style w:styleId="T"><w:name w:val="Title"/></w:style>
        <w:style w:styleId="Writer"><w:name w:val="Author"/><w:basedOn w:val="T"/></w:style></w:styles>"#;
    let main = format!(
        r#"<?xml version="1.0"?><w:document xmlns:w="w"><w:body>{}</w:body></w:document>"#,
        body.concat()
    );
    let header = "<w:hdr><w:p><w:r><w:t>Draft</w:t></w:r></w:p></w:hdr>";
    let document = read(
        "a.docx",
        &zipped(&[
            ("word/document.xml", &main),
            ("word/styles.xml", styles),
            ("word/numbering.xml", numbering),
            ("word/header1.xml", header),
        ]),
    );
    assert_eq!(
        blocks(&document.unwrap()),
        [
            "L 1. one",
            "L 1.a) first",
            "L 1.b) second",
            "L 2. two",
            "L 2.a) again",
            "L 5. five",
            "L - dot",
            "P See [A map of the bay]",
            "P A. Writer",
        ]
    );
}

#[test]
fn a_book_in_the_order_of_its_spine() {
    let document = read("book.epub", &epub(&[])).unwrap();
    assert_eq!(document.format, Format::Epub);
    let expected = ["H1 # One", "P First part.", "H2 ## Two", "P Second part."];
    assert_eq!(blocks(&document), expected);
}

#[test]
fn encrypted_pages_are_refused_and_encrypted_fonts_are_not() {
    let list = |uri: &str| format!(r#"<encryption><CipherReference URI="{uri}"/></encryption>"#);
    let with = |uri| read("b", &epub(&[("META-INF/encryption.xml", &list(uri))]));
    assert!(with("OEBPS/font.otf").is_ok());
    assert!(matches!(with("one.xhtml"), Err(DocumentProblem::Protected)));
}

#[test]
fn other_archives_are_named() {
    let says = |name: &str, words: &str| {
        let problem = read("a.zip", &zipped(&[(name, "x")]))
            .unwrap_err()
            .to_string();
        assert!(problem.contains(words), "{problem}");
    };
    says("xl/workbook.xml", "spreadsheet");
    says("ppt/presentation.xml", "presentation");
    says("content.xml", "OpenDocument");
    says("photo.jpg", "unpack it");
    says("META-INF/container.xml", "no package");
    says("word/other.xml", "word/document.xml is missing");
}

#[test]
fn damaged_archives() {
    let whole = docx("<w:p><w:r><w:t>text</w:t></w:r></w:p>");
    for cut in [10, whole.len() / 2, whole.len() - 10] {
        let problem = read("a.docx", &whole[..cut]).unwrap_err();
        assert!(
            matches!(problem, DocumentProblem::Damaged { .. }),
            "{problem}"
        );
    }
    let problem = read("a.docx", &docx("<w:p><w:t")).unwrap_err();
    assert!(
        matches!(problem, DocumentProblem::Damaged { .. }),
        "{problem}"
    );
    let empty = read("a.docx", &docx("<w:p/>")).unwrap_err();
    assert!(matches!(empty, DocumentProblem::Empty));
}

#[test]
fn a_bomb_is_not_unpacked() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("word/document.xml", SimpleFileOptions::default())
        .unwrap();
    let piece = vec![b' '; 1 << 20];
    for _ in 0..=MAX_UNPACKED_BYTES >> 20 {
        zip.write_all(&piece).unwrap();
    }
    let bytes = zip.finish().unwrap().into_inner();
    assert!(bytes.len() < 2 << 20);
    let problem = read("a.docx", &bytes).unwrap_err();
    assert!(matches!(problem, DocumentProblem::ArchiveBomb), "{problem}");
}
