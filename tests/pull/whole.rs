//! Pulls that go well, and what the cache says afterwards.

use std::fs;

use super::command::{Bench, COMMIT, content, description, hub_with, listed};
use super::server::{Answer, Server};

#[test]
fn a_gguf_comes_by_its_hub_id_and_is_found_without_the_hub() {
    let whole = content(300_000);
    // As the real hub does: a redirect to another address, which then sends the bytes.
    let store = Server::start({
        let whole = whole.clone();
        move |request, _| Answer::file(request, &whole, "\"one\"")
    });
    let elsewhere = format!("http://localhost:{}/blob", store.port);
    let hub = hub_with(whole.clone(), move |_, _, _| Answer::redirect(&elsewhere));
    let bench = Bench::new(hub.address()).set("HF_TOKEN", "secret");
    let ran = bench.run(&["pull", "org/name"]);
    assert_eq!(fs::read(ran.path()).unwrap(), whole);
    assert!(ran.path().starts_with(bench.cache()));
    assert!(
        !ran.err.contains(['\r', '\u{1b}']),
        "no bar in a pipe: {:?}",
        ran.err
    );
    assert!(
        bench.files("partial").is_empty(),
        "{:?}",
        bench.files("partial")
    );

    // The token is for the hub, not for where it sends us.
    assert_eq!(
        hub.requests("/resolve/")[0].headers["authorization"],
        "Bearer secret"
    );
    assert!(
        !store.requests("/blob")[0]
            .headers
            .contains_key("authorization")
    );

    let offline = Bench {
        endpoint: Bench::unreachable().endpoint,
        ..bench
    };
    for name in ["org/name", "org/name:q4_0", "org/name:x.Q4_0.gguf"] {
        assert_eq!(offline.run(&["pull", name]).path(), ran.path());
    }
    let quiet = offline.run(&["pull", "--quiet", "org/name"]);
    assert_eq!(quiet.err, "");
}

#[test]
fn a_folder_comes_whole_and_can_be_removed() {
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("config.json", b"{}".to_vec()),
        ("tokenizer.json", b"{\"a\":1}".to_vec()),
        ("model.safetensors.index.json", b"{}".to_vec()),
        ("model-00001-of-00002.safetensors", content(70_000)),
        ("model-00002-of-00002.safetensors", content(50_000)),
        ("pytorch_model.bin", content(10)),
        ("README.md", b"no".to_vec()),
    ];
    let hub = Server::start({
        let files = files.clone();
        move |request, before| {
            if request
                .path
                .starts_with("/api/models/org/name/revision/v1.0")
            {
                let listed: Vec<_> = files.iter().map(|(n, c)| (*n, c.as_slice())).collect();
                return Answer::ok(description(&listed));
            }
            let name = request
                .path
                .strip_prefix(&format!("/org/name/resolve/{COMMIT}/"));
            let file = files.iter().find(|(n, _)| Some(*n) == name);
            match file {
                Some((_, body)) if before == 0 && body.len() == 50_000 => {
                    Answer::file(request, body, "\"t\"").cut_at(20_000)
                }
                Some((_, body)) => Answer::file(request, body, "\"t\""),
                None => Answer::status(404),
            }
        }
    });
    let bench = Bench::new(hub.address());
    let folder = bench.run(&["pull", "org/name@v1.0"]).path();
    let mut names: Vec<_> = files[..5]
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    names.sort();
    assert_eq!(bench.files("hub"), names);
    for (name, body) in &files[..5] {
        assert_eq!(&fs::read(folder.join(name)).unwrap(), body, "{name}");
    }
    assert_eq!(hub.requests("00002-of")[1].headers["range"], "bytes=20000-");

    let models = listed(&bench.run(&["models", "--json"]));
    let ours = models
        .iter()
        .find(|m| m["name"] == "org/name@v1.0")
        .unwrap();
    assert_eq!(ours["path"], folder.to_str().unwrap());
    let default = models.iter().find(|m| m["default"] == true).unwrap();
    assert_eq!(default["name"], "smollm2-135m-instruct");
    assert!(default["path"].is_null());
    assert!(bench.run(&["models"]).out.contains("org/name@v1.0"));

    assert_eq!(
        bench.run(&["models", "remove", "org/name@v1.0"]).code,
        Some(0)
    );
    assert!(!folder.exists());
    assert!(bench.files("hub").is_empty());
    bench
        .run(&["models", "remove", "org/name@v1.0"])
        .failed_with("org/name@v1.0");
}

