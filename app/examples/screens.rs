//! Every screen of the window as a picture, at every size and in both themes. The story is lived
//! once, on the sample and with a real model; then each screen is drawn from what it left:
//!
//! ```text
//! cargo run --release -p inscribe-app --example screens -- FOLDER [--only NAME] [--size 1280x800]
//!     [--theme light] [--model MODEL] [--budget STEPS] [--memory MEMORY] [--readme]
//! ```
//!
//! `--memory` tells the story from a memory that was written before, without its questions, and in
//! seconds.
//!
//! `--readme` makes those of the README instead, at the settings that a first write has.

#[path = "../tests/window/desk.rs"]
mod desk;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eframe::egui::{ViewportEvent, ViewportId, vec2};
use egui_kittest::kittest::{NodeT, Queryable};
use inscribe::write::event::{Event, Phase};
use inscribe::write::record::Status;
use inscribe_app::engine::{Fetch, Survey, UnfinishedInfo};
use inscribe_app::state::prefs::{Recent, ThemeChoice};
use inscribe_app::state::{
    AskState, Job, ModelState, OpenDocument, Pause, Prefs, Run, State, Task,
};
use inscribe_app::trouble::{About, Remedy, Trouble};
use inscribe_app::vocabulary::{Dialog, Screen, Selection};

use desk::{Desk, Setup};

/// Width and height in points, and pixels a point.
const SIZES: [(f32, f32, f32); 8] = [
    (1280.0, 800.0, 1.0),
    // The least window.
    (960.0, 640.0, 1.0),
    (1024.0, 700.0, 1.0),
    // 1280 by 800 at 125 percent.
    (1024.0, 640.0, 1.25),
    (1920.0, 1080.0, 1.0),
    (2560.0, 1440.0, 1.0),
    (1920.0, 1080.0, 2.0),
    (3840.0, 2160.0, 1.0),
];

const QUESTIONS: [&str; 2] = [
    "What is this document about?",
    "Who founded the Tide House?",
];

struct Options {
    folder: PathBuf,
    only: Option<String>,
    size: Option<String>,
    theme: Option<String>,
    model: Option<String>,
    budget: usize,
    memory: Option<PathBuf>,
    readme: bool,
}

impl Options {
    fn read() -> Options {
        let mut options = Options {
            folder: "screens".into(),
            only: None,
            size: None,
            theme: None,
            model: None,
            budget: 32,
            memory: None,
            readme: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().expect("a value after the option");
            match word.as_str() {
                "--only" => options.only = Some(value()),
                "--size" => options.size = Some(value()),
                "--theme" => options.theme = Some(value()),
                "--model" => options.model = Some(value()),
                "--budget" => options.budget = value().parse().expect("a number of steps"),
                "--memory" => options.memory = Some(value().into()),
                "--readme" => options.readme = true,
                _ => options.folder = word.into(),
            }
        }
        options
    }

    fn prefs(&self) -> Prefs {
        let mut prefs = Prefs {
            device: "cpu".to_owned(),
            max_tokens: 40,
            ..Prefs::default()
        };
        if let Some(model) = &self.model {
            prefs.model = model.clone();
        }
        prefs.settings.budget = self.budget;
        if !self.readme {
            // More chunks to see.
            prefs.settings.chunk = 512;
        }
        prefs
    }
}

/// What the story left behind.
struct Scene {
    prefs: Prefs,
    document: OpenDocument,
    model: ModelState,
    survey: Survey,
    /// Both passes and no step.
    measured: Run,
    written: Run,
    ask: AskState,
}

fn live(options: &Options) -> Scene {
    let mut desk = Desk::set_up(Setup {
        prefs: options.prefs(),
        real_models: true,
        ..Setup::default()
    });
    let started = Instant::now();
    let told = |what: &str| println!("{what}: {:.1} s", started.elapsed().as_secs_f32());
    desk.click("Try the sample");
    desk.wait("the sample", |state| state.document.is_some());
    desk.click("Read and measure");
    desk.wait("the measuring", Desk::is_idle);
    told("measured");
    let measured = desk.state().run.clone();
    desk.click(&format!("Write {} steps", options.budget));
    desk.wait("the write", Desk::is_idle);
    told("written");
    let written = desk.state().run.clone();
    desk.click("Ask about it");
    desk.click("Side by side");
    for question in QUESTIONS {
        desk.write_in("Question", question);
        desk.click_button("Ask");
        desk.wait("the answers", Desk::is_idle);
    }
    let label = desk
        .window
        .query_all_by_label_contains("nats")
        .filter_map(|node| node.accesskit_node().label())
        .find(|label| label.starts_with("Memory: "));
    if let Some(label) = label {
        let token = desk.window.query_all_by_label(&label).next();
        token.expect("a token").click();
        desk.window.run_ok();
        desk.wait("the weighing", Desk::is_idle);
    }
    told("asked");
    let state = desk.state();
    Scene {
        prefs: state.prefs.clone(),
        document: state.document.clone().expect("the sample"),
        model: state.model.clone(),
        survey: state.survey.clone().expect("a survey"),
        measured,
        written,
        ask: state.ask.clone(),
    }
}

