use super::*;

fn line(size: u32, x: u32, y: u32, text: &str) -> String {
    format!("BT /F1 {size} Tf 1 0 0 1 {x} {y} Tm ({text}) Tj ET\n")
}

/// Two pages with a heading each, a word parted at a line's end, and a running title.
fn report() -> Vec<u8> {
    let page = |number: u32| {
        let mut page = line(9, 72, 760, "A running title");
        page += &line(18, 72, 720, &format!("Heading {number}"));
        page += &line(
            11,
            72,
            690,
            "This paragraph is long enough to reach the right edge and to be hyphen-",
        );
        page += &line(
            11,
            72,
            676,
            "ated there, as books do. It goes on for a second line, and ends here.",
        );
        page += &line(
            11,
            72,
            650,
            "A second paragraph stands apart from the first one by more white space.",
        );
        page += &line(11, 72, 620, "\\225 An item of a list");
        page + &line(9, 300, 40, &format!("{number}"))
    };
    pdf(&[&page(1), &page(2), &page(3)])
}

#[test]
fn a_pdf_becomes_headings_and_paragraphs() {
    let document = read("a.pdf", &report()).unwrap();
    assert_eq!(document.format, Format::Pdf);
    let blocks = blocks(&document);
    assert_eq!(
        &blocks[..4],
        [
            "H1 # Heading 1",
            "P This paragraph is long enough to reach the right edge and to be hyphenated there, as books do. It goes on for a second line, and ends here.",
            "P A second paragraph stands apart from the first one by more white space.",
            "L - An item of a list",
        ]
    );
    assert_eq!(blocks.len(), 12);
    assert_eq!(
        document.notes,
        ["6 page numbers and running titles were left out."]
    );
}

#[test]
fn pages_that_are_all_alike_are_not_all_running_titles() {
    let page = line(11, 72, 700, "The only line there is.");
    let document = read("a.pdf", &pdf(&[page.as_str(); 5])).unwrap();
    assert!(document.text.contains("The only line"));
    assert!(document.notes.is_empty(), "{:?}", document.notes);
}

#[test]
fn turned_text_keeps_its_lines() {
    let page = "BT /F1 11 Tf 0 1 -1 0 100 72 Tm (Turned by a quarter) Tj ET\n\
        BT /F1 11 Tf 0 1 -1 0 114 72 Tm (and a second line.) Tj ET";
    let document = read("a.pdf", &pdf(&[page])).unwrap();
    assert_eq!(
        blocks(&document),
        ["P Turned by a quarter and a second line."]
    );
}

#[test]
fn words_placed_one_by_one_are_apart() {
    let page = "BT /F1 11 Tf 72 700 Td [(Pla) 20 (ced) -300 (words)] TJ ET";
    let document = read("a.pdf", &pdf(&[page])).unwrap();
    assert_eq!(blocks(&document), ["P Placed words"]);
}

#[test]
fn pages_without_text() {
    let problem = read("a.pdf", &pdf(&["0 0 m 10 10 l S", ""])).unwrap_err();
    assert!(matches!(problem, DocumentProblem::Scanned), "{problem}");
    let some = read("a.pdf", &pdf(&["", &line(11, 72, 700, "Words.")])).unwrap();
    assert_eq!(
        some.notes,
        ["Of 2 pages, 1 (1) hold no text; they may be pictures."]
    );
}

#[test]
fn lines_of_contents_are_rows() {
    let mut page = line(18, 72, 740, "1 Start . . . . . . . 1");
    page += &line(11, 72, 700, "1.1 More........... 2");
    page += &line(11, 72, 686, "Then some text below it.");
    let document = read("a.pdf", &pdf(&[&page])).unwrap();
    let expected = [
        "T 1 Start ... 1",
        "T 1.1 More ... 2",
        "P Then some text below it.",
    ];
    assert_eq!(blocks(&document), expected);
}

#[test]
fn text_in_fonts_that_cannot_be_read_is_not_called_a_scan() {
    let bytes = pdf(&["BT /F9 11 Tf 72 700 Td (words) Tj ET"]);
    let problem = read("a.pdf", &bytes).unwrap_err();
    assert!(
        matches!(problem, DocumentProblem::UnknownFonts),
        "{problem}"
    );
}

#[test]
fn a_pdf_with_a_password() {
    let mut objects: Vec<String> = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".into(),
        "<< /Type /Pages /Kids [] /Count 0 >>".into(),
    ];
    let zeros = "00".repeat(32);
    objects.push(format!(
        "<< /Filter /Standard /V 2 /R 3 /Length 128 /P -4 /O <{zeros}> /U <{zeros}> >>"
    ));
    let bytes = assemble(&objects, "/Encrypt 3 0 R /ID [<00> <00>]");
    let problem = read("a.pdf", &bytes).unwrap_err();
    assert!(matches!(problem, DocumentProblem::Password), "{problem}");
}

