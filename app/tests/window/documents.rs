//! Opening documents, good ones and garbage.

use inscribe_app::vocabulary::Screen;
use std::sync::Arc;

use eframe::egui::FontId;
use egui_kittest::kittest::Queryable;
use egui_system_font_provider::SystemFontProvider;

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
    desk.wait("the folder", |state| state.opening == 0);
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

const JAPANESE: &str =
    "# 水車小屋\n\n水車小屋は冬に焼け落ちた。なぜかは誰も知らなかった。粉屋は戻らなかった。\n";

/// The program itself takes its fonts in the same way; `tests/run` sees to it that there is one.
#[test]
fn text_in_other_scripts_is_drawn_with_the_fonts_of_this_computer() {
    let mut desk = Desk::new();
    let system = Arc::new(SystemFontProvider::new());
    desk.window.ctx.add_font_provider(system);
    desk.open("水車.md", JAPANESE.repeat(30).as_bytes());
    desk.window.run_ok();
    let body = FontId::proportional(15.0);
    let drawn = desk
        .window
        .ctx
        .fonts_mut(|fonts| fonts.has_glyphs(&body, "水車小屋は"));
    assert!(drawn, "no font for Japanese is installed");
    assert!(!desk.sees("boxes stand in their place"));
    desk.shot("japanese");
}

#[test]
fn text_that_no_font_draws_is_told_of() {
    // Nothing is asked of this computer here.
    let mut desk = Desk::new();
    desk.open("水車.md", JAPANESE.repeat(30).as_bytes());
    desk.window.run_ok();
    assert!(desk.sees("No font on this computer draws Chinese, Japanese or Korean text"));
    let rows = desk
        .window
        .query_all_by_label_contains("水車小屋は冬に")
        .count();
    assert!(rows > 1, "rows are wrapped by the width of boxes");
    desk.open("plain.md", b"Words that every font has.");
    desk.window.run_ok();
    assert!(!desk.sees("No font on this computer"));
}

#[test]
fn a_file_over_the_window_is_waited_for() {
    let mut desk = Desk::new();
    desk.hover_file();
    assert!(desk.sees("Let go to open it"));
    desk.let_go();
    desk.open_text(60);
    assert!(!desk.sees("Let go to open it"));
    desk.hover_file();
    assert!(desk.sees("Let go to open it"));
}
