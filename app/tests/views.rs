//! Drives the views of runs by their labels: the strips and a chunk by itself, the player, two
//! runs compared, the walk through the method.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use eframe::egui::{self, Key, Ui, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use inscribe::write::record::{RunRecord, Status};
use inscribe::write::synthetic::{Invented, events};
use inscribe_app::compare::{self, Compare};
use inscribe_app::replay::load::{self, Source};
use inscribe_app::replay::player::Player;
use inscribe_app::replay::{Ask, Replay};
use inscribe_app::run::{RunView, Shown};
use inscribe_app::teach::Teach;
use inscribe_app::theme;
use inscribe_app::vocabulary::{Selection, Side};

const SIZE: (f32, f32) = (1280.0, 800.0);

fn harness<'a>(dark: bool, mut draw: impl FnMut(&mut Ui) + 'a) -> Harness<'a> {
    let wanted = if dark {
        egui::Theme::Dark
    } else {
        egui::Theme::Light
    };
    Harness::builder()
        .with_size(vec2(SIZE.0, SIZE.1))
        .with_theme(wanted)
        .with_context_setup(move |ctx| {
            theme::install(ctx);
            ctx.set_theme(wanted);
        })
        // Titles in scripts that the shipped fonts lack.
        .allow_missing_glyphs()
        .build_ui(move |ui| {
            egui::CentralPanel::default().show(ui, |ui| {
                draw(ui);
            });
        })
}

fn invented(run: Invented) -> RunRecord {
    RunRecord::from_events(&events(&run))
}

/// A run's views, and what is chosen in them.
fn run_harness(record: RunRecord) -> (Harness<'static>, Rc<RefCell<Selection>>) {
    let chosen = Rc::new(RefCell::new(Selection::default()));
    let (selection, mut view) = (chosen.clone(), RunView::default());
    let harness = harness(false, move |ui| {
        let area = egui::ScrollArea::vertical().auto_shrink([false, false]);
        let selection = &mut selection.borrow_mut();
        area.show(ui, |ui| view.show(ui, Shown::new(&record, 1), selection));
    });
    (harness, chosen)
}

#[test]
fn a_chunk_is_chosen_by_click_and_by_keys() {
    let (mut harness, chosen) = run_harness(invented(Invented::default()));
    harness.run();
    harness.get_by_label_contains("Chunk 3: ").click();
    harness.run();
    assert_eq!(*chosen.borrow(), Selection::chunk(0, 2));
    harness.get_by_label("Chunk 3");
    for (key, chunk) in [
        (Key::ArrowRight, 3),
        (Key::ArrowLeft, 2),
        (Key::End, 12),
        (Key::ArrowRight, 12),
        (Key::Home, 0),
    ] {
        harness.key_press(key);
        harness.run();
        assert_eq!(*chosen.borrow(), Selection::chunk(0, chunk), "{key:?}");
    }
    harness.get_by_label("Next chunk").click();
    harness.run();
    assert_eq!(*chosen.borrow(), Selection::chunk(0, 1));
    harness.key_press(Key::Escape);
    harness.run();
    assert_eq!(chosen.borrow().chunk, None);
}

#[test]
fn chunks_of_several_parts_are_told_apart() {
    let run = Invented {
        tokens: 9000,
        context: 4096,
        ..Invented::default()
    };
    let (mut harness, chosen) = run_harness(invented(run));
    harness.run();
    harness.get_by_label_contains("Chunk 1 of part 2: ").click();
    harness.run();
    assert_eq!(*chosen.borrow(), Selection::chunk(1, 0));
    harness.key_press(Key::ArrowLeft);
    harness.run();
    assert_eq!(*chosen.borrow(), Selection::chunk(0, 3));
}

#[test]
fn every_run_is_drawn_whatever_it_lacks() {
    let whole = events(&Invented::default());
    for length in [0, 1, 2, 3, 4, 5, 6, 7, 20, whole.len()] {
        let record = RunRecord::from_events(&whole[..length]);
        let (mut harness, _) = run_harness(record);
        harness.run();
    }
    for run in [
        Invented {
            tokens: 300,
            budget: 1,
            ..Invented::default()
        },
        Invented {
            tokens: 5000,
            budget: 0,
            titles: false,
            ..Invented::default()
        },
        Invented {
            tokens: 102_400,
            context: 131_072,
            budget: 2000,
            ..Invented::default()
        },
    ] {
        let (mut harness, _) = run_harness(invented(run));
        harness.run();
    }
}

