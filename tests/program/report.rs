//! `inscribe report` as people call it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use inscribe::write::event::Event;
use inscribe::write::synthetic::{Invented, events, lines};

use crate::common::program;

struct Folder(tempfile::TempDir);

impl Folder {
    fn holding(events: &[Event]) -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a temporary folder"));
        fs::write(folder.path("events.jsonl"), lines(events)).expect("room");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn report(&self, args: &[&str]) -> Output {
        report(self.0.path(), args)
    }
}

fn report(run: &Path, args: &[&str]) -> Output {
    program(&["report"])
        .arg(run)
        .args(args)
        .output()
        .expect("the program starts")
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn fails(output: &Output, what: &str) {
    let error = words(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.starts_with("error: ") && error.contains(what),
        "{error}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn each_ending_gets_its_kind_of_file() {
    let folder = Folder::holding(&events(&Invented::default()));
    let begins: [(&str, &[u8]); 3] = [
        ("a.html", b"<!doctype html>"),
        ("a.SVG", b"<svg "),
        ("a.png", b"\x89PNG"),
    ];
    for (name, begin) in begins {
        let out = folder.path(name);
        let output = folder.report(&["-o", &out.display().to_string()]);
        assert!(output.status.success(), "{}", words(&output.stderr));
        let bytes = fs::read(&out).expect("the file");
        assert!(bytes.starts_with(begin), "{name}");
        // Drawn again, it is the same.
        let output = folder.report(&["-o", &out.display().to_string(), "--quiet", "--replace"]);
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(fs::read(&out).expect("the file") == bytes, "{name} differs");
    }
    let out = folder.path("b.png").display().to_string();
    let output = folder.report(&["-o", &out, "--theme", "dark", "--width", "640"]);
    assert!(output.status.success());
    let bytes = fs::read(&out).expect("the file");
    assert_eq!(bytes[16..20], 640u32.to_be_bytes());
}

#[test]
fn what_is_wrong_is_said_and_leaves_no_file() {
    let folder = Folder::holding(&events(&Invented::default()));
    let out = |name: &str| folder.path(name).display().to_string();
    fails(
        &folder.report(&["-o", &out("a.pdf")]),
        ".pdf files cannot be drawn",
    );
    fails(&folder.report(&["-o", &out("figure")]), "no ending");
    fails(
        &folder.report(&["-o", &out("a.png"), "--width", "5"]),
        "320 to 8192",
    );
    fails(
        &folder.report(&["-o", &out("none/a.png")]),
        "no such folder",
    );
    fails(&folder.report(&["--replay", "0"]), "above 0");
    let nowhere = folder.path("nowhere");
    fails(&report(&nowhere, &["-o", &out("a.png")]), "does not exist");
    let empty = tempfile::tempdir().expect("a temporary folder");
    fails(
        &report(empty.path(), &["-o", &out("a.png")]),
        "no run was recorded",
    );
    let begun = Folder::holding(&events(&Invented::default())[..2]);
    fails(&begun.report(&["-o", &out("a.png")]), "nothing to show yet");
    fails(&begun.report(&[]), "nothing to show yet");
    let damaged = Folder::holding(&[]);
    fs::write(
        damaged.path("events.jsonl"),
        "{\"event\":\"paused\"}\nnonsense\n\n",
    )
    .expect("room");
    fails(
        &damaged.report(&["-o", &out("a.png")]),
        "line 2 is not an event",
    );
    let left: Vec<_> = fs::read_dir(folder.0.path()).expect("a folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_run_cut_short_is_shown_as_far_as_it_went() {
    let invented = Invented {
        stop_after: Some(17),
        ..Invented::default()
    };
    let folder = Folder::holding(&events(&invented));
    let path = folder.path("events.jsonl");
    let text = fs::read_to_string(&path).expect("the file");
    fs::write(&path, &text[..text.len() - 9]).expect("room");
    let out = folder.path("a.svg");
    let output = folder.report(&["-o", &out.display().to_string()]);
    assert!(output.status.success());
    assert!(words(&output.stderr).contains("left out a line"));
    let figure = fs::read_to_string(&out).expect("the file");
    assert!(figure.contains("so far: step 16 of 48"), "{figure}");
}

#[test]
fn without_a_file_the_run_is_shown_in_plain_text() {
    let folder = Folder::holding(&events(&Invented::default()));
    let output = folder.report(&[]);
    let text = words(&output.stdout);
    assert!(output.status.success() && !text.contains('\x1b'), "{text}");
    for part in [
        "harbour-report.md",
        "Done",
        "48 of 48",
        "utility",
        "Summary",
        "0.57",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(text.lines().count() > 20);
}

#[test]
fn a_replay_in_a_pipe_is_plain_lines() {
    let folder = Folder::holding(&events(&Invented::default()));
    let output = folder.report(&["--replay", "100000"]);
    let text = words(&output.stderr);
    assert!(output.status.success() && !text.contains('\x1b'), "{text}");
    assert!(
        text.contains("step 48 of 48") && text.contains("done: 48 steps"),
        "{text}"
    );
}