#[test]
fn circles_do_not_end_the_program() {
    // A form that draws itself, and a page that is its own parent.
    let form = "<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Length 5 \
        /Resources << /XObject << /X 5 0 R >> >> >>\nstream\n/X Do\nendstream";
    let page = |parent: &str| {
        format!(
            "<< /Type /Page /Parent {parent} /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /XObject << /X 5 0 R >> >> >>"
        )
    };
    let objects = |parent: &str, form: &str| -> Vec<String> {
        vec![
            "<< /Type /Catalog /Pages 2 0 R >>".into(),
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".into(),
            page(parent),
            "<< /Length 5 >>\nstream\n/X Do\nendstream".into(),
            form.into(),
        ]
    };
    let plain = "<< /Subtype /Form /BBox [0 0 9 9] /Length 1 >>\nstream\nn\nendstream";
    for objects in [objects("2 0 R", form), objects("3 0 R", plain)] {
        let problem = read("a.pdf", &assemble(&objects, "")).unwrap_err();
        assert!(
            matches!(problem, DocumentProblem::Damaged { .. }),
            "{problem}"
        );
    }
    let sound = read("a.pdf", &assemble(&objects("2 0 R", plain), "")).unwrap_err();
    assert!(matches!(sound, DocumentProblem::Scanned), "{sound}");
}

#[test]
fn damaged_pdfs() {
    let whole = report();
    let problem = read("a.pdf", &whole[..40]).unwrap_err();
    assert!(
        matches!(problem, DocumentProblem::Damaged { .. }),
        "{problem}"
    );
    assert!(!problem.to_string().contains('\n'));
}

/// A stream that unpacks, twice, to `bytes` blanks behind a line of text.
fn packed_twice(bytes: usize) -> Vec<u8> {
    use flate2::{Compression, write::ZlibEncoder};
    let mut inner = ZlibEncoder::new(Vec::new(), Compression::best());
    inner
        .write_all(line(11, 72, 700, "Words.").as_bytes())
        .unwrap();
    let blanks = vec![b' '; 1 << 20];
    for _ in 0..bytes >> 20 {
        inner.write_all(&blanks).unwrap();
    }
    let mut outer = ZlibEncoder::new(Vec::new(), Compression::best());
    outer.write_all(&inner.finish().unwrap()).unwrap();
    outer.finish().unwrap()
}

/// As text, so that it can be in the tests' files.
fn ascii85(bytes: &[u8]) -> String {
    let mut out = String::new();
    for group in bytes.chunks(4) {
        let mut four = [0; 4];
        four[..group.len()].copy_from_slice(group);
        let mut value = u32::from_be_bytes(four);
        let mut five = [b'!'; 5];
        for digit in five.iter_mut().rev() {
            *digit += (value % 85) as u8;
            value /= 85;
        }
        out.extend(five[..=group.len()].iter().map(|&digit| digit as char));
    }
    out + "~>"
}

/// A page whose content is packed, named `times` times; `other` is a second page's.
fn packed_pdf(content: &[u8], times: usize, other: &str) -> Vec<u8> {
    let names = "5 0 R ".repeat(times);
    let page = |contents: &str| {
        format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {contents} \
             /Resources << /Font << /F1 3 0 R >> >> >>"
        )
    };
    let packed = ascii85(content);
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [4 0 R 6 0 R] /Count 2 >>".to_owned(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_owned(),
        page(&format!("[{names}]")),
        format!(
            "<< /Filter [/ASCII85Decode /FlateDecode /FlateDecode] /Length {} >>\nstream\n{packed}\nendstream",
            packed.len()
        ),
        page("7 0 R"),
        format!("<< /Length {} >>\nstream\n{other}\nendstream", other.len()),
    ];
    assemble(&objects, "")
}

#[test]
fn a_small_file_that_unpacks_to_gigabytes_is_not_unpacked() {
    let bomb = packed_twice(2 << 30);
    let problem = read("a.pdf", &packed_pdf(&bomb, 1, "")).unwrap_err();
    assert!(matches!(problem, DocumentProblem::PdfBomb), "{problem}");
    // What else it holds is still read.
    let other = line(11, 72, 700, "A page beside it.");
    let document = read("a.pdf", &packed_pdf(&bomb, 1, &other)).unwrap();
    assert_eq!(blocks(&document), ["P A page beside it."]);
    assert_eq!(document.notes.len(), 2, "{:?}", document.notes);
}

#[test]
fn a_page_that_names_a_stream_again_and_again_is_bounded_as_a_whole() {
    let content = packed_twice(4 << 20);
    let once = read("a.pdf", &packed_pdf(&content, 1, "")).unwrap();
    assert_eq!(blocks(&once), ["P Words."]);
    let often = read(
        "a.pdf",
        &packed_pdf(&content, 10, &line(11, 72, 700, "Beside.")),
    )
    .unwrap();
    assert_eq!(blocks(&often), ["P Beside."]);
    assert_eq!(often.notes, ["Of 2 pages, 1 (1) could not be read whole."]);
}