/// A value that a harness and its test share.
type Shared<T> = Rc<RefCell<T>>;

fn steps_shown(screen: &Shared<Replay>) -> usize {
    let screen = screen.borrow();
    screen.player.as_ref().unwrap().record().steps.len()
}

/// A player's screen, and what it asked for.
fn replay_harness(screen: Replay) -> (Harness<'static>, Shared<Replay>, Shared<Option<Ask>>) {
    let screen = Rc::new(RefCell::new(screen));
    let asked = Rc::new(RefCell::new(None));
    let (shown, heard) = (screen.clone(), asked.clone());
    let harness = harness(false, move |ui| {
        if let Some(ask) = shown.borrow_mut().show(ui, &[]) {
            *heard.borrow_mut() = Some(ask);
        }
    });
    (harness, screen, asked)
}

/// Nothing that works takes so long, however slow the machine.
const HANGS: Duration = Duration::from_secs(300);

/// Draws until what is read in the background is there.
fn until(harness: &mut Harness<'_>, ready: impl Fn() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < HANGS, "still waiting");
        std::thread::sleep(Duration::from_millis(5));
        harness.step();
    }
}

#[test]
fn the_sample_run_plays_with_no_model() {
    let (mut harness, screen, asked) = replay_harness(Replay::default());
    harness.step();
    harness.get_by_label("Open a saved run…").click();
    harness.step();
    assert_eq!(*asked.borrow(), Some(Ask::OpenRun));
    harness.get_by_label("Play the sample run").click();
    harness.step();
    until(&mut harness, || screen.borrow().player.is_some());
    let clock = || screen.borrow().player.as_ref().map_or(0.0, Player::clock);
    assert!(screen.borrow().player.as_ref().unwrap().is_playing());
    harness.step();
    let before = clock();
    harness.step();
    assert!(clock() > before);
    harness.get_by_label("Pause").click();
    harness.run_steps(3);
    let paused = clock();
    harness.run_steps(3);
    assert_eq!(clock(), paused);
    harness.get_by_label("128×").click();
    harness.run_steps(3);
    assert_eq!(screen.borrow().player.as_ref().unwrap().speed(), 128.0);
    // To the middle of the run by its time line.
    harness.get_by_label("Moment of the run, seconds").click();
    harness.run_steps(3);
    let length = screen.borrow().player.as_ref().unwrap().length();
    assert!(
        (clock() / length - 0.5).abs() < 0.02,
        "{} of {length}",
        clock()
    );
    let steps = steps_shown(&screen);
    harness.get_by_label("Step on").click();
    harness.run_steps(3);
    assert_eq!(steps_shown(&screen), steps + 1);
    harness.get_by_label("Step back").click();
    harness.run_steps(3);
    assert_eq!(steps_shown(&screen), steps);
    harness.get_by_label("Play").click();
    harness.step();
    until(&mut harness, || {
        !screen.borrow().player.as_ref().unwrap().is_playing()
    });
    let status = screen.borrow().player.as_ref().unwrap().record().status;
    assert_eq!(status, Status::Done);
}

#[test]
fn a_file_that_is_no_run_is_an_error_in_place() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("empty.jsonl", &b""[..]),
        ("binary.jsonl", &[0u8, 255, 3, 7, 10, 200][..]),
        ("text.jsonl", b"no events here\nnor here\n"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let (mut harness, screen, _) = replay_harness(Replay::default());
        let ctx = harness.ctx.clone();
        screen.borrow_mut().open(&ctx, Source::Path(path));
        until(&mut harness, || !screen.borrow().is_loading());
        harness.step();
        harness.get_by_label_contains(name);
        assert!(screen.borrow().player.is_none());
    }
}

#[test]
fn two_runs_stand_side_by_side() {
    let screen = Rc::new(RefCell::new(Compare::default()));
    let asked = Rc::new(RefCell::new(None));
    let (shown, heard) = (screen.clone(), asked.clone());
    let own = invented(Invented::default());
    let mut harness = harness(false, move |ui| {
        let current = Some((&own, 1));
        let ask = shown.borrow_mut().show(ui, current, &[]);
        if ask.is_some() {
            *heard.borrow_mut() = ask;
        }
    });
    harness.step();
    harness.get_by_label("Compare the sample runs").click();
    harness.step();
    until(&mut harness, || !screen.borrow().is_loading());
    harness.run();
    harness.get_by_label_contains("A, Chunk 5").click();
    harness.run();
    assert_eq!(screen.borrow().selection(), Selection::chunk(0, 4));
    harness.get_by_label_contains("Steps, Chunk 5");
    assert!(
        harness
            .query_all_by_label_contains("Both did about as well")
            .next()
            .is_some()
    );
    // Another run in the place of A: its chunks are others, so nothing is drawn of differences.
    screen.borrow_mut().show_current(Side::A);
    harness.run();
    harness.get_by_label_contains("no difference to draw");
    harness.get_by_label("Run B").click();
    harness.run();
    harness.get_by_label("From a file…").click();
    harness.run();
    assert_eq!(*asked.borrow(), Some(compare::Ask::OpenRun(Side::B)));
}

