//! A window in a test: its own folders, the tiny model, the processor.

// Several programs share it, and each leaves some of it unused.
#![allow(dead_code)]

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eframe::egui::{self, Vec2, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use inscribe::model::elsewhere::Places;
use inscribe::model::hub;
use inscribe::write::document::{Document, ReadOptions};
use inscribe::write::settings::WriteSettings;
use inscribe::write::synthetic::Invented;
use inscribe_app::InscribeApp;
use inscribe_app::app::Options;
use inscribe_app::state::prefs::ThemeChoice;
use inscribe_app::state::{ModelState, OpenDocument, Prefs, State};
use inscribe_app::vocabulary::Purpose;

/// After so long without a sign of progress something hangs, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(300);

pub struct Desk {
    pub window: Harness<'static, InscribeApp>,
    pub folder: tempfile::TempDir,
    /// What the next dialog answers.
    picked: Arc<Mutex<Option<PathBuf>>>,
    /// No dialog answers while this is locked.
    pub dialogs: Arc<Mutex<()>>,
    /// Where pictures are kept; nowhere if that is not said.
    pub shots: Option<PathBuf>,
}

/// The model of these tests: a context of 256 tokens, so most documents come in parts.
pub fn tiny_model() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("../tests/golden/tiny/llama")
        .display()
        .to_string()
}

/// Preferences that make small documents quick.
pub fn prefs() -> Prefs {
    Prefs {
        model: tiny_model(),
        device: "cpu".to_owned(),
        threads: 2,
        settings: WriteSettings {
            budget: 12,
            chunk: 64,
            window: 16,
            batch: 4,
            checkpoint: 1,
            ..WriteSettings::default()
        },
        preset: None,
        max_tokens: 6,
        ..Prefs::default()
    }
}

/// How a window is opened.
pub struct Setup {
    pub prefs: Prefs,
    pub size: Vec2,
    pub pixels_per_point: f32,
    /// Where everything is kept; also where another window left something.
    pub folder: tempfile::TempDir,
    /// Models come from the person's own cache instead of one in the folder.
    pub real_models: bool,
    /// Where models are fetched from.
    pub hub: Option<hub::Setup>,
    /// Where other programs keep models.
    pub places: Places,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            prefs: prefs(),
            size: vec2(1280.0, 800.0),
            pixels_per_point: 1.0,
            folder: tempfile::tempdir().expect("a temporary folder"),
            real_models: false,
            hub: None,
            places: Places::default(),
        }
    }
}

impl Desk {
    pub fn new() -> Desk {
        Desk::set_up(Setup::default())
    }

    pub fn with(prefs: Prefs, size: Vec2) -> Desk {
        Desk::set_up(Setup {
            prefs,
            size,
            ..Setup::default()
        })
    }

    /// Opens a window among the files of one that was closed.
    pub fn at(folder: tempfile::TempDir, prefs: Prefs) -> Desk {
        Desk::set_up(Setup {
            prefs,
            folder,
            ..Setup::default()
        })
    }

    pub fn set_up(setup: Setup) -> Desk {
        let folder = setup.folder;
        let picked: Arc<Mutex<Option<PathBuf>>> = Arc::default();
        let dialogs: Arc<Mutex<()>> = Arc::default();
        let (answers, open) = (Arc::clone(&picked), Arc::clone(&dialogs));
        let theme = match setup.prefs.theme {
            ThemeChoice::Dark => egui::Theme::Dark,
            _ => egui::Theme::Light,
        };
        let cache = (!setup.real_models).then(|| folder.path().join("cache"));
        let options = Options {
            cache,
            memories: Some(folder.path().join("memories")),
            prefs: Some(setup.prefs),
            picker: Some(Arc::new(move |_: Purpose| {
                let _open = open.lock().ok()?;
                answers.lock().ok()?.take()
            })),
            hub: setup.hub,
            still: true,
            places: Some(setup.places),
            open: None,
        };
        let window = Harness::builder()
            .with_size(setup.size)
            .with_pixels_per_point(setup.pixels_per_point)
            .with_theme(theme)
            .with_max_steps(64)
            .allow_missing_glyphs()
            .build_eframe(|context| InscribeApp::new(context, options).expect("threads"));
        let mut desk = Desk {
            window,
            folder,
            picked,
            dialogs,
            shots: std::env::var_os("INSCRIBE_SHOTS").map(PathBuf::from),
        };
        desk.wait("the survey", |state| state.survey.is_some());
        desk
    }