#[test]
fn states_kept_within_each_other_without_end_are_not_followed() {
    let page = "q ".repeat(100_000) + &line(11, 72, 700, "Deep.");
    let document = read("a.pdf", &pdf(&[&page, &line(11, 72, 700, "Flat.")])).unwrap();
    assert_eq!(blocks(&document), ["P Flat."]);
}

#[test]
fn a_page_of_millions_of_marks_is_not_parsed() {
    let page = "q Q ".repeat(1_100_000) + &line(11, 72, 700, "Many.");
    let document = read("a.pdf", &pdf(&[&page, &line(11, 72, 700, "Few.")])).unwrap();
    assert_eq!(blocks(&document), ["P Few."]);
}

#[test]
fn a_damaged_table_of_objects_is_made_anew() {
    let mut bytes = pdf(&[&line(11, 72, 700, "Found again.")]);
    let at = bytes.windows(9).position(|w| w == b"startxref").unwrap();
    bytes.truncate(at);
    let document = read("a.pdf", &bytes).unwrap();
    assert_eq!(blocks(&document), ["P Found again."]);
}

#[test]
fn a_damaged_pdf_without_text_is_not_called_a_scan() {
    let whole = pdf(&[line(11, 72, 700, "Words of one page.").as_str(); 3]);
    let content = whole.windows(6).position(|part| part == b"stream").unwrap();
    let end = whole.windows(5).rposition(|part| part == b"%%EOF").unwrap();
    // Cut before the first content, and with the content's object gone.
    let mut without = whole.clone();
    let kids = String::from_utf8_lossy(&whole).into_owned();
    let missing = kids.replace("/Contents ", "/Contents 9");
    for (name, bytes) in [
        ("cut early", whole[..content].to_vec()),
        ("no end", {
            let scan = pdf(&["0 0 m 10 10 l S"]);
            let end = scan.windows(5).rposition(|part| part == b"%%EOF").unwrap();
            scan[..end].to_vec()
        }),
        ("contents missing", missing.into_bytes()),
    ] {
        let problem = read("a.pdf", &bytes).unwrap_err();
        let is_damaged = matches!(problem, DocumentProblem::Damaged { .. });
        assert!(is_damaged, "{name}: {problem}");
    }
    // What is left of a file with text is read, and what it lacks is said.
    without.truncate(end);
    let document = read("a.pdf", &without).unwrap();
    assert!(document.text.contains("Words of one page."));
    let told = document
        .notes
        .iter()
        .any(|note| note.contains("breaks off"));
    assert!(told, "{:?}", document.notes);
    // A scan stays one, also with bytes after its end.
    let mut scan = pdf(&["0 0 m 10 10 l S"]);
    scan.extend([0; 5000]);
    let problem = read("a.pdf", &scan).unwrap_err();
    assert!(matches!(problem, DocumentProblem::Scanned), "{problem}");
}

#[test]
fn pages_are_chosen() {
    let texts: Vec<String> = (1..=6)
        .map(|n| line(11, 72, 700, &format!("Page number {n}.")))
        .collect();
    let whole = pdf(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let chosen = |name: &str, bytes: &[u8], pages: &str| {
        let options = ReadOptions {
            pages: Some(pages.parse().unwrap()),
            ..ReadOptions::default()
        };
        Document::from_bytes(name, bytes, &options)
    };
    for (pages, numbers) in [
        ("5", vec![5]),
        ("2-4", vec![2, 3, 4]),
        ("5-", vec![5, 6]),
        ("6,1-2", vec![1, 2, 6]),
    ] {
        let document = chosen("a.pdf", &whole, pages).unwrap();
        let found: Vec<usize> = (1..=6)
            .filter(|n| document.text.contains(&format!("number {n}.")))
            .collect();
        assert_eq!(found, numbers, "{pages}");
        assert_eq!(document.pages.unwrap().to_string(), pages);
    }
    for pages in ["7", "5-7", "7-", "1,9"] {
        let error = chosen("a.pdf", &whole, pages).unwrap_err().to_string();
        let told = format!("a.pdf: has no pages {pages}: its pages are 1 to 6");
        assert_eq!(error, told);
    }
    for (name, bytes) in [
        ("a.txt", b"words".to_vec()),
        ("a.epub", epub(&[])),
        ("a.html", b"<html>a".to_vec()),
    ] {
        let problem = chosen(name, &bytes, "1-2").unwrap_err().problem;
        assert!(
            matches!(problem, DocumentProblem::NoPages { .. }),
            "{problem}"
        );
    }
    assert!(read("a.pdf", &whole).unwrap().pages.is_none());
}