/// The same from a memory: what was measured is what its run told before its first step.
fn from_memory(options: &Options, memory: &Path) -> Scene {
    let mut desk = Desk::set_up(Setup {
        prefs: options.prefs(),
        real_models: true,
        ..Setup::default()
    });
    desk.drop_file(memory);
    desk.wait("the memory", |state| state.memory_written);
    let state = desk.state();
    let written = state.run.clone();
    let is_step = |e: &Event| matches!(e, Event::Step(_) | Event::Checkpointed { .. });
    let mut measured = until(&written, is_step);
    measured.record.status = Status::Paused;
    Scene {
        prefs: state.prefs.clone(),
        document: state.document.clone().expect("the memory's document"),
        model: ModelState::None,
        survey: state.survey.clone().expect("a survey"),
        measured,
        written,
        ask: AskState::default(),
    }
}

type Show = fn(&mut Desk, &Scene);

/// A name, and how to come there from a window that was just opened.
const SCREENS: [(&str, Show); 38] = [
    ("welcome", |_, _| {}),
    ("welcome-again", welcome_again),
    ("dropping", |desk, _| {
        desk.hover_file();
    }),
    ("paste", |desk, _| desk.click("Paste text")),
    ("opened", |desk, scene| opened(desk, scene)),
    ("fetching", fetching),
    ("reading", reading),
    ("measured", |desk, scene| measured(desk, scene)),
    ("shares", |desk, scene| {
        measured(desk, scene);
        desk.slide("Budget K", 96.0);
        desk.slide("Temperature τ", 0.2);
    }),
    ("fewer-steps", |desk, scene| {
        measured(desk, scene);
        desk.slide("Budget K", 8.0);
    }),
    ("begun", |desk, scene| {
        writing_until(desk, scene, 3, true);
    }),
    ("judged", |desk, scene| {
        let all = scene.written.record.steps.len();
        writing_until(desk, scene, all, false);
        desk.edit(|state| progress(state, Phase::Evaluate, 2, 5));
    }),
    ("unselected", |desk, scene| {
        written(desk, scene);
        desk.edit(|state| state.selection = Selection::default());
    }),
    ("all-settings", |desk, scene| {
        measured(desk, scene);
        desk.click("All settings");
    }),
    ("no-settings", |desk, scene| {
        measured(desk, scene);
        desk.click("Hide settings");
    }),
    ("signed", |desk, scene| {
        measured(desk, scene);
        if desk.sees("Hide settings") && !desk.sees("Minimap") {
            // No room for both: the text takes its turn.
            desk.choose("Text");
        }
        desk.click("Signed");
    }),
    ("writing", writing),
    ("paused", |desk, scene| {
        writing(desk, scene);
        desk.edit(|state| {
            state.run.record.status = Status::Paused;
            state.pause = Pause::Reached;
        });
    }),
    ("quit", |desk, scene| {
        writing(desk, scene);
        let viewports = &mut desk.window.input_mut().viewports;
        let root = viewports.entry(ViewportId::ROOT).or_default();
        root.events.push(ViewportEvent::Close);
        desk.window.step();
    }),
    ("written", |desk, scene| written(desk, scene)),
    ("trouble", trouble),
    ("file-menu", |desk, scene| {
        written(desk, scene);
        desk.click("File");
    }),
    ("view-menu", |desk, scene| {
        written(desk, scene);
        desk.click("View");
    }),
    ("models", |desk, scene| {
        opened(desk, scene);
        desk.edit(|state| state.dialog = Dialog::Model);
    }),
    ("devices", |desk, scene| {
        opened(desk, scene);
        desk.edit(|state| state.dialog = Dialog::Device);
    }),
    ("ask-nothing-written", |desk, scene| {
        opened(desk, scene);
        desk.click("Ask");
    }),
    ("ask-first", |desk, scene| {
        written(desk, scene);
        desk.click("Ask about it");
    }),
    ("answering", answering),
    ("asked", asked),
    ("compare-nothing", |desk, _| desk.click("Compare")),
    ("compare", |desk, scene| {
        written(desk, scene);
        desk.click("Compare");
        desk.click("Compare the sample runs");
        desk.rest(20);
    }),
    ("replay-nothing", |desk, _| desk.click("Replay")),
    ("replay", |desk, scene| {
        written(desk, scene);
        desk.click("Replay");
        desk.click("Play the sample run");
        desk.rest(20);
        let views = &mut desk.window.state_mut().views;
        if let Some(player) = &mut views.replay.player {
            player.toggle();
            player.seek(player.length() * 0.6);
        }
        desk.window.run_ok();
    }),
    ("learn-2", |desk, scene| learn(desk, scene, 1)),
    ("learn-3", |desk, scene| learn(desk, scene, 2)),
    ("learn-5", |desk, scene| learn(desk, scene, 4)),
    ("learn-6", |desk, scene| learn(desk, scene, 5)),
    ("learn-7", |desk, scene| learn(desk, scene, 6)),
];

