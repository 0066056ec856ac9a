//! Documents of every format.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use inscribe::write::document::{Document, ReadOptions};

use crate::mutate::{self, Parts, Random};
use crate::{Kind, Outcome};

const HTML: &str = r#"<!DOCTYPE html><html lang="en"><head><title>T</title><style>p{}</style></head>
<body class="a" id='b' data-x=1><h1>Head &amp; <em>line</em></h1><p title="x &lt; y">Words&nbsp;of a
paragraph.<br/>More.</p><ol start="4"><li>four<ul><li>in</li></ul></li><li>five</ol><table><tr><th>a<td>b
</tr><tr><td>1</td><td>2</td></table><pre>  code
 of lines</pre><!-- a comment --><script>if (a < b) { "</p>" }</script><svg><text>no</text></svg>
<![CDATA[x]]><textarea></p></textarea><h2>Last</h2>End.</body></html>"#;
const TAGS: [&str; 14] = [
    "<p ",
    "</p>",
    "<ol start=\"",
    "<table><tr><td>",
    "<script>",
    "</script>",
    "<!--",
    "-->",
    "<![CDATA[",
    "a=\"x\" ",
    "&#x110000;",
    "&notanentity",
    "<pre>",
    "\0",
];
const XML: [&str; 12] = [
    "<w:p>",
    "</w:p>",
    "<w:tbl>",
    "<w:t>",
    "&#0;",
    "&x;",
    "<!DOCTYPE a [<!ENTITY x \"yy\">]>",
    "<![CDATA[",
    "]]>",
    "<?xml encoding=\"utf-16\"?>",
    "w:val=\"",
    "<!--",
];

pub fn kinds() -> Vec<Kind> {
    let plain = |name: &'static str,
                 file: &'static str,
                 seed: Vec<u8>,
                 words: &'static [&'static str]| Kind {
        name,
        share: 4,
        run: Box::new(move |random| {
            let mut bytes = seed.clone();
            mutate::bytes(random, &mut bytes, usize::MAX, words);
            read(random, file, &bytes)
        }),
    };
    let packed = |name: &'static str, parts: Parts| Kind {
        name,
        share: 4,
        run: Box::new(move |random| {
            let bytes = mutate::archive(random, &parts, &XML);
            read(random, name, &bytes)
        }),
    };
    let sample = include_bytes!("../../assets/sample.md")[..6000].to_vec();
    let text = String::from_utf8_lossy(&sample).into_owned();
    let utf16 = [0xFEFF].into_iter().chain(text.encode_utf16().take(1500));
    let utf16 = utf16.flat_map(u16::to_le_bytes).collect();
    vec![
        plain("html", "a.html", HTML.into(), &TAGS),
        plain(
            "markdown",
            "a.md",
            sample,
            &[
                "# ",
                "```\n",
                "\n| a |\n|---|\n",
                "> ",
                "* ",
                "[a](",
                "\n\n",
            ],
        ),
        plain("utf-16", "a.txt", utf16, &["\u{feff}", "\0\0", "\r"]),
        packed("epub", epub()),
        packed("docx", docx()),
        plain("pdf", "a.pdf", pdf(), &PDF),
    ]
}

