//! Draws every view of a run to pictures, to be looked at: `screens FOLDER [NAME]`.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use eframe::egui::{self, Ui, vec2};
use egui_kittest::Harness;
use inscribe::write::run::RunRecord;
use inscribe::write::synthetic::{Invented, events};
use inscribe_app::action::Selection;
use inscribe_app::compare::Compare;
use inscribe_app::replay::Replay;
use inscribe_app::replay::load::{self, Source};
use inscribe_app::replay::player::Player;
use inscribe_app::run::{RunView, Shown};
use inscribe_app::teach::Teach;
use inscribe_app::theme;

const SIZES: [(f32, f32, f32); 4] = [
    (1024.0, 700.0, 1.0),
    (1280.0, 800.0, 1.0),
    (2560.0, 1440.0, 1.0),
    // 200 % on the second.
    (1280.0, 800.0, 2.0),
];

type Draw = Box<dyn FnMut(&mut Ui)>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("name a folder")?;
    let only = arguments.next();
    let sizes = arguments
        .next()
        .map_or(SIZES.len(), |n| n.parse().unwrap_or(1));
    std::fs::create_dir_all(&folder)?;
    for (name, make) in screens() {
        if only
            .as_ref()
            .is_some_and(|only| !name.contains(only.as_str()))
        {
            continue;
        }
        for (width, height, scale) in SIZES.into_iter().take(sizes) {
            for dark in [false, true] {
                let theme = if dark { "dark" } else { "light" };
                let file = format!("{name}-{width}x{height}@{scale}-{theme}.png");
                picture(
                    &Path::new(&folder).join(&file),
                    width,
                    height,
                    scale,
                    dark,
                    make(),
                )?;
                println!("{file}");
            }
        }
    }
    Ok(())
}

fn picture(
    file: &Path,
    width: f32,
    height: f32,
    scale: f32,
    dark: bool,
    mut draw: Draw,
) -> Result<()> {
    let wanted = if dark {
        egui::Theme::Dark
    } else {
        egui::Theme::Light
    };
    let mut harness = Harness::builder()
        .with_size(vec2(width, height))
        .with_pixels_per_point(scale)
        .with_context_setup(move |ctx| {
            theme::install(ctx);
            ctx.set_theme(wanted);
        })
        .with_theme(wanted)
        .allow_missing_glyphs()
        .build_ui(move |ui| {
            let fill = ui.visuals().panel_fill;
            let frame = egui::Frame::new().fill(fill).inner_margin(theme::space::L);
            egui::CentralPanel::default()
                .frame(frame)
                .show(ui, |ui| draw(ui));
        });
    harness.run_ok();
    let image = harness.render().map_err(|error| anyhow!(error))?;
    image.save(file)?;
    Ok(())
}

/// A screen's name, and what draws it.
type Screen = (&'static str, fn() -> Draw);

fn screens() -> Vec<Screen> {
    vec![
        ("run", || run_of(Invented::default(), Some(4))),
        ("run-nothing-chosen", || run_of(Invented::default(), None)),
        ("run-live", || {
            let run = Invented {
                stop_after: Some(20),
                ..Invented::default()
            };
            run_of(run, Some(2))
        }),
        ("run-one", || {
            run_of(
                Invented {
                    tokens: 900,
                    budget: 6,
                    ..Invented::default()
                },
                Some(0),
            )
        }),
        ("run-five", || {
            run_of(
                Invented {
                    tokens: 5000,
                    ..Invented::default()
                },
                Some(1),
            )
        }),
        ("run-hundred", || {
            let run = Invented {
                tokens: 102_400,
                context: 131_072,
                budget: 2000,
                ..Invented::default()
            };
            run_of(run, Some(40))
        }),
        ("replay-welcome", || replay(None)),
        ("replay", || replay(Some(0.6))),
        ("compare", compare),
        ("teach-1", || teach(0)),
        ("teach-2", || teach(1)),
        ("teach-3", || teach(2)),
        ("teach-4", || teach(3)),
        ("teach-5", || teach(4)),
        ("teach-6", || teach(5)),
        ("teach-7", || teach(6)),
        ("run-empty", || {
            show_run(RunRecord::default(), Selection::default())
        }),
    ]
}

/// The player, at a part of the sample run.
fn replay(at: Option<f64>) -> Draw {
    let mut screen = Replay::default();
    let mut selection = Selection::chunk(0, 6);
    if let (Some(at), Ok(run)) = (at, load::read(&Source::Sample)) {
        let mut player = Player::new(run.name, run.events);
        player.seek(player.length() * at);
        screen.player = Some(player);
    }
    Box::new(move |ui| {
        screen.show(ui, &mut selection);
    })
}

fn compare() -> Draw {
    let mut screen = Compare::default();
    let mut selection = Selection::chunk(0, 6);
    let mut opened = false;
    Box::new(move |ui| {
        if !std::mem::replace(&mut opened, true) {
            let ctx = ui.ctx().clone();
            screen.open_samples(&ctx);
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        screen.show(ui, None, &mut selection);
    })
}

fn teach(page: usize) -> Draw {
    let mut screen = Teach::default();
    screen.go_to(page);
    let run = load::read(&Source::Sample)
        .map(|run| run.events)
        .unwrap_or_default();
    let record = RunRecord::from_events(&run);
    Box::new(move |ui| screen.show(ui, Some((&record, 1)), &Selection::default()))
}

fn run_of(run: Invented, chosen: Option<usize>) -> Draw {
    let record = RunRecord::from_events(&events(&run));
    let selection = chosen.map_or(Selection::default(), |chunk| Selection::chunk(0, chunk));
    show_run(record, selection)
}

fn show_run(record: RunRecord, mut selection: Selection) -> Draw {
    let mut view = RunView::default();
    Box::new(move |ui| {
        let area = egui::ScrollArea::vertical().auto_shrink([false, false]);
        area.show(ui, |ui| {
            view.show(ui, Shown::new(&record, 1), &mut selection)
        });
    })
}
