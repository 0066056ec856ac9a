//! Opening documents, good ones and garbage.

use inscribe_app::action::Screen;

use crate::desk::Desk;

#[test]
fn a_document_is_opened_in_every_way() {
    let mut desk = Desk::new();
    desk.shot("welcome");
    assert!(desk.sees("Drop a document here"));
    desk.click("Try the sample");
    desk.wait("the sample", |state| state.document.is_some());
    assert_eq!(desk.state().screen, Screen::Write);
    desk.shot("sample");
    desk.click("Home");
    let path = desk.place("picked.txt");
    std::fs::write(&path, "Some words to read.").expect("room");
    desk.will_pick(&path);
    desk.click("Open a document");
    desk.wait("the picked one", |state| {
        state
            .document
            .as_ref()
            .is_some_and(|d| d.document.name == "picked.txt")
    });
    desk.click("Home");
    desk.click("Paste text");
    desk.write_in("Text", "Pasted words.");
    desk.click("Open this text");
    desk.wait("the pasted text", |state| {
        state
            .document
            .as_ref()
            .is_some_and(|d| d.document.text == "Pasted words.")
    });
    let recent = &desk.state().prefs.recent;
    assert_eq!(recent[0].name(), "picked.txt");
}

#[test]
fn garbage_is_refused_in_place_and_harms_nothing() {
    let mut desk = Desk::new();
    let binary: Vec<u8> = (0..4096u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let cases: [(&str, &[u8]); 6] = [
        ("binary.txt", &binary),
        ("empty.md", b""),
        ("spaces.txt", b" \n\n "),
        ("broken.pdf", b"%PDF-1.7\nnothing of what a PDF needs"),
        ("broken.docx", b"PK\x03\x04 and no archive"),
        ("broken.epub", b"PK\x05\x06"),
    ];
    for (name, bytes) in cases {
        desk.open(name, bytes);
        let state = desk.state();
        assert!(state.document.is_none(), "{name} was opened");
        let trouble = state.troubles.last().expect("a message");
        assert!(trouble.detail.contains(name), "{name}: {}", trouble.detail);
        assert!(desk.sees(&trouble.title.clone()), "{name}");
        desk.shot("garbage");
        desk.click("Dismiss");
        assert!(desk.state().troubles.is_empty());
    }
    // Another encoding is read as what it most likely is, or refused; never a crash.
    desk.open(
        "latin.txt",
        b"Caf\xe9 cr\xe8me br\xfbl\xe9e, d\xe9j\xe0 vu.",
    );
    let folder = desk.place("a folder");
    std::fs::create_dir(&folder).expect("room");
    desk.drop_file(&folder);
    desk.wait("the folder", |state| !state.opening);
    assert!(!desk.state().troubles.is_empty());
}

/// Sparse, so that it takes no room: larger than anything that is read.
#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let mut desk = Desk::new();
    let path = desk.place("huge.txt");
    let file = std::fs::File::create(&path).expect("room");
    file.set_len(300 << 20).expect("sparse files");
    drop(file);
    desk.drop_file(&path);
    desk.wait("the refusal", |state| !state.troubles.is_empty());
    assert!(desk.state().troubles[0].detail.contains("larger than"));
}
