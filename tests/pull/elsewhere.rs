//! The program among the models of others: listed, opened by their names, never written to.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::command::{Bench, COMMIT, Ran, listed};

fn tiny() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read(root.join("tests/golden/tiny/llama.gguf")).unwrap()
}

fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A home with a model of every program in it, and a damaged one of LM Studio's.
fn home() -> Bench {
    let bench = Bench::unreachable();
    let home = bench.folder.path();
    let hash = "a".repeat(64);
    let manifest = format!(
        "{{\"layers\":[{{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:{hash}\"}}]}}"
    );
    let library = home.join("ollama/manifests/registry.ollama.ai/library");
    put(&library.join("tiny/1b"), manifest);
    put(&home.join(format!("ollama/blobs/sha256-{hash}")), tiny());
    put(&home.join(".lmstudio/models/pub/repo/tiny.gguf"), tiny());
    put(
        &home.join(".lmstudio/models/pub/repo/half.gguf"),
        &tiny()[..500],
    );
    put(&home.join(".cache/llama.cpp/tiny.gguf"), tiny());
    let repo = home.join(".cache/huggingface/hub/models--org--tiny-GGUF");
    put(&repo.join("refs/main"), COMMIT);
    put(
        &repo.join("snapshots").join(COMMIT).join("tiny-F32.gguf"),
        tiny(),
    );
    bench
}

/// Every file of the other programs with its time.
fn theirs(bench: &Bench) -> Vec<(PathBuf, SystemTime)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, SystemTime)>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let meta = entry.metadata().unwrap();
            found.push((entry.path(), meta.modified().unwrap()));
            if meta.is_dir() {
                walk(&entry.path(), found);
            }
        }
    }
    let mut found = Vec::new();
    for name in [
        "ollama",
        ".lmstudio",
        ".cache/llama.cpp",
        ".cache/huggingface",
    ] {
        walk(&bench.folder.path().join(name), &mut found);
    }
    found.sort();
    found
}

const NAMES: [(&str, &str); 4] = [
    ("ollama:tiny:1b", "Ollama"),
    ("lmstudio:pub/repo/tiny.gguf", "LM Studio"),
    ("llama.cpp:tiny.gguf", "llama.cpp"),
    ("org/tiny-GGUF:tiny-F32.gguf", "Hugging Face"),
];

fn generates(bench: &Bench, name: &str) -> Ran {
    let verb = [
        "generate",
        "--device",
        "cpu",
        "--prompt",
        "a",
        "--max-tokens",
        "2",
    ];
    bench.run(&[&verb[..], &["--model", name]].concat())
}

#[test]
fn models_of_other_programs_are_listed_and_opened_by_name() {
    let bench = home();
    let before = theirs(&bench);
    let models = listed(&bench.run(&["models", "--json"]));
    let of = |name: &str| models.iter().find(|m| m["name"] == name).unwrap();
    for (name, program) in NAMES {
        let row = of(name);
        assert_eq!(row["program"], program);
        assert_eq!(row["can_open"], true, "{row}");
        assert_eq!(row["architecture"], "llama");
        assert_eq!(row["bytes"], tiny().len());
        let ran = generates(&bench, name);
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.err);
    }
    let half = of("lmstudio:pub/repo/half.gguf");
    assert_eq!(half["can_open"], false);
    assert!(half["why_not"].as_str().unwrap().contains("cut short"));
    let table = bench.run(&["models"]).out;
    for (name, program) in NAMES {
        assert!(table.contains(name) && table.contains(program), "{table}");
    }
    assert!(table.contains("cannot be opened"), "{table}");
    assert_eq!(theirs(&bench), before, "nothing of theirs was touched");
    assert!(bench.files("hub").is_empty(), "and nothing was copied");
}

#[test]
fn a_known_model_in_the_hubs_own_cache_is_here() {
    let bench = Bench::unreachable();
    let hub = bench.folder.path().join(".cache/huggingface/hub");
    let repo = hub.join("models--Qwen--Qwen3-0.6B-GGUF");
    put(&repo.join("refs/main"), COMMIT);
    let file = repo
        .join("snapshots")
        .join(COMMIT)
        .join("Qwen3-0.6B-Q8_0.gguf");
    put(&file, tiny());
    assert_eq!(bench.run(&["pull", "qwen3-0.6b"]).path(), file);
    let models = listed(&bench.run(&["models", "--json"]));
    let row = models.iter().find(|m| m["name"] == "qwen3-0.6b").unwrap();
    assert_eq!(row["path"], file.to_str().unwrap());
}

#[test]
fn names_that_are_not_there_say_whose_they_would_be() {
    let bench = home();
    let fails = |name: &str, why: &str| {
        let ran = generates(&bench, name);
        let hint = ran.failed_with(why);
        assert!(hint.contains("inscribe models"), "{name}: {hint}");
    };
    fails("ollama:none", "Ollama has no such model here");
    fails("lmstudio:pub/none.gguf", "LM Studio has no such model here");
    fails("lmstudio:../../../etc/passwd", "no path in LM Studio");
    let removed = bench.run(&["models", "remove", "ollama:tiny:1b"]);
    removed.failed_with("is Ollama’s and only read here");
    bench
        .run(&["models", "remove", "nothere"])
        .failed_with("no model 'nothere' is in the cache");
    assert!(
        !bench
            .run(&["models", "remove", "smolm2"])
            .err
            .contains("did you mean")
    );
}

#[test]
fn a_memory_finds_its_model_among_other_programs() {
    let bench = home();
    let text = bench.folder.path().join("notes.md");
    let memory = bench.folder.path().join("notes.memory");
    fs::write(
        &text,
        "Anna has a red kite. It flies over the sea every day.\n".repeat(4),
    )
    .unwrap();
    let (text, memory) = (text.to_str().unwrap(), memory.to_str().unwrap());
    let write = [
        "write", text, "--out", memory, "--budget", "2", "--device", "cpu",
    ];
    let ran = bench.run(&[&write[..], &["--model", "ollama:tiny:1b"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let ask = [
        "ask",
        "--memory",
        memory,
        "Who?",
        "--max-tokens",
        "2",
        "--device",
        "cpu",
    ];
    let ran = bench.run(&ask);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    // The same weights under another name serve as well.
    fs::remove_dir_all(bench.folder.path().join("ollama")).unwrap();
    let ran = bench.run(&ask);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}