#[test]
fn the_walk_goes_page_by_page() {
    let screen = Rc::new(RefCell::new(Teach::default()));
    let shown = screen.clone();
    let run = load::read(&Source::Sample).unwrap();
    let record = RunRecord::from_events(&run.events);
    let mut harness = harness(false, move |ui| {
        shown
            .borrow_mut()
            .show(ui, Some((&record, 1)), None, &Selection::chunk(0, 4));
    });
    harness.run();
    for page in 1..7 {
        harness.get_by_label("Next").click();
        harness.run();
        assert_eq!(screen.borrow().page(), page);
    }
    assert!(harness.query_by_label("Next").is_none());
    harness.get_by_label("Back").click();
    harness.run();
    assert_eq!(screen.borrow().page(), 5);
    harness.get_by_label_contains("Page 3: ").click();
    harness.run();
    // The formula holds this document's number.
    harness.get_by_label_contains("U_5");
    harness.key_press(Key::PageDown);
    harness.run();
    assert_eq!(screen.borrow().page(), 3);
}

#[test]
fn the_walk_takes_the_sample_where_there_is_no_run() {
    let mut screen = Teach::default();
    let mut harness = harness(true, move |ui| {
        screen.show(ui, None, None, &Selection::default());
    });
    let start = Instant::now();
    while harness.query_by_label("Next").is_none() {
        assert!(start.elapsed() < HANGS);
        std::thread::sleep(Duration::from_millis(5));
        harness.step();
    }
    harness.get_by_label_contains("With the numbers of the sample");
}

/// One frame's own work at the size of a long document: 100 chunks, 2,000 steps, 100,000 tokens.
#[test]
fn a_long_run_is_drawn_quickly() {
    let median = |run: Invented| {
        let (mut harness, chosen) = run_harness(invented(run));
        harness.run_steps(5);
        let mut times: Vec<Duration> = (0..40)
            .map(|at| {
                *chosen.borrow_mut() = Selection::chunk(0, at * 2);
                let start = ThreadTime::now();
                harness.step();
                start.elapsed()
            })
            .collect();
        times.sort();
        times[20]
    };
    let long = median(Invented {
        tokens: 102_400,
        context: 131_072,
        budget: 2000,
        ..Invented::default()
    });
    let short = median(Invented::default());
    println!("a frame of 100 chunks and 2,000 steps: {long:?}, of a short run: {short:?}");
    // Work that grew with the square of either would take hundreds of times as long.
    assert!(long < 30 * short, "{long:?} beside {short:?}");
}

/// Made with Mesa's llvmpipe.
fn picture_options() -> egui_kittest::SnapshotOptions {
    egui_kittest::SnapshotOptions::new()
        .threshold(1.2)
        // Edges of letters fall otherwise on other drivers.
        .max_failed_pixels(600)
}

#[test]
fn the_strips_look_as_they_did() {
    let record = invented(Invented::default());
    let mut view = RunView::default();
    let mut selection = Selection::chunk(0, 9);
    let mut harness = harness(true, move |ui| {
        view.strips(ui, Shown::new(&record, 1), None, &mut selection);
    });
    harness.set_size(vec2(820.0, 430.0));
    harness.run();
    harness.snapshot_options("strips-dark", &picture_options());
}

#[test]
fn the_walk_looks_as_it_did() {
    let run = load::read(&Source::Sample).unwrap();
    let record = RunRecord::from_events(&run.events);
    let mut screen = Teach::default();
    screen.go_to(4);
    let mut harness = harness(false, move |ui| {
        screen.show(ui, Some((&record, 1)), None, &Selection::chunk(0, 9));
    });
    harness.set_size(vec2(1024.0, 560.0));
    harness.run();
    harness.snapshot_options("walk-light", &picture_options());
}
