//! Texts that strangers wrote, and files that somebody changed.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{DOCUMENT, Desk, command, fails, inscribe, succeeds, tiny};

/// Characters that are orders to a terminal, new lines and tabs aside.
fn orders(text: &str) -> Vec<char> {
    let kept = |c: char| matches!(c, '\n' | '\r' | '\t');
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let order = |c: &char| (c.is_control() && !kept(*c)) || turns(*c);
    text.chars().filter(order).collect()
}

/// What the program prints on a terminal, errors included (by util-linux's `script`).
#[cfg(target_os = "linux")]
fn on_a_terminal(args: &[&str]) -> String {
    let quoted = |arg: &&str| format!("'{}'", arg.replace('\'', "'\\''"));
    let program = env!("CARGO_BIN_EXE_inscribe");
    let common = [program, "--device", "cpu", "--threads", "2", "--quiet"];
    let line: Vec<String> = common.iter().chain(args).map(quoted).collect();
    let shown = Command::new("script")
        .args(["-qec", &line.join(" "), "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .expect("script, of util-linux");
    String::from_utf8_lossy(&shown.stdout).into_owned()
}

/// A desk with a memory of a little text on it: the desk, the model and the memory.
fn with_memory() -> (Desk, String, String) {
    let desk = Desk::new(&DOCUMENT[..150]);
    let (model, out) = (tiny("llama.gguf"), desk.place("memory"));
    succeeds(&desk.write(&out, &model, &["--budget", "2"]));
    (desk, model, out)
}

/// A call of `ask` for a short answer.
fn ask_of<'a>(out: &'a str, model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let ask = ["ask", "--memory", out, "--model", model, "--max-tokens"];
    [&ask[..], &["2"], more].concat()
}

/// Changes what a memory says of itself, which then looks as one of earlier versions: without a seal.
fn change_memory(out: &str, change: impl FnOnce(&mut Value)) {
    let path = format!("{out}/memory.json");
    let text = std::fs::read_to_string(&path).expect("a file");
    let mut value: Value = serde_json::from_str(&text).expect("JSON");
    value.as_object_mut().expect("an object").remove("seal");
    change(&mut value);
    std::fs::write(path, value.to_string()).expect("room");
}

#[cfg(target_os = "linux")]
#[test]
fn terminals_get_no_orders_from_answers_and_errors() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let (model, out) = (tiny("llama.gguf"), desk.place("memory"));
    let hot = [
        "--temperature",
        "1e30",
        "--max-tokens",
        "200",
        "--seed",
        "3",
    ];
    let generate = [
        &["generate", "--model", &model, "--raw", "--prompt", "One"][..],
        &hot,
    ]
    .concat();
    let piped = succeeds(&generate);
    assert!(!orders(&piped).is_empty(), "{piped:?}");
    let shown = on_a_terminal(&generate);
    assert!(shown.len() > 100 && orders(&shown).is_empty(), "{shown:?}");
    succeeds(&desk.write(&out, &model, &["--budget", "2"]));
    for compare in [&[][..], &["--compare"]] {
        let ask = ["ask", "--memory", &out, "--model", &model, "Why?"];
        let ask = [&ask[..], &hot, compare].concat();
        assert!(!orders(&succeeds(&ask)).is_empty());
        let shown = on_a_terminal(&ask);
        assert!(shown.len() > 100 && orders(&shown).is_empty(), "{shown:?}");
    }
    // Questions of a file, and the names of files.
    let questions = desk.place("questions.jsonl");
    let hostile = "{\"question\":\"hi\\u001b]0;q\\u0007\\u202e\",\"answer\":\"no\\u001b[31m\"}\n";
    std::fs::write(&questions, hostile).expect("room");
    let ask = ask_of(&out, &model, &["--questions", &questions]);
    let shown = on_a_terminal(&ask);
    assert!(shown.contains("expected: no"), "{shown:?}");
    assert!(orders(&shown).is_empty(), "{shown:?}");
    let named = desk.place("ev\u{1b}]0;hi.md");
    std::fs::write(&named, DOCUMENT).expect("room");
    let dry = [
        "write",
        &named,
        "--dry-run",
        "--model",
        &model,
        "--chunk",
        "64",
    ];
    let shown = on_a_terminal(&dry);
    assert!(shown.contains("hi.md"), "{shown:?}");
    assert!(orders(&shown).is_empty(), "{shown:?}");
    // Names of models and documents, arguments, and what a template says.
    change_memory(&out, |memory| {
        memory["model"]["name"] = "evil\u{1b}[31m\u{202e}".into();
        memory["model"]["fingerprint"] = "0".repeat(64).into();
    });
    for args in [
        &["ask", "--memory", &out, "--model", &model, "Why?"][..],
        &["generate", "--model", "a\u{1b}[31mb\u{9b}", "--prompt", "x"],
        &["report", "no\u{202e}where\u{7}"],
    ] {
        let shown = on_a_terminal(args);
        assert!(
            shown.contains("error: ") && orders(&shown).is_empty(),
            "{shown:?}"
        );
        let told = inscribe(args).stderr;
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(orders(&told).is_empty(), "{told:?}");
    }
}

