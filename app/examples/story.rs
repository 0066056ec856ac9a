//! Drives the window through the whole story on the sample with a real model, and keeps pictures:
//!
//! ```text
//! cargo run --release -p inscribe-app --example story -- FOLDER [WIDTH HEIGHT] [light|dark] [MODEL] [BUDGET]
//! ```

use std::path::PathBuf;
use std::time::{Duration, Instant};

use eframe::egui::accesskit::Role;
use eframe::egui::{Vec2, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use inscribe_app::InscribeApp;
use inscribe_app::action::Selection;
use inscribe_app::app::Options;
use inscribe_app::state::prefs::ThemeChoice;
use inscribe_app::state::{Prefs, State};

struct Story {
    window: Harness<'static, InscribeApp>,
    folder: PathBuf,
    prefix: String,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let text = |at: usize, other: &str| args.get(at).cloned().unwrap_or_else(|| other.to_owned());
    let number = |at, other: &str| text(at, other).parse::<f32>().expect("a number");
    let size = vec2(number(1, "1280"), number(2, "800"));
    let theme = text(3, "light");
    let mut prefs = Prefs {
        device: "cpu".to_owned(),
        theme: if theme == "dark" {
            ThemeChoice::Dark
        } else {
            ThemeChoice::Light
        },
        max_tokens: 32,
        ..Prefs::default()
    };
    prefs.model = text(4, &prefs.model);
    prefs.settings.budget = number(5, "24") as usize;
    prefs.settings.chunk = 256;
    let mut story = Story::new(text(0, "shots").into(), size, &theme, prefs);
    story.tell();
}

impl Story {
    fn new(folder: PathBuf, size: Vec2, theme: &str, prefs: Prefs) -> Story {
        std::fs::create_dir_all(&folder).expect("room");
        let memories = folder.join("memories");
        let _ = std::fs::remove_dir_all(&memories);
        let options = Options {
            memories: Some(memories),
            prefs: Some(prefs),
            ..Options::default()
        };
        let window = Harness::builder()
            .with_size(size)
            .with_theme(match theme {
                "dark" => eframe::egui::Theme::Dark,
                _ => eframe::egui::Theme::Light,
            })
            .with_max_steps(64)
            .allow_missing_glyphs()
            .build_eframe(|context| InscribeApp::new(context, options).expect("threads"));
        Story {
            window,
            folder,
            prefix: format!("{theme}-{}", size.x as u32),
        }
    }

    fn state(&self) -> &State {
        &self.window.state().state
    }

    fn wait(&mut self, what: &str, is_so: impl Fn(&State) -> bool) {
        let started = Instant::now();
        loop {
            self.window.step();
            if is_so(self.state()) {
                break;
            }
            let troubles = &self.state().troubles;
            assert!(troubles.is_empty(), "{what}: {troubles:?}");
            std::thread::sleep(Duration::from_millis(30));
        }
        self.window.run_ok();
        println!("{what}: {:.1} s", started.elapsed().as_secs_f32());
    }

    fn click(&mut self, label: &str) {
        self.window.get_by_label(label).click();
        self.window.run_ok();
    }

    fn shot(&mut self, name: &str) {
        let image = self.window.render().expect("a renderer");
        let path = self.folder.join(format!("{}-{name}.png", self.prefix));
        image.save(&path).expect("room");
        println!("{}", path.display());
    }

    fn tell(&mut self) {
        self.wait("survey", |state| state.survey.is_some());
        self.shot("1-welcome");
        self.click("Try the sample");
        self.wait("sample", |state| state.document.is_some());
        self.shot("2-opened");
        self.click("Read and measure");
        self.wait("half read", |state| {
            state
                .run
                .record
                .progress
                .is_some_and(|p| p.done * 2 > p.total)
        });
        self.shot("3-reading");
        self.wait("measured", |state| state.jobs.is_empty());
        self.shot("4-measured");
        self.window.state_mut().state.selection = Selection::chunk(0, 2);
        let budget = self.state().prefs.settings.budget;
        self.click(&format!("Write {budget} steps"));
        self.wait("half written", |state| {
            state.run.record.steps.len() * 2 > budget
        });
        self.shot("5-writing");
        self.wait("written", |state| state.jobs.is_empty());
        self.window.state_mut().state.note = None;
        self.window.run_ok();
        self.shot("6-written");
        self.click("Ask about it");
        self.window.get_by_label("Question").focus();
        self.window.run_ok();
        let question = "What is this document about?";
        self.window.get_by_label("Question").type_text(question);
        self.window.run_ok();
        self.click("Side by side");
        self.window
            .get_by_role_and_label(Role::Button, "Ask")
            .click();
        self.window.run_ok();
        self.wait("answers", |state| state.jobs.is_empty());
        self.shot("7-asked");
    }
}