#[test]
fn two_pulls_at_once_fetch_once() {
    let hub = hub_with(content(40_000), |request, _, whole| {
        Answer::file(request, whole, "\"t\"").pace(2_000, std::time::Duration::from_millis(40))
    });
    let bench = Bench::new(hub.address());
    let first = bench.start(&["pull", "org/name"]);
    let second = bench.start(&["pull", "org/name"]);
    for child in [first, second] {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    assert_eq!(hub.requests("/resolve/").len(), 1);
}

#[test]
fn force_fetches_again_and_replaces() {
    let hub = hub_with(content(5_000), |request, _, whole| {
        Answer::file(request, whole, "\"t\"")
    });
    let bench = Bench::new(hub.address());
    let path = bench.run(&["pull", "org/name"]).path();
    fs::write(&path, b"damaged").unwrap();
    assert_eq!(bench.run(&["pull", "org/name", "--force"]).path(), path);
    assert_eq!(fs::read(&path).unwrap(), content(5_000));
    assert_eq!(hub.requests("/resolve/").len(), 2);
}

#[test]
fn wrong_calls_say_what_to_do() {
    let bench = Bench::unreachable();
    let hint = bench
        .run(&["pull", "smolm2-135m-instruct"])
        .failed_with("no model is named");
    assert!(hint.contains("smollm2-135m-instruct"), "{hint}");
    let hint = bench
        .run(&["pull", "./no-such.gguf"])
        .failed_with("does not exist");
    assert!(hint.contains("inscribe models"), "{hint}");
    assert_eq!(bench.run(&["pull", "--source", "nowhere"]).code, Some(2));
    assert_eq!(bench.run(&["no-such-verb"]).code, Some(2));
    let help = bench.run(&["pull", "--help"]);
    assert!(help.code == Some(0) && help.out.contains("INSCRIBE_CACHE"));
}

#[test]
fn files_of_one_repository_do_not_end_each_other() {
    let files = [
        ("a/m.gguf", content(90_000)),
        ("b/m.gguf", content(50_000)),
        ("m-Q8_0.gguf", content(70_000)),
    ];
    let hub = Server::start({
        let files = files.clone();
        move |request, before| {
            if request.path.starts_with("/api/models/") {
                let listed: Vec<_> = files.iter().map(|(n, c)| (*n, c.as_slice())).collect();
                return Answer::ok(description(&listed));
            }
            let name = request
                .path
                .strip_prefix(&format!("/org/name/resolve/{COMMIT}/"));
            match files.iter().find(|(n, _)| Some(*n) == name) {
                // Breaks for good at its first pull.
                Some((name, body)) if name.starts_with("m-") && before == 0 => {
                    Answer::file(request, body, "\"t\"").cut_at(30_000)
                }
                Some((name, _)) if name.starts_with("m-") && before < 5 => Answer::status(403),
                Some((_, body)) => Answer::file(request, body, "\"t\""),
                None => Answer::status(404),
            }
        }
    });
    let bench = Bench::new(hub.address());
    bench.run(&["pull", "org/name:Q8_0"]).failed_with("403");
    // Two files of one name in two folders are two models.
    let a = bench.run(&["pull", "org/name:a/m.gguf"]).path();
    let b = bench.run(&["pull", "org/name:b/m.gguf"]).path();
    assert_eq!(fs::read(&a).unwrap(), files[0].1);
    assert_eq!(fs::read(&b).unwrap(), files[1].1);
    assert!(bench.run(&["models"]).out.contains("org/name:b/m.gguf"));
    bench
        .run(&["pull", "org/name:m.gguf"])
        .failed_with("2 .gguf files fit");
    // What the first pull had is still there.
    for _ in 0..3 {
        bench.run(&["pull", "org/name:Q8_0"]);
    }
    let path = bench.run(&["pull", "org/name:Q8_0"]).path();
    assert_eq!(fs::read(path).unwrap(), files[2].1);
    let asked = hub.requests("/m-Q8_0");
    assert_eq!(asked[1].headers["range"], "bytes=30000-");
    assert_eq!(asked.last().unwrap().headers["range"], "bytes=30000-");
    assert!(bench.files("partial").is_empty());
}