    pub fn state(&self) -> &State {
        &self.window.state().state
    }

    pub fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// In the middle of a write that would take long.
    pub fn in_a_long_write() -> Desk {
        let mut long = prefs();
        long.settings.budget = 2000;
        let mut desk = Desk::with(long, [1280.0, 800.0].into());
        desk.open_text(200);
        desk.click("Write into memory");
        desk.wait("some steps", |state| state.run.record.steps.len() > 2);
        desk
    }

    /// Draws until something is so.
    pub fn wait(&mut self, what: &str, is_so: impl Fn(&State) -> bool) {
        self.wait_for(what, |app| is_so(&app.state));
    }

    /// Draws until something is so, also of what is kept beside the state.
    pub fn wait_for(&mut self, what: &str, is_so: impl Fn(&InscribeApp) -> bool) {
        let mut hang = Hang::default();
        loop {
            self.window.step();
            if is_so(self.window.state()) {
                self.window.run_ok();
                return;
            }
            hang.watch(self.state(), what);
            std::thread::sleep(Duration::from_millis(4));
        }
    }

    pub fn click(&mut self, label: &str) {
        self.window.get_by_label(label).click();
        self.window.run_ok();
    }

    /// Clicks where something moves all the time, so that the window never comes to rest.
    pub fn click_now(&mut self, label: &str) {
        self.window.get_by_label(label).click();
        self.window.run_steps(3);
    }

    /// Draws until something of this name stands in the window.
    pub fn wait_until_seen(&mut self, label: &str) {
        let mut hang = Hang::default();
        while !self.sees(label) {
            hang.watch(self.state(), label);
            std::thread::sleep(Duration::from_millis(10));
            self.window.step();
        }
        self.window.run_ok();
    }

    /// Something of this name stands in the window.
    pub fn get_labels(&self, label: &str) {
        assert!(self.sees(label), "there is no {label}");
    }

    /// A button, where a tab or another thing has the same name.
    pub fn click_button(&mut self, label: &str) {
        self.window
            .get_by_role_and_label(egui::accesskit::Role::Button, label)
            .click();
        self.window.run_ok();
    }

    /// One of several choices.
    pub fn choose(&mut self, label: &str) {
        let role = egui::accesskit::Role::RadioButton;
        self.window.get_by_role_and_label(role, label).click();
        self.window.run_ok();
    }

    pub fn slide(&mut self, label: &str, value: f64) {
        let role = egui::accesskit::Role::Slider;
        let slider = self.window.get_by_role_and_label(role, label);
        slider.set_value_accesskit(value);
        self.window.run_ok();
    }

    /// Types into a field.
    pub fn write_in(&mut self, field: &str, words: &str) {
        self.window.get_by_label(field).focus();
        self.window.run_ok();
        self.window.get_by_label(field).type_text(words);
        self.window.run_ok();
    }

    pub fn sees(&self, label: &str) -> bool {
        self.window
            .query_all_by_label_contains(label)
            .next()
            .is_some()
    }

    /// The whole name of what has this in its name.
    pub fn label_of(&self, part: &str) -> String {
        let mut nodes = self.window.query_all_by_label_contains(part);
        let label = nodes.find_map(|node| node.accesskit_node().label());
        label.unwrap_or_else(|| panic!("there is no {part}"))
    }

    /// The next dialog answers with this path.
    pub fn will_pick(&self, path: impl Into<PathBuf>) {
        *self.picked.lock().expect("no panic") = Some(path.into());
    }

    /// Drops a file on the window.
    pub fn drop_file(&mut self, path: &Path) {
        self.drop_files(&[path]);
    }

    /// Drops files at once.
    pub fn drop_files(&mut self, paths: &[&Path]) {
        #[derive(Debug)]
        struct Dropped(PathBuf);
        impl egui::DroppedFile for Dropped {
            fn path(&self) -> &Path {
                &self.0
            }
            fn bytes(&self) -> Result<Vec<u8>, String> {
                std::fs::read(&self.0).map_err(|e| e.to_string())
            }
        }
        for &path in paths {
            let file = Arc::new(Dropped(path.to_owned()));
            self.window.input_mut().dropped_files.push(file);
        }
        self.window.step();
    }

    /// Holds a file over the window.
    pub fn hover_file(&mut self) {
        let file = egui::HoveredFile::default();
        self.window.input_mut().hovered_files.push(file);
        self.window.run_ok();
    }

