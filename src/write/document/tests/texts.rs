use super::*;

#[test]
fn numbered_items_of_a_page_keep_their_numbers() {
    let page = "<html><ol><li>one<li>two<ul><li>dot</ul><li>three</ol><ol start='7'><li>seven</ol><ul><li>end</ul>";
    let document = read("a.html", page.as_bytes()).unwrap();
    let expected = [
        "L 1. one",
        "L 2. two",
        "L - dot",
        "L 3. three",
        "L 7. seven",
        "L - end",
    ];
    assert_eq!(blocks(&document), expected);
}

#[test]
fn plain_text_with_headings_that_people_write() {
    let text = "\u{FEFF}THE TIME MACHINE\r\n\r\nI. wrote this.\r\nAnd this.\r\n\r\n\
        Chapter IV\r\n\r\nShort one\r\n=====\r\nBelow it.\r\n\r\n3.1. Header Format\r\n\r\n\
        - one\r\n  goes on\r\n- two\r\n\r\n1. Contents ........ 5\r\n";
    let document = read("a.txt", text.as_bytes()).unwrap();
    assert_eq!(document.format, Format::Text);
    assert!(document.text.starts_with("THE TIME"));
    assert_eq!(
        blocks(&document),
        [
            "H2 THE TIME MACHINE",
            "P I. wrote this.\nAnd this.",
            "H2 Chapter IV",
            "H1 Short one",
            "P Below it.",
            "H2 3.1. Header Format",
            "L - one\n  goes on",
            "L - two",
            "L 1. Contents ........ 5",
        ]
    );
}

#[test]
fn lines_that_are_paragraphs() {
    let long = |i| format!("Line {i} {}", "goes on and on ".repeat(20).trim());
    let text = format!("[ The book ]\nCHAPTER ONE\n{}\n{}\n", long(1), long(2));
    let document = read("a.txt", text.as_bytes()).unwrap();
    let lines = [long(1), long(2)].map(|line| format!("P {line}"));
    let expected = ["P [ The book ]", "H2 CHAPTER ONE", &lines[0], &lines[1]];
    assert_eq!(blocks(&document), expected);
}

#[test]
fn sentences_are_no_headings() {
    for line in [
        "Part of it was lost.",
        "Book me a room",
        "3.5 percent of them",
        "A B",
        "OK",
    ] {
        let document = read("a.txt", line.as_bytes()).unwrap();
        assert_eq!(blocks(&document), [format!("P {line}")]);
    }
}

#[test]
fn markdown_keeps_its_marks() {
    let text = "---\ntitle: x\n---\n# One\n\nText *here*\nand on.\n\nTwo\n---\n\n- a\n  - b\n- c\n\n\
        | x | y |\n|---|---|\n| 1 | 2 |\n\n```rust\nlet a = 1;\n\nlet b;\n```\n\n> quoted\n";
    let document = read("a.md", text.as_bytes()).unwrap();
    assert_eq!(
        (document.format, document.text.as_str()),
        (Format::Markdown, text)
    );
    assert_eq!(
        blocks(&document),
        [
            "C ---\ntitle: x\n---",
            "H1 # One",
            "P Text *here*\nand on.",
            "H2 Two\n---",
            "L - a",
            "L - b",
            "L - c",
            "T | x | y |",
            "T | 1 | 2 |",
            "C ```rust\nlet a = 1;\n\nlet b;\n```",
            "P quoted",
        ]
    );
    let headings: Vec<String> = document
        .headings()
        .map(|(_, place)| document.heading_text(&place))
        .collect();
    assert_eq!(headings, ["One", "Two"]);
    let piped = read("standard input", b"# One\n\ntext\n\n## Two\n\ntext\n").unwrap();
    assert_eq!(piped.format, Format::Markdown);
}

#[test]
fn html_becomes_blocks() {
    let page = "<!DOCTYPE html><html><head><title>T</title><style>p{}</style>\
        <script>if (a<b) document.write('<p>no</p>')</script><body>\
        <h1>One &amp;\n two</h1>Loose  <b>text</b> here<p>A line<br>and one</p>\
        <ul><li>first<li>second<ul><li><p>inner</p></ul></ul>\
        <table><tr><th>x<th>y<tr><td><p>1</p></td><td>2</td></tr></table>\
        <pre>  a\n   b</pre><svg><text>no</text></svg><h2>Two</h2><p>caf&eacute; &#8212; end";
    let document = read("page", page.as_bytes()).unwrap();
    assert_eq!(document.format, Format::Html);
    assert_eq!(
        blocks(&document),
        [
            "H1 # One & two",
            "P Loose text here",
            "P A line\nand one",
            "L - first",
            "L - second",
            "L - inner",
            "T x | y",
            "T 1 | 2",
            "C   a\n   b",
            "H2 ## Two",
            "P café — end",
        ]
    );
}

#[test]
fn tables_that_only_lay_out_a_page_are_no_rows() {
    let page = "<html><table><tr><td><h1>Head</h1><p>One.</p><table><tr><td>a</td><td>b</td></tr></table></td></tr></table>";
    let document = read("a.html", page.as_bytes()).unwrap();
    assert_eq!(blocks(&document), ["H1 # Head", "P One.", "T a | b"]);
}