/// Reads a document, and holds it to what every document must keep to.
fn read(random: &mut Random, name: &str, bytes: &[u8]) -> Outcome {
    let options = ReadOptions {
        encoding: random
            .one_in(10)
            .then(|| random.pick(&["utf-16le", "shift_jis", "x"]).to_owned()),
        pages: random.one_in(10).then(|| "1-2".parse().expect("pages")),
    };
    let read = Document::from_bytes(name, bytes, &options);
    if let Ok(document) = &read {
        let mut end = 0;
        for block in &document.blocks {
            assert!(block.bytes.start >= end && block.bytes.start < block.bytes.end);
            assert!(document.text.get(block.bytes.clone()).is_some());
            end = block.bytes.end;
        }
        assert!(!document.text.trim().is_empty());
        for (_, place) in document.headings().take(100) {
            assert!(!document.heading_text(&place).contains(char::is_control));
        }
    }
    if let Err(error) = &read {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    Outcome::of(read)
}

fn parts(of: &[(&str, &str)]) -> Parts {
    let owned = of
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    owned.collect()
}

fn epub() -> Parts {
    let page = HTML.replace("<!DOCTYPE html>", "<?xml version='1.0'?>");
    parts(&[
        ("mimetype", "application/epub+zip"),
        (
            "META-INF/container.xml",
            r#"<container><rootfiles><rootfile full-path="O/c.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"#,
        ),
        (
            "O/c.opf",
            r#"<package><manifest><item id="a" href="one.xhtml"/><item id="b" href="t/two%20b.xhtml"/></manifest><spine><itemref idref="a"/><itemref idref="b"/></spine></package>"#,
        ),
        ("O/one.xhtml", &page),
        (
            "O/t/two b.xhtml",
            "<html><body><h2>Two</h2><p>Second part.</p></body></html>",
        ),
    ])
}

fn docx() -> Parts {
    parts(&[
        ("[Content_Types].xml", "<Types/>"),
        (
            "_rels/.rels",
            r#"<Relationships><Relationship Id="r1" Type="http://x/officeDocument" Target="word/document.xml"/></Relationships>"#,
        ),
        (
            "word/document.xml",
            r#"<?xml version="1.0" encoding="UTF-8"?><w:document xmlns:w="w"><w:body><w:p><w:pPr><w:pStyle w:val="H"/></w:pPr><w:r><w:t>Heading</w:t></w:r></w:p><w:p><w:pPr><w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr></w:pPr><w:r><w:t xml:space="preserve">Item &amp; </w:t><w:tab/><w:br/></w:r></w:p><w:tbl><w:tr><w:tc><w:p><w:r><w:t>cell</w:t></w:r></w:p></w:tc><w:tc/></w:tr></w:tbl><w:p><w:r><w:t>End.</w:t></w:r></w:p></w:body></w:document>"#,
        ),
        (
            "word/styles.xml",
            r#"<w:styles xmlns:w="w"><w:style w:styleId="H"><w:name w:val="heading 1"/><w:basedOn w:val="B"/></w:style><w:style w:styleId="B"><w:basedOn w:val="H"/><w:pPr><w:outlineLvl w:val="2"/></w:pPr></w:style></w:styles>"#,
        ),
        (
            "word/numbering.xml",
            r#"<w:numbering xmlns:w="w"><w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0"><w:start w:val="3"/><w:numFmt w:val="upperRoman"/><w:lvlText w:val="%1."/></w:lvl></w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num></w:numbering>"#,
        ),
        (
            "word/footnotes.xml",
            r#"<w:footnotes xmlns:w="w"><w:footnote><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>"#,
        ),
    ])
}

const PDF: [&str; 16] = [
    "/Kids [2 0 R]",
    "/Parent 3 0 R",
    " 2 0 R",
    "/Length ",
    "/Filter /FlateDecode ",
    "/Filter /LZWDecode ",
    "/DecodeParms << /Predictor 15 /Columns 4294967295 >> ",
    "stream\n",
    "endstream",
    "endobj",
    "<<",
    ">>",
    "[",
    "BT /F1 9 Tf (x) Tj ET",
    "/X Do",
    "/Encrypt 3 0 R ",
];

/// Two pages, one packed, with fonts that say what their codes mean.
fn pdf() -> Vec<u8> {
    let text = "BT /F1 11 Tf 72 700 Td [(Pla) 20 (ced) -300 (words)] TJ 0 -14 Td (More \\(of\\) them.) Tj ET q Q /X Do";
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
    packer.write_all(text.as_bytes()).expect("memory");
    let packed = packer.finish().expect("memory");
    let stream = |head: &str, content: &[u8]| {
        let head = format!("<< {head} /Length {} >>\nstream\n", content.len());
        [head.as_bytes(), content, b"\nendstream"].concat()
    };
    let page = |contents: usize| {
        format!("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {contents} 0 R /Resources << /Font << /F1 3 0 R >> /XObject << /X 9 0 R >> >> >>").into_bytes()
    };
    let map = "begincmap 1 beginbfchar <41> <0042> endbfchar 1 beginbfrange <61> <7A> <0061> endbfrange endcmap";
    let objects: Vec<Vec<u8>> = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [4 0 R 6 0 R] /Count 2 >>".to_vec(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding /FirstChar 32 /LastChar 34 /Widths [250 333 408] /ToUnicode 8 0 R >>".to_vec(),
        page(5),
        stream("", text.as_bytes()),
        page(7),
        stream("/Filter /FlateDecode", &packed),
        stream("", map.as_bytes()),
        stream("/Type /XObject /Subtype /Form /BBox [0 0 9 9]", b"BT /F1 9 Tf (form) Tj ET"),
    ];
    let mut out = b"%PDF-1.4\n".to_vec();
    let mut places = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        places.push(out.len());
        out.extend(format!("{} 0 obj\n", index + 1).bytes());
        out.extend(object);
        out.extend(b"\nendobj\n");
    }
    let (xref, size) = (out.len(), objects.len() + 1);
    out.extend(format!("xref\n0 {size}\n0000000000 65535 f \n").bytes());
    for place in places {
        out.extend(format!("{place:010} 00000 n \n").bytes());
    }
    out.extend(
        format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{xref}\n%%EOF\n").bytes(),
    );
    out
}