#[test]
fn files_that_were_changed_are_refused_or_told() {
    let desk = Desk::new(&DOCUMENT[..600]);
    let (model, out) = (tiny("llama.gguf"), desk.place("memory"));
    succeeds(&desk.write(&out, &model, &["--budget", "2", "--quiet"]));
    let ask = ask_of(&out, &model, &["Why?"]);
    let told = || String::from_utf8_lossy(&inscribe(&ask).stderr).into_owned();
    assert!(!told().contains("note: "), "{}", told());
    let description: Value =
        serde_json::from_slice(&std::fs::read(format!("{out}/memory.json")).unwrap()).unwrap();
    let listed: Vec<&str> = description["files"]
        .as_array()
        .expect("files")
        .iter()
        .filter_map(|file| file["name"].as_str())
        .collect();
    assert_eq!(listed, ["tokens.bin", "events.jsonl"]);
    let flip = |name: &str| {
        let path = Path::new(&out).join(name);
        let whole = std::fs::read(&path).expect("a file");
        let mut bytes = whole.clone();
        // Within a text, a letter; within numbers, the lowest bit of one.
        bytes[whole.len() / 8 * 4] ^= 1;
        std::fs::write(&path, bytes).expect("room");
        whole
    };
    for (name, refused) in [
        ("tokens.bin", true),
        ("segments/0000/adapter_model.safetensors", true),
        ("document.txt", false),
        ("events.jsonl", false),
    ] {
        let whole = flip(name);
        let short = name.rsplit('/').next().unwrap();
        if refused {
            let error = fails(&ask);
            assert!(
                error.contains(short) && error.contains("changed"),
                "{error}"
            );
        } else {
            let told = told();
            assert!(told.contains("note: ") && told.contains(short), "{told}");
        }
        std::fs::write(Path::new(&out).join(name), whole).expect("room");
    }
    // Memories of before say nothing of their files, and open.
    flip("document.txt");
    change_memory(&out, |memory| {
        memory.as_object_mut().expect("an object").remove("files");
        for segment in memory["segments"].as_array_mut().expect("segments") {
            segment.as_object_mut().expect("a segment").remove("parts");
        }
    });
    succeeds(&ask);
}

