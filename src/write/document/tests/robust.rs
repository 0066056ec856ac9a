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
