//! The first run: a model comes from a hub, is stopped, goes on, or cannot be had.

use std::path::Path;
use std::time::Duration;

use eframe::egui::accesskit::Role;
use egui_kittest::kittest::{NodeT, Queryable};
use inscribe::model::hub;
use inscribe_app::state::{ModelState, State};
use inscribe_app::vocabulary::Dialog;
use sha2::{Digest, Sha256};

use crate::desk::{Desk, Setup, prefs, tiny_model};
use crate::server::{Answer, Server};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS: &str = "model.safetensors";

fn setup(endpoint: String) -> Setup {
    let mut prefs = prefs();
    prefs.model = "org/tiny".to_owned();
    prefs.settings.budget = 4;
    Setup {
        prefs,
        hub: Some(hub::Setup {
            endpoint,
            token: None,
            offline: false,
            pythons: Vec::new(),
            shared_cache: None,
        }),
        ..Setup::default()
    }
}

/// The tests' tiny model as a repository of a hub that is slow.
fn slow_hub() -> Server {
    let folder = tiny_model();
    let read = move |name: &str| std::fs::read(Path::new(&folder).join(name)).expect("a golden");
    let names = ["config.json", "tokenizer.json", WEIGHTS];
    let files: Vec<(&str, Vec<u8>)> = names.map(|name| (name, read(name))).into();
    let siblings: Vec<_> = files
        .iter()
        .map(|(name, content)| {
            let digest = Sha256::digest(content);
            let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            let size = content.len();
            serde_json::json!({
                "rfilename": name, "size": size, "lfs": { "sha256": sha256, "size": size },
            })
        })
        .collect();
    let description = serde_json::json!({ "sha": COMMIT, "siblings": siblings }).to_string();
    Server::start(move |request, before| {
        if request.path.starts_with("/api/models/org/tiny/revision/") {
            return Answer::ok(description.clone());
        }
        let name = request.path.rsplit('/').next().unwrap_or_default();
        let Some((name, content)) = files.iter().find(|(file, _)| *file == name) else {
            return Answer::status(404);
        };
        let answer = Answer::file(request, content, "\"one\"");
        if *name == WEIGHTS && before == 0 {
            answer.pace(2048, Duration::from_millis(60))
        } else {
            answer
        }
    })
}

fn weights_that_come(state: &State) -> Option<(u64, u64)> {
    match &state.model {
        ModelState::Fetching(fetch) if fetch.label.contains(WEIGHTS) => {
            fetch.speed?;
            Some((fetch.done, fetch.total?))
        }
        _ => None,
    }
}

#[test]
fn a_model_is_fetched_stopped_and_fetched_on() {
    let hub = slow_hub();
    let mut desk = Desk::set_up(setup(hub.address()));
    desk.open("short.md", crate::desk::text(40).as_bytes());
    desk.click("Write into memory");
    desk.wait("the weights", |state| {
        weights_that_come(state).is_some_and(|(done, total)| done * 4 > total)
    });
    assert!(desk.sees("Fetching the model"));
    assert!(desk.sees("kB/s"), "a speed");
    assert!(desk.sees("left"), "the time that is left");
    let bar = desk.window.get_by_role(Role::ProgressIndicator);
    let label = bar.accesskit_node().label().unwrap_or_default();
    assert!(
        label.starts_with("Fetching the model: ") && label.ends_with('%'),
        "{label}"
    );
    desk.shot("fetching");
    desk.click("Stop");
    desk.wait("the stop", Desk::is_idle);
    assert!(desk.sees("What was fetched so far is kept"));
    assert!(!desk.state().memory_written);
    assert!(
        desk.state().troubles.is_empty(),
        "{:?}",
        desk.state().troubles
    );
    desk.click("Write into memory");
    desk.wait("the memory", |state| state.memory_written);
    let asked = hub.requests(WEIGHTS);
    let range = asked.last().and_then(|last| last.headers.get("range"));
    let from = range.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    assert!(from.is_some_and(|from: u64| from > 0), "{asked:?}");
    assert!(desk.state().model.ready().is_some());
}

#[test]
fn another_model_chosen_during_a_fetch_takes_its_place() {
    let hub = slow_hub();
    let mut desk = Desk::set_up(setup(hub.address()));
    desk.open("short.md", crate::desk::text(40).as_bytes());
    desk.click("Write into memory");
    desk.wait("the weights", |state| weights_that_come(state).is_some());
    let other = format!("{}.gguf", tiny_model());
    desk.drop_file(Path::new(&other));
    desk.window.run_ok();
    assert!(desk.sees("Use another model?"));
    desk.click("Stop and use it");
    desk.wait("the stop", Desk::is_idle);
    assert_eq!(desk.state().prefs.model, other);
    assert!(desk.state().model.ready().is_none(), "the fetch went on");
    desk.click("Write into memory");
    desk.wait("the memory", |state| state.memory_written);
    let ready = desk.state().model.ready();
    assert_eq!(ready.map(|model| &model.request.model), Some(&other));
}

#[test]
fn without_a_network_it_is_said_what_to_do() {
    // Nothing listens there, and no program is given that port by chance.
    let mut desk = Desk::set_up(setup("http://127.0.0.1:1".to_owned()));
    desk.open("short.md", crate::desk::text(40).as_bytes());
    desk.click("Write into memory");
    desk.wait("the message", |state| {
        !state.troubles.is_empty() && Desk::is_idle(state)
    });
    assert!(desk.sees("The model could not be fetched"));
    assert!(desk.sees("A model file that is on this computer already can be chosen instead."));
    desk.shot("offline");
    desk.click("Try again");
    desk.wait("the message again", |state| {
        !state.troubles.is_empty() && Desk::is_idle(state)
    });
    desk.click("Dismiss");
    // The way that the message names.
    desk.click("Model: org/tiny");
    assert_eq!(desk.state().dialog, Dialog::Model);
    desk.will_pick(tiny_model());
    desk.click("Choose a file…");
    desk.wait("the other model", |state| state.prefs.model == tiny_model());
    desk.click("Write into memory");
    desk.wait("the memory", |state| state.memory_written);
}