    /// Takes it away again.
    pub fn let_go(&mut self) {
        self.window.input_mut().hovered_files.clear();
        self.window.run_ok();
    }

    /// Writes a document beside everything else and drops it.
    pub fn open(&mut self, name: &str, bytes: &[u8]) {
        let path = self.place(name);
        std::fs::write(&path, bytes).expect("room");
        self.drop_file(&path);
        self.wait("the document", |state| state.opening == 0);
    }

    pub fn open_text(&mut self, words: usize) {
        self.open("notes.md", text(words).as_bytes());
        assert!(
            self.state().document.is_some(),
            "{:?}",
            self.state().troubles
        );
    }

    /// A small memory of a document of this name: where it stands.
    pub fn written(&mut self, name: &str) -> PathBuf {
        let settings = &mut self.window.state_mut().state.prefs.settings;
        let budget = std::mem::replace(&mut settings.budget, 2);
        self.open(name, text(40).as_bytes());
        self.click("Write into memory");
        self.wait("the memory", |state| {
            Desk::is_idle(state) && state.memory_written
        });
        self.window.state_mut().state.prefs.settings.budget = budget;
        self.state().memory.clone().expect("a place")
    }

    pub fn is_idle(state: &State) -> bool {
        state.jobs.is_empty()
    }

    /// Keeps a picture of the window as it is.
    pub fn shot(&mut self, name: &str) {
        let Some(folder) = self.shots.clone() else {
            return;
        };
        std::fs::create_dir_all(&folder).expect("room");
        let image = self.window.render().expect("a renderer");
        image
            .save(folder.join(format!("{name}.png")))
            .expect("room");
    }
}

/// Tells slow work from work that hangs: the time counts from the last sign of progress.
struct Hang {
    last: u64,
    since: Instant,
}

impl Default for Hang {
    fn default() -> Hang {
        Hang {
            last: 0,
            since: Instant::now(),
        }
    }
}

impl Hang {
    fn watch(&mut self, state: &State, what: &str) {
        let now = signs(state);
        if now != self.last {
            (self.last, self.since) = (now, Instant::now());
        }
        let troubles = &state.troubles;
        assert!(
            self.since.elapsed() < PATIENCE,
            "waited for {what}; {troubles:?}"
        );
    }
}

/// A number that changes with whatever goes on.
fn signs(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    let record = &state.run.record;
    let progress = record
        .progress
        .map(|now| (now.segment, now.done, now.total));
    let turns = state.ask.turns.iter().map(|turn| {
        let text = turn.streaming.as_ref().map(|(_, text)| text.len());
        (turn.answers.len(), turn.scores.len(), text)
    });
    let fetched = match &state.model {
        ModelState::None => 0,
        ModelState::Fetching(fetch) => 1 + fetch.done,
        ModelState::Loading { done, .. } => 1 + done,
        ModelState::Ready(_) => u64::MAX,
    };
    let jobs: Vec<u64> = state.jobs.keys().copied().collect();
    (progress, record.steps.len(), state.run.version, fetched).hash(&mut hasher);
    (turns.collect::<Vec<_>>(), state.ask.reading, jobs).hash(&mut hasher);
    (state.opened, state.opening, state.troubles.len()).hash(&mut hasher);
    hasher.finish()
}

/// A small text with headings, of about so many words.
pub fn text(words: usize) -> String {
    let mut text = String::from("# The mill\n\n");
    let vocabulary = [
        "the", "mill", "burnt", "down", "in", "winter", "and", "nobody", "knew", "why", "it",
    ];
    for at in 0..words {
        text.push_str(vocabulary[(at * 7 + at / 11) % vocabulary.len()]);
        text.push(if at % 13 == 12 { '.' } else { ' ' });
        if at % 60 == 59 {
            text.push_str("\n\n## Another part\n\n");
        }
    }
    text
}

/// A text of about so many words as the document of an invented run: its tokens are spread over it
/// evenly.
pub fn invented(run: &Invented, words: usize) -> OpenDocument {
    let text = text(words);
    let document = Document::from_bytes("mill.md", text.as_bytes(), &ReadOptions::default());
    let document = document.expect("a text");
    let length = document.text.len();
    // The text has one byte a character.
    let at = |token: usize| token * length / run.tokens;
    let tokens = (0..run.tokens).map(|t| at(t)..at(t + 1)).collect();
    OpenDocument {
        tokens: Some(Arc::new(tokens)),
        document: Arc::new(document),
        tokens_of: String::new(),
        path: None,
        version: 9,
    }
}
