//! Pulls from hubs that break, lie, refuse or fall silent: what a person is told, and that nothing
//! half-written is left in a model's place.

use std::fs;
use std::time::{Duration, Instant};

use super::command::{Bench, COMMIT, content, hub_with};
use super::server::{Answer, Server};

const SIZE: usize = 200_000;
const TAG: &str = "\"one\"";

fn no_model(bench: &Bench) {
    assert!(bench.files("hub").is_empty() && bench.files("models").is_empty());
}

#[test]
fn a_broken_connection_is_taken_up_again() {
    // It breaks twice, each time further on.
    let hub = hub_with(content(SIZE), |request, before, whole| {
        let answer = Answer::file(request, whole, TAG);
        if before < 2 {
            answer.cut_at(70_000)
        } else {
            answer
        }
    });
    let bench = Bench::new(hub.address());
    let ran = bench.run(&["pull", "org/name"]);
    assert_eq!(fs::read(ran.path()).unwrap(), content(SIZE));
    assert!(ran.err.contains("trying again"), "{}", ran.err);
    let asked: Vec<_> = hub
        .requests("/resolve/")
        .iter()
        .map(|r| r.headers.get("range").cloned())
        .collect();
    let range = |from: &str| Some(format!("bytes={from}-"));
    assert_eq!(asked, [None, range("70000"), range("140000")]);
}

#[test]
fn a_file_that_changed_is_started_again() {
    let hub = hub_with(content(SIZE), |request, before, whole| {
        if before == 0 {
            // The same size, another content, another tag.
            return Answer::file(request, &vec![7; SIZE], "\"old\"").cut_at(90_000);
        }
        Answer::file(request, whole, TAG)
    });
    let bench = Bench::new(hub.address());
    assert_eq!(
        fs::read(bench.run(&["pull", "org/name"]).path()).unwrap(),
        content(SIZE)
    );
    assert_eq!(hub.requests("/resolve/")[1].headers["if-range"], "\"old\"");
}

#[test]
fn a_part_that_turns_out_wrong_is_fetched_once_more() {
    // Without a tag nothing shows that the file changed, but the hash does.
    let hub = hub_with(content(SIZE), |request, before, whole| {
        let old = vec![7; SIZE];
        let mut answer = match before {
            0 => Answer::file(request, &old, "").cut_at(90_000),
            1 => Answer {
                cut_at: Some(0),
                ..Answer::file(request, whole, "")
            },
            _ => Answer::file(request, whole, ""),
        };
        answer.headers.retain(|(name, _)| name != "ETag");
        answer
    });
    let bench = Bench::new(hub.address());
    assert_eq!(
        fs::read(bench.run(&["pull", "org/name"]).path()).unwrap(),
        content(SIZE)
    );
}

#[test]
fn wrong_bytes_are_thrown_away() {
    let hub = hub_with(content(SIZE), |request, _, _| {
        Answer::file(request, &vec![7; SIZE], TAG)
    });
    let bench = Bench::new(hub.address());
    let hint = bench.run(&["pull", "org/name"]).failed_with("sha256");
    assert!(hint.contains("try again"), "{hint}");
    no_model(&bench);
    assert!(
        bench.files("partial").is_empty(),
        "{:?}",
        bench.files("partial")
    );

    let hub = hub_with(content(SIZE), |request, _, _| {
        Answer::file(request, &[7; 10], TAG)
    });
    let bench = Bench::new(hub.address());
    bench
        .run(&["pull", "org/name"])
        .failed_with("has 10 bytes where 200000 were expected");
    no_model(&bench);
}

#[test]
fn refusals_say_what_to_do() {
    let refusing = |status: u16| Server::start(move |_, _| Answer::status(status));
    let hub = refusing(401);
    let bench = Bench::new(hub.address());
    let hint = bench
        .run(&["pull", "org/name"])
        .failed_with("gated or private");
    assert!(
        hint.contains("HF_TOKEN") && hint.contains("/org/name"),
        "{hint}"
    );
    let with_token = bench.set("HF_TOKEN", "secret");
    let ran = with_token.run(&["pull", "org/name"]);
    assert!(ran.failed_with("401").contains("accept its terms"));
    assert!(!ran.err.contains("secret"));

    let hub = refusing(404);
    let hint = Bench::new(hub.address())
        .run(&["pull", "org/name"])
        .failed_with("does not exist (404)");
    assert!(hint.contains("spelling"), "{hint}");

    let hub = hub_with(content(10), |_, _, _| Answer::status(503));
    let bench = Bench::new(hub.address());
    let hint = bench.run(&["pull", "org/name"]).failed_with("503");
    assert!(hint.contains("try again later"), "{hint}");
    assert!(
        hub.requests("/resolve/").len() > 1,
        "trouble of the server is tried again"
    );
    no_model(&bench);

    let hub = Server::start(|_, _| Answer::ok("<html>Please log in to the guest network</html>"));
    Bench::new(hub.address())
        .run(&["pull", "org/name"])
        .failed_with("not what a model hub sends");
}

#[test]
fn a_description_cannot_lead_out_of_the_cache() {
    let hub = Server::start(|_, _| {
        let files = [("../../evil.gguf", 5), ("a/../../evil.gguf", 5)];
        let siblings: Vec<_> = files
            .iter()
            .map(|(name, size)| serde_json::json!({ "rfilename": name, "size": size }))
            .collect();
        Answer::ok(serde_json::json!({ "sha": COMMIT, "siblings": siblings }).to_string())
    });
    let bench = Bench::new(hub.address());
    bench
        .run(&["pull", "org/name"])
        .failed_with("neither .gguf nor .safetensors");
    let hub = Server::start(|_, _| Answer::ok("{\"sha\": \"../../x\", \"siblings\": []}"));
    Bench::new(hub.address())
        .run(&["pull", "org/name"])
        .failed_with("revision is not a hash");
}

