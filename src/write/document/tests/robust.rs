//! No bytes may end the program: damaged files give an error or what is left of them.

use proptest::prelude::*;

use super::*;

/// Bytes changed, taken out and put in at places.
type Damage = Vec<(prop::sample::Index, u8, u8)>;

fn damage() -> impl Strategy<Value = Damage> {
    prop::collection::vec(
        (any::<prop::sample::Index>(), any::<u8>(), any::<u8>()),
        1..12,
    )
}

fn damaged(bytes: &[u8], damage: &Damage) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (place, how, value) in damage {
        if bytes.is_empty() {
            break;
        }
        let at = place.index(bytes.len());
        match how % 4 {
            0 => bytes[at] = *value,
            1 => bytes[at] ^= 1 << (value % 8),
            2 => drop(bytes.drain(at..bytes.len().min(at + usize::from(*value)))),
            _ => bytes.insert(at, *value),
        }
    }
    bytes
}

fn survive(name: &str, bytes: &[u8]) {
    match read(name, bytes) {
        Ok(document) => check(&document),
        Err(problem) => assert!(!problem.to_string().contains('\n'), "{problem}"),
    }
}

#[test]
fn a_problem_is_told_in_one_line() {
    let problem = DocumentProblem::damaged(Format::Docx, "expected `</w:p>`, found `</w:p\nr>`");
    assert!(!problem.to_string().contains('\n'), "{problem}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text(text in "\\PC*|[ -~\n#*`|>\t-]{0,300}", name in "a.(txt|md|html)") {
        survive(&name, text.as_bytes());
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), name in "a.(txt|md|html)") {
        survive(&name, &bytes);
    }

    #[test]
    fn any_markup(parts in prop::collection::vec(
        "</?(p|h1|h9|li|ul|table|tr|td|pre|svg|script|title|br|b)( x='y'|/)?>|[a-z &;\n]{0,9}", 0..40,
    )) {
        survive("a.html", format!("<html>{}", parts.concat()).as_bytes());
    }

    #[test]
    fn damaged_word_documents(damage in damage()) {
        let whole = docx("<w:p><w:r><w:t>Some text</w:t></w:r></w:p><w:tbl><w:tr><w:tc/></w:tr></w:tbl>");
        survive("a.docx", &damaged(&whole, &damage));
    }

    #[test]
    fn damaged_word_xml(damage in damage()) {
        let body = "<w:p><w:pPr><w:pStyle w:val=\"A\"/></w:pPr><w:r><w:t>x</w:t><w:tab/></w:r></w:p>\
            <w:tbl><w:tr><w:tc><w:p/></w:tc></w:tr></w:tbl>";
        let body = String::from_utf8_lossy(&damaged(body.as_bytes(), &damage)).into_owned();
        survive("a.docx", &docx(&body));
    }

    #[test]
    fn damaged_books(damage in damage()) {
        survive("a.epub", &damaged(&epub(&[]), &damage));
        let package = String::from_utf8_lossy(&damaged(PACKAGE.as_bytes(), &damage)).into_owned();
        let book = zipped(&[("META-INF/container.xml", CONTAINER), ("OEBPS/content.opf", &package)]);
        survive("a.epub", &book);
    }

    #[test]
    fn damaged_pdfs(damage in damage()) {
        let page = "BT /F1 11 Tf 72 700 Td [(Pla) 20 (ced) -300 (words)] TJ ET";
        survive("a.pdf", &damaged(&pdf(&[page, page]), &damage));
    }
}

/// Runs on a thread whose stack is an eighth of what threads of a window have.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    thread.spawn(run).unwrap().join().unwrap();
}

#[test]
fn any_number_of_attributes_fits_any_stack() {
    let attributes = |one: &dyn Fn(usize) -> String| (0..100_000).map(one).collect::<String>();
    let tags = [
        attributes(&|_| "a=\"x\" ".to_owned()),
        attributes(&|n| format!("a{n}=\"x\" ")),
        attributes(&|n| format!("a{n}=\"x\"")),
        attributes(&|n| format!("a{n} = 'x'\n")),
        attributes(&|n| format!("a{n}=x&amp;=y ")),
        attributes(&|_| "=\"\" ==\"\" ".to_owned()),
        attributes(&|_| "/ ".to_owned()),
    ];
    on_a_small_stack(move || {
        for tag in &tags {
            let page = format!("<html><body><p {tag}>hello there</p {tag}></body></html>");
            assert_eq!(
                blocks(&read("a.html", page.as_bytes()).unwrap()),
                ["P hello there"]
            );
            let package = PACKAGE.replace("../one.xhtml", "../more.xhtml");
            let book = zipped(&[
                ("META-INF/container.xml", CONTAINER),
                ("OEBPS/content.opf", &package),
                ("more.xhtml", &page),
            ]);
            assert_eq!(blocks(&read("a.epub", &book).unwrap()), ["P hello there"]);
        }
        let deep = "<div>".repeat(200_000) + "words";
        assert_eq!(
            blocks(&read("a.html", format!("<html>{deep}").as_bytes()).unwrap()),
            ["P words"]
        );
    });
}

#[test]
fn attributes_that_matter_are_read_beside_others() {
    let page = "<html><ol a=\"1\" START=\"4\" start=\"9\" b><li>four</ol><ol start = '7'><li>seven</ol>\
                <ol start=x><li>one</ol><html:ol html:start=3><html:li>three</html:ol>";
    let document = read("a.html", page.as_bytes()).unwrap();
    assert_eq!(
        blocks(&document),
        ["L 4. four", "L 7. seven", "L 1. one", "L 3. three"]
    );
}