fn welcome_again(desk: &mut Desk, _: &Scene) {
    desk.edit(|state| {
        let recent = |path: &str, is_memory| Recent {
            path: path.into(),
            is_memory,
        };
        state.prefs.recent = vec![
            recent("reports/tide-house-1987.pdf", false),
            recent("memories/tide-house-1987.memory", true),
            recent("notes/meeting.md", false),
        ];
        if let Some(survey) = &mut state.survey {
            survey.unfinished = vec![UnfinishedInfo {
                folder: "minutes.memory".into(),
                document: "minutes.docx".to_owned(),
                model: "SmolLM2-135M-Instruct.Q4_1.gguf".to_owned(),
                step: 16,
                of: 32,
            }];
        }
    });
}

/// The sample is open, nothing is known of it, and the model is loaded.
fn opened(desk: &mut Desk, scene: &Scene) {
    desk.edit(|state| {
        state.document = Some(scene.document.clone());
        state.model = scene.model.clone();
        state.run = Run::empty();
        state.screen = Screen::Write;
    });
}

fn fetching(desk: &mut Desk, scene: &Scene) {
    opened(desk, scene);
    desk.edit(|state| {
        state.model = ModelState::Fetching(Fetch {
            source: "the hub".to_owned(),
            label: "SmolLM2-135M-Instruct.Q4_1.gguf".to_owned(),
            done: 41_200_000,
            total: Some(98_362_432),
            speed: Some(6_400_000.0),
            note: None,
        });
    });
    busy(desk, &[Task::Load, Task::Write]);
}

/// Work goes on, as far as the window knows.
fn busy(desk: &mut Desk, tasks: &[Task]) {
    desk.edit(|state| {
        for (at, &task) in tasks.iter().enumerate() {
            let job = Job {
                task,
                since: Instant::now(),
                cancelling: false,
                orphaned: false,
            };
            state.jobs.insert(at as u64 + 900, job);
        }
    });
}

/// The run as it was before this event.
fn until(run: &Run, stop: impl Fn(&Event) -> bool) -> Run {
    let kept = run.events.iter().take_while(|event| !stop(event));
    Run::of_events(Arc::new(kept.cloned().collect()))
}

fn progress(state: &mut State, phase: Phase, done: usize, total: usize) {
    state.run.fold(Event::Progress { phase, done, total });
}

fn reading(desk: &mut Desk, scene: &Scene) {
    opened(desk, scene);
    desk.edit(|state| {
        state.run = until(&scene.measured, |e| matches!(e, Event::Prefilled { .. }));
        progress(state, Phase::Prefill, 3072, scene.measured.record.tokens());
    });
    busy(desk, &[Task::Measure]);
}

fn measured(desk: &mut Desk, scene: &Scene) {
    opened(desk, scene);
    desk.edit(|state| {
        state.run = scene.measured.clone();
        state.prefs.controls_open = true;
    });
}

fn writing(desk: &mut Desk, scene: &Scene) {
    let half = scene.written.record.steps.len() * 5 / 8;
    writing_until(desk, scene, half, false);
}

/// In the middle of the write, with a chunk chosen or without.
fn writing_until(desk: &mut Desk, scene: &Scene, steps: usize, chosen: bool) {
    opened(desk, scene);
    busy(desk, &[Task::Write]);
    desk.edit(|state| {
        let later = |e: &Event| match e {
            Event::Step(step) => step.step > steps,
            Event::Evaluated(_) | Event::Done(_) => true,
            _ => false,
        };
        state.run = until(&scene.written, later);
        progress(state, Phase::Steps, steps, scene.written.record.steps.len());
        if chosen {
            choose(state, 2);
        }
    });
}

fn written(desk: &mut Desk, scene: &Scene) {
    opened(desk, scene);
    desk.edit(|state| {
        state.run = scene.written.clone();
        state.memory = Some("The Tide House.memory".into());
        state.memory_written = true;
        choose(state, 5);
    });
}