#[test]
fn a_changed_description_is_refused_and_told() {
    let (_desk, model, out) = with_memory();
    let told = succeeds(&["info", &out]);
    assert!(told.contains("its own hash holds"), "{told}");
    let path = format!("{out}/memory.json");
    let whole = std::fs::read_to_string(&path).expect("a description");
    let at = whole.find("\"alpha\": ").expect("its alpha") + "\"alpha\": ".len();
    let digit = if &whole[at..=at] == "9" { "8" } else { "9" };
    let changed = [&whole[..at], digit, &whole[at + 1..]].concat();
    std::fs::write(&path, changed).expect("room");
    let ask = ask_of(&out, &model, &["Why?"]);
    let error = fails(&ask);
    assert!(
        error.contains("memory.json") && error.contains("changed since it was written"),
        "{error}"
    );
    let info = inscribe(&["info", &out]);
    assert_eq!(info.status.code(), Some(1));
    let told = String::from_utf8_lossy(&info.stdout).into_owned();
    assert!(told.contains("CHANGED"), "{told}");
    let info = inscribe(&["info", &out, "--json"]);
    let json: Value = serde_json::from_slice(&info.stdout).expect("JSON");
    assert_eq!(json["whole"], false);
    assert_eq!(json["files"][0]["state"], "changed");
    // One of before has no seal.
    change_memory(&out, |_| {});
    succeeds(&ask);
    let told = succeeds(&["info", &out]);
    assert!(
        told.contains("no hash recorded (written by an older version)"),
        "{told}"
    );
}

#[test]
fn a_line_that_is_no_text_does_not_keep_the_next_questions_from_being_asked() {
    let (_desk, model, out) = with_memory();
    let mut asking = command(&ask_of(&out, &model, &[]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = asking.stdin.take().expect("its input");
    input
        .write_all(b"a\0b\n\xff\xfe\n\nnext?\r\nlast")
        .expect("questions");
    drop(input);
    let output = asking.wait_with_output().expect("an end");
    assert!(output.status.success());
    let history = std::fs::read_to_string(format!("{out}/history.jsonl")).expect("a history");
    let questions = history.lines().map(|line| {
        let asked: Value = serde_json::from_str(line).expect("JSON");
        asked["question"].as_str().unwrap_or_default().to_owned()
    });
    let questions: Vec<String> = questions.collect();
    assert_eq!(questions, ["a\0b", "\u{fffd}\u{fffd}", "next?", "last"]);
}

#[test]
fn memories_are_told_from_places_for_files_and_from_adapters() {
    let (desk, model, out) = with_memory();
    for inside in ["x.html", "segments/0000/x.svg", "memory.png"] {
        let error = fails(&["report", &out, "-o", &format!("{out}/{inside}")]);
        assert!(error.contains("lies in a memory"), "{error}");
    }
    let events = format!("{out}/events.jsonl");
    let error = fails(&["report", &events, "-o", &format!("{out}/x.html")]);
    assert!(error.contains("lies in a memory"), "{error}");
    let adapter = [
        "generate",
        "--model",
        &model,
        "--raw",
        "--prompt",
        "x",
        "--adapter",
        &out,
    ];
    let error = fails(&adapter);
    assert!(
        error.contains("is a memory") && error.contains("inscribe ask"),
        "{error}"
    );
    let inside = format!("{out}/segments");
    let mut adapter = adapter;
    adapter[7] = &inside;
    let error = fails(&adapter);
    assert!(
        error.contains("segments/0000") && error.contains("inscribe ask"),
        "{error}"
    );
    // Nothing was left in it that would be in the way of the next one.
    succeeds(&desk.write(&out, &model, &["--budget", "2", "--replace"]));
}

#[cfg(unix)]
#[test]
fn links_to_nothing_are_named_with_where_they_lead() {
    let (desk, model, out) = with_memory();
    let link = desk.place("link.svg");
    std::os::unix::fs::symlink("gone/there", &link).expect("a link");
    let report = ["report", &out, "-o", &link];
    let write = desk.write(&link, &model, &["--budget", "2"]);
    let other = desk.place("other");
    let events = desk.write(&other, &model, &["--budget", "2", "--events", &link]);
    let export = [
        "export", &out, "--model", &model, "--to", "gguf", "--out", &link,
    ];
    for call in [&report[..], &write, &events, &export] {
        let error = fails(call);
        assert!(
            error.contains("link.svg: is a symbolic link to 'gone/there'"),
            "{error}"
        );
        assert!(std::fs::symlink_metadata(&link).is_ok_and(|meta| meta.is_symlink()));
    }
}

#[test]
fn values_of_the_environment_are_not_shown() {
    for call in [&["write", "--help"][..], &["devices", "--help"], &["write"]] {
        let mut program = command(call);
        let told = program
            .env("INSCRIBE_MODEL", "secret-model")
            .env("INSCRIBE_DEVICE", "secret-device")
            .output()
            .expect("the program starts");
        let told = [told.stdout, told.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(!told.contains("secret-"), "{told}");
    }
}

#[test]
fn what_is_not_there_is_not_removed_under_another_name() {
    let cache = tempfile::tempdir().expect("a folder");
    for name in ["nothere", "../../.."] {
        let removed = command(&["models", "remove", name])
            .env("INSCRIBE_CACHE", cache.path())
            .output()
            .expect("the program starts");
        let error = String::from_utf8_lossy(&removed.stderr).into_owned();
        assert_eq!(removed.status.code(), Some(1), "{error}");
        assert!(
            error.contains("inscribe models") && !error.contains("did you mean"),
            "{error}"
        );
    }
}

/// A PDF with a line of text on each page.
fn pdf(lines: &[&str]) -> Vec<u8> {
    let kids: Vec<String> = (0..lines.len())
        .map(|page| format!("{} 0 R", 4 + 2 * page))
        .collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!(
            "<< /Type /Pages /Kids [{}] /Count {} >>",
            kids.join(" "),
            lines.len()
        ),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_owned(),
    ];
    for line in lines {
        let contents = objects.len() + 2;
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {contents} 0 R /Resources \
             << /Font << /F1 3 0 R >> >> >>"
        ));
        let shown = format!("BT /F1 11 Tf 72 700 Td ({line}) Tj ET");
        objects.push(format!(
            "<< /Length {} >>\nstream\n{shown}\nendstream",
            shown.len()
        ));
    }
    let (mut out, mut table) = ("%PDF-1.4\n".to_owned(), String::new());
    for (index, object) in objects.iter().enumerate() {
        table.push_str(&format!("{:010} 00000 n \n", out.len()));
        out.push_str(&format!("{} 0 obj\n{object}\nendobj\n", index + 1));
    }
    let (start, size) = (out.len(), objects.len() + 1);
    out.push_str(&format!(
        "xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n\
         startxref\n{start}\n%%EOF\n"
    ));
    out.into_bytes()
}

