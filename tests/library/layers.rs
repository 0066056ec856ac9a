//! The floors of the house: each uses only those below it.

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. `words`, `advice` and `quiet` stand beside all of them and use none.
const FLOORS: [&str; 8] = [
    "engine",
    "kernels",
    "model",
    "memory",
    "train",
    "write",
    "inscriber",
    "cli",
];

/// Every Rust file below a folder with its text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).expect("a folder of sources");
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            found.push((path, text));
        }
    }
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The first name of every path that begins with `start`, braces opened.
fn used<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    let name = |rest: &'a str| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    };
    let mut found = Vec::new();
    for (at, _) in text.match_indices(start) {
        let rest = &text[at + start.len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                let end = group.find('}').unwrap_or(group.len());
                found.extend(group[..end].split(',').map(|part| name(part.trim())));
            }
            None => found.push(name(rest)),
        }
    }
    found
}

#[test]
fn no_floor_uses_one_above_it() {
    let mut wrong = Vec::new();
    for (rank, floor) in FLOORS.iter().enumerate() {
        let mut files = sources(&root().join("src").join(floor));
        let single = root().join("src").join(format!("{floor}.rs"));
        if let Ok(text) = fs::read_to_string(&single) {
            files.push((single, text));
        }
        assert!(!files.is_empty(), "no sources of {floor}");
        // What tests take from above is their own affair.
        let is_test = |path: &Path| {
            let path = path.strip_prefix(root()).expect("below the root");
            path.to_string_lossy().contains("tests")
        };
        for (path, text) in files.iter().filter(|(path, _)| !is_test(path)) {
            // The command line is a program of its own: it calls the library by its name.
            let calls = [used(text, "crate::"), used(text, "inscribe::")].concat();
            for name in calls {
                let above = FLOORS.iter().position(|f| *f == name);
                if above.is_some_and(|above| above > rank) {
                    wrong.push(format!("{} uses {name}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_found() {
    let text = "use crate::model::{a, b};\nuse crate::{engine, write::x};\ncrate::kernels::f()";
    assert_eq!(
        used(text, "crate::"),
        ["model", "engine", "write", "kernels"]
    );
}

/// What a method is, is asked of the method: nothing but its own module, the default and tests
/// names one.
#[test]
fn no_method_is_named_outside_its_module() {
    let mut named = Vec::new();
    for folder in ["src", "app/src"] {
        for (path, text) in sources(&root().join(folder)) {
            let path = path
                .strip_prefix(root())
                .expect("below the root")
                .to_owned();
            if path.starts_with("src/write/method") || path.to_string_lossy().contains("tests") {
                continue;
            }
            let own = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            let lines = own.lines().filter(|line| {
                [
                    "Method::GDWM",
                    "Method::LORA",
                    "Method::GRADMEM",
                    "match method",
                ]
                .iter()
                .any(|name| line.contains(name))
            });
            named.extend(lines.map(|line| format!("{}: {}", path.display(), line.trim())));
        }
    }
    assert!(named.is_empty(), "{}", named.join("\n"));
}