#[test]
fn a_million_open_tags_are_no_trouble() {
    let page = format!(
        "<html>{}text",
        "<div><table><tr><td><ul><li>".repeat(40_000)
    );
    assert!(blocks(&read("a.html", page.as_bytes()).unwrap())[0].contains("text"));
}

#[test]
fn encodings_that_are_clear_are_read() {
    let text = "Ein schöner Tag: 5 € für Käse, “gut”.";
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [b"\xFF\xFE".as_slice(), &utf16].concat();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let marked_big = [b"\xFE\xFF".as_slice(), &big].concat();
    for bytes in [&marked, &marked_big, text.as_bytes()] {
        let document = read("a.txt", bytes).unwrap();
        assert_eq!(document.text, text);
        assert!(document.notes.is_empty());
    }
    let western = encoding_rs::WINDOWS_1252.encode(text).0.into_owned();
    for bytes in [utf16, big, western] {
        let document = read("a.txt", &bytes).unwrap();
        assert_eq!(document.text, text);
        assert_eq!(document.notes.len(), 1, "{:?}", document.notes);
        let guessed = document.guessed_encoding.expect("not said by the bytes");
        assert!(document.notes[0].contains(guessed), "{:?}", document.notes);
    }
    let page = "<html><meta charset='iso-8859-2'><p>žluťoučký kůň";
    let page = encoding_rs::ISO_8859_2.encode(page).0.into_owned();
    assert_eq!(read("a.html", &page).unwrap().text, "žluťoučký kůň");
}

#[test]
fn encodings_can_be_named() {
    let text = "これは日本語です。";
    let bytes = encoding_rs::SHIFT_JIS.encode(text).0.into_owned();
    assert!(matches!(
        read("a.txt", &bytes),
        Err(DocumentProblem::NotUtf8 { at: 0, .. })
    ));
    let named = |label: &str, bytes: &[u8]| {
        let encoding = Some(label.to_owned());
        let read = Document::from_bytes(
            "a.txt",
            bytes,
            &ReadOptions {
                encoding,
                ..ReadOptions::default()
            },
        );
        read.map(|d| d.text).map_err(|error| error.problem)
    };
    assert_eq!(named("Shift_JIS", &bytes).unwrap(), text);
    assert_eq!(named("latin1", b"caf\xE9").unwrap(), "café");
    assert!(matches!(
        named("utf-7", b"a"),
        Err(DocumentProblem::UnknownEncoding { .. })
    ));
    assert!(matches!(
        named("utf-8", b"a\xFFb"),
        Err(DocumentProblem::NotUtf8 { at: 1, byte: 0xFF })
    ));
    assert!(matches!(
        named("euc-jp", b"a\xFFb"),
        Err(DocumentProblem::NotInEncoding { encoding: "EUC-JP" })
    ));
}

#[test]
fn damaged_utf_8_is_not_taken_for_another_encoding() {
    let mut bytes = "Ein schöner Tag für Käse".repeat(3).into_bytes();
    bytes.extend(b" \xFC");
    let problem = read("a.txt", &bytes).unwrap_err();
    let expected = bytes.len() - 1;
    assert!(matches!(problem, DocumentProblem::NotUtf8 { at, byte: 0xFC } if at == expected));
}

#[test]
fn what_is_no_document_is_named() {
    let says = |bytes: &[u8], words: &str| {
        let problem = read("a.txt", bytes).unwrap_err().to_string();
        assert!(problem.contains(words), "{problem}");
        assert!(!problem.contains('\n'));
    };
    says(b"", "holds no text");
    says(b" \n\t\n", "holds no text");
    says(b"abc\x00\x01\x02\x03def", "byte 3 is 0x00");
    says(b"\x89PNG\r\n\x1a\n", "a picture");
    says(b"{\\rtf1 a}", "save it as .docx");
    says(b"GGUF\x03\0\0\0", "a model");
    says(
        b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1 Word.Document.8",
        "old Office file",
    );
    let encrypted: Vec<u8> = "EncryptedPackage"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let encrypted = [b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".as_slice(), &encrypted].concat();
    says(&encrypted, "password");
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let options = ReadOptions::default();
    let problem = |path: &Path| Document::read(path, &options).unwrap_err();
    let missing = problem(&folder.path().join("none.txt"));
    assert!(matches!(missing.problem, DocumentProblem::NotFound));
    assert!(missing.to_string().contains("none.txt: does not exist"));
    assert!(matches!(
        problem(folder.path()).problem,
        DocumentProblem::Directory
    ));
    let file = folder.path().join("big.txt");
    let big = File::create(&file).unwrap();
    big.set_len(MAX_FILE_BYTES + 1).unwrap();
    assert!(matches!(problem(&file).problem, DocumentProblem::TooLarge));
    let file = folder.path().join("good.txt");
    std::fs::write(&file, "Some words.\r\n").unwrap();
    let document = Document::read(&file, &options).unwrap();
    assert_eq!(
        (document.name.as_str(), document.text.as_str()),
        ("good.txt", "Some words.\n")
    );
    // sha256sum of these bytes
    assert_eq!(
        document.sha256,
        "e899df8e51b60bf8a6ede73fe5c7b4267bf5e48937e848bac3c6efd906833821"
    );
}