/// A chunk of the first part, or the last one there is; the text goes there.
fn choose(state: &mut State, chunk: usize) {
    let chunks = &state.run.record.segments[0].chunks;
    let chunk = chunk.min(chunks.len() - 1);
    state.scroll_to = Some(chunks[chunk].text.start);
    state.selection = Selection::chunk(0, chunk);
}

fn trouble(desk: &mut Desk, scene: &Scene) {
    writing(desk, scene);
    desk.edit(|state| {
        state.jobs.clear();
        state.run.record.status = Status::Paused;
        state.run.record.progress = None;
        state.memory = Some("The Tide House.memory".into());
        state.trouble(Trouble {
            title: "The graphics device stopped answering".to_owned(),
            detail: "Radeon 780M was lost: the driver was reset".to_owned(),
            advice: "What was learned up to the last checkpoint is safe. Close other programs \
                     that use the device and try again, or go on with the processor."
                .to_owned(),
            remedy: Some(Remedy::UseProcessor),
            about: About::Run,
        });
    });
}

fn asked(desk: &mut Desk, scene: &Scene) {
    written(desk, scene);
    desk.edit(|state| {
        state.ask = scene.ask.clone();
        state.screen = Screen::Ask;
    });
}

fn answering(desk: &mut Desk, scene: &Scene) {
    asked(desk, scene);
    desk.edit(|state| {
        state.ask.picked = None;
        state.ask.turns.truncate(1);
        if let Some(turn) = state.ask.turns.first_mut() {
            let begun: String = turn.answers[1].text.chars().take(42).collect();
            turn.streaming = Some((turn.answers[1].view, begun));
            turn.answers.truncate(1);
            turn.ended = false;
        }
    });
    busy(desk, &[Task::Ask]);
}

fn learn(desk: &mut Desk, scene: &Scene, page: usize) {
    written(desk, scene);
    desk.click("Learn");
    desk.window.state_mut().views.teach.go_to(page);
    desk.window.run_ok();
}

impl Desk {
    /// Changes what the window knows, and draws it.
    fn edit(&mut self, change: impl FnOnce(&mut State)) {
        change(&mut self.window.state_mut().state);
        self.window.run_ok();
        self.window.run_ok();
    }

    /// Draws for a while: something is read in the background.
    fn rest(&mut self, frames: usize) {
        for _ in 0..frames {
            std::thread::sleep(Duration::from_millis(10));
            self.window.step();
        }
    }
}

fn picture(scene: &Scene, at: (f32, f32, f32), dark: bool, file: &str, screen: Show, to: &Path) {
    let (width, height, pixels_per_point) = at;
    let mut prefs = scene.prefs.clone();
    prefs.recent.clear();
    prefs.theme = if dark {
        ThemeChoice::Dark
    } else {
        ThemeChoice::Light
    };
    let mut desk = Desk::set_up(Setup {
        prefs,
        size: vec2(width, height),
        pixels_per_point,
        real_models: true,
        ..Setup::default()
    });
    desk.edit(|state| state.survey = Some(scene.survey.clone()));
    screen(&mut desk, scene);
    desk.edit(|state| state.note = None);
    desk.shots = Some(to.to_owned());
    desk.shot(file);
    println!("{}", to.join(file).with_extension("png").display());
}

fn main() {
    let options = Options::read();
    let scene = match &options.memory {
        Some(memory) => from_memory(&options, memory),
        None => live(&options),
    };
    if options.readme {
        let at = SIZES[0];
        picture(&scene, at, true, "window", writing, &options.folder);
        picture(&scene, at, true, "window-ask", asked, &options.folder);
        picture(
            &scene,
            at,
            false,
            "window-written",
            written,
            &options.folder,
        );
        return;
    }
    let wanted = |only: &Option<String>, name: &str| {
        only.as_ref()
            .is_none_or(|only| name.contains(only.as_str()))
    };
    for at in SIZES {
        let (width, height, scale) = at;
        let size = match scale {
            1.0 => format!("{width}x{height}"),
            _ => format!("{width}x{height}@{scale}"),
        };
        if options.size.as_ref().is_some_and(|only| *only != size) {
            continue;
        }
        for dark in [false, true] {
            let theme = if dark { "dark" } else { "light" };
            if !wanted(&options.theme, theme) {
                continue;
            }
            for (name, screen) in SCREENS {
                if wanted(&options.only, name) {
                    let file = format!("{name}-{size}-{theme}");
                    picture(&scene, at, dark, &file, screen, &options.folder);
                }
            }
        }
    }
}