#[cfg(unix)]
mod signals {
    use std::process::{Child, Command};

    use super::*;
    use crate::command::Ran;

    fn interrupt(child: &Child) {
        // The shell's own: the smallest systems have no program of that name.
        let kill = format!("kill -INT {}", child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success());
    }

    fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(
                // Nothing but a hang takes so long.
                start.elapsed() < Duration::from_secs(300),
                "waited too long for {what}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn partial_bytes(bench: &Bench) -> u64 {
        let folder = bench
            .cache()
            .join("partial")
            .join(format!("org--name-{}", &COMMIT[..12]))
            .join("x.Q4_0.gguf");
        fs::metadata(folder.join("x.Q4_0.gguf.partial")).map_or(0, |m| m.len())
    }

    #[test]
    fn an_interrupted_pull_goes_on_where_it_stopped() {
        let hub = hub_with(content(SIZE), |request, before, whole| {
            let answer = Answer::file(request, whole, TAG);
            if before == 0 {
                answer.pace(1_000, Duration::from_millis(20))
            } else {
                answer
            }
        });
        let bench = Bench::new(hub.address());
        let child = bench.start(&["pull", "org/name"]);
        wait_until("the first bytes", || partial_bytes(&bench) > 10_000);
        interrupt(&child);
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(130), "{}", ran.err);
        assert!(ran.err.contains("error: cancelled"), "{}", ran.err);
        no_model(&bench);
        let kept = partial_bytes(&bench);
        assert!(kept > 10_000 && kept < SIZE as u64);

        let path = bench.run(&["pull", "org/name"]).path();
        assert_eq!(fs::read(path).unwrap(), content(SIZE));
        let range = &hub.requests("/resolve/")[1].headers["range"];
        assert_eq!(*range, format!("bytes={kept}-"));
    }

    #[test]
    fn an_interrupt_is_heard_while_the_hub_is_silent() {
        let hub = Server::start(|_, _| Answer::status(200).silence(Duration::from_secs(900)));
        let bench = Bench::new(hub.address());
        let child = bench.start(&["pull", "org/name"]);
        wait_until("the request", || !hub.requests("/api/").is_empty());
        interrupt(&child);
        let start = Instant::now();
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
        assert!(
            start.elapsed() < Duration::from_secs(300),
            "{:?}",
            start.elapsed()
        );
    }
}

#[test]
fn a_hub_that_is_not_there_is_noticed_at_once() {
    let bench = Bench::unreachable();
    let start = Instant::now();
    let hint = bench
        .run(&["pull", "org/name"])
        .failed_with("cannot reach 127.0.0.1");
    assert!(
        hint.contains("HTTPS_PROXY") && hint.contains("HF_ENDPOINT"),
        "{hint}"
    );
    assert!(start.elapsed() < Duration::from_secs(120));
    let offline = bench.set("HF_HUB_OFFLINE", "1");
    offline
        .run(&["pull", "org/name"])
        .failed_with("HF_HUB_OFFLINE is set");
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let hub = hub_with(content(SIZE), |request, _, whole| {
        Answer::file(request, whole, TAG)
    });
    let bench = Bench::new(hub.address());
    let file = bench.folder.path().join("a-file");
    fs::write(&file, "x").unwrap();
    let bench = bench.set("INSCRIBE_CACHE", file.join("cache").to_str().unwrap());
    let hint = bench.run(&["pull", "org/name"]).failed_with("a-file");
    assert!(hint.contains("INSCRIBE_CACHE"), "{hint}");
}

/// `/dev/full` refuses each byte as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_leaves_nothing() {
    let hub = hub_with(content(SIZE), |request, _, whole| {
        Answer::file(request, whole, TAG)
    });
    let bench = Bench::new(hub.address());
    let folder = bench
        .cache()
        .join("partial")
        .join(format!("org--name-{}", &COMMIT[..12]))
        .join("x.Q4_0.gguf");
    fs::create_dir_all(&folder).unwrap();
    let partial = folder.join("x.Q4_0.gguf.partial");
    std::os::unix::fs::symlink("/dev/full", &partial).unwrap();
    let hint = bench
        .run(&["pull", "org/name"])
        .failed_with("the disk is full at");
    assert!(
        hint.contains("free some space") && hint.contains("INSCRIBE_CACHE"),
        "{hint}"
    );
    no_model(&bench);

    fs::remove_file(&partial).unwrap();
    assert_eq!(
        fs::read(bench.run(&["pull", "org/name"]).path()).unwrap(),
        content(SIZE)
    );
}

/// A limit on the size of files stops it in the middle of one; what came is kept for the next try.
#[cfg(unix)]
#[test]
fn a_file_that_may_not_grow_is_gone_on_with_later() {
    let hub = hub_with(content(SIZE), |request, _, whole| {
        Answer::file(request, whole, TAG)
    });
    let bench = Bench::new(hub.address());
    // 100 blocks of 512 or 1024 bytes, by shell.
    let script = format!(
        "trap '' XFSZ; ulimit -f 100; exec '{}' pull org/name",
        super::command::PROGRAM
    );
    let output = bench
        .command("bash")
        .args(["-c", &script])
        .output()
        .unwrap();
    crate::command::Ran::of(output).failed_with("a file this large is not allowed");
    no_model(&bench);
    assert_eq!(
        fs::read(bench.run(&["pull", "org/name"]).path()).unwrap(),
        content(SIZE)
    );
    assert!(hub.requests("/resolve/")[1].headers.contains_key("range"));
}