#[test]
fn chosen_pages_are_written_and_remembered() {
    let desk = Desk::new(&DOCUMENT[..150]);
    let (model, out) = (tiny("llama.gguf"), desk.place("memory"));
    let error = fails(&desk.write(&out, &model, &["--budget", "2", "--pages", "1-2"]));
    assert!(
        error.contains("has no pages 1-2") && error.contains("of a PDF only"),
        "{error}"
    );
    let paper = desk.place("paper.pdf");
    let lines = [
        "The mill burnt down.",
        "Nobody knew why.",
        "The river rose.",
        "It rained.",
    ];
    std::fs::write(&paper, pdf(&lines)).expect("room");
    let write = |pages: &'static str| {
        let call = [
            "write", &paper, "--out", &out, "--model", &model, "--budget", "2", "--chunk", "8",
        ];
        [
            &call[..],
            &[
                "--window",
                "4",
                "--batch",
                "1",
                "--span",
                "4",
                "--replace",
                "--pages",
                pages,
            ],
        ]
        .concat()
    };
    let error = fails(&write("3-9"));
    assert!(error.contains("its pages are 1 to 4"), "{error}");
    succeeds(&write("2-3"));
    let text = std::fs::read_to_string(format!("{out}/document.txt")).expect("a document");
    assert!(text.contains(lines[1]) && text.contains(lines[2]), "{text}");
    assert!(
        !text.contains(lines[0]) && !text.contains(lines[3]),
        "{text}"
    );
    let description = std::fs::read(format!("{out}/memory.json")).expect("a description");
    let description: Value = serde_json::from_slice(&description).expect("JSON");
    assert_eq!(description["document"]["pages"], "2-3");
    let ask = ask_of(&out, &model, &["Why?", "--compare"]);
    assert!(succeeds(&ask).contains("full document"));
    let call = inscribe(&write("0"));
    assert_eq!(call.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&call.stderr).contains("3-20"));
}
