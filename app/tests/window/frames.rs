//! How long the window's own work of a frame takes: processor time of its thread, which other
//! programs on the machine do not lengthen much.

use std::sync::Arc;
use std::time::Duration;

use cpu_time::ThreadTime;

use eframe::egui::{Event, MouseWheelSource, MouseWheelUnit, TouchPhase, Vec2};
use inscribe::write::synthetic::{Invented, events};
use inscribe_app::state::Run;
use inscribe_app::vocabulary::Screen;

use crate::desk::{Desk, invented, prefs};

/// Frames that show much take no more than so many times those of an empty page, which cost what
/// this machine makes every frame cost.
const TIMES: u32 = 72;

fn percentile_95(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 95 / 100]
}

/// A frame of the first page: the fastest, and so the one that other programs lengthened least.
fn empty_frame() -> Duration {
    let mut desk = Desk::new();
    let times = (0..60).map(|_| {
        let started = ThreadTime::now();
        desk.window.step();
        started.elapsed()
    });
    times.min().unwrap_or_default()
}

/// Measures until frames are short enough, and no more than a few times: other programs take the
/// processor from this one at times.
fn best_of_tries(most: Duration, mut measure: impl FnMut() -> Duration) -> Duration {
    let mut best = measure();
    for _ in 0..4 {
        if best < most {
            break;
        }
        best = best.min(measure());
    }
    best
}

#[test]
fn frames_stay_short_while_a_document_is_written() {
    let most = TIMES * empty_frame();
    let mut long = prefs();
    long.settings.budget = 100_000;
    long.settings.checkpoint = 64;
    // One processor for the engine, one for the window.
    long.threads = 1;
    let mut desk = Desk::with(long, [1280.0, 800.0].into());
    desk.open_text(2000);
    desk.click("Write into memory");
    desk.wait("some steps", |state| state.run.record.steps.len() > 20);
    let taken = best_of_tries(most, || {
        let times = (0..60).map(|_| {
            std::thread::sleep(Duration::from_millis(5));
            let started = ThreadTime::now();
            desk.window.step();
            started.elapsed()
        });
        percentile_95(times.collect())
    });
    desk.click("Cancel");
    desk.wait("the end", Desk::is_idle);
    println!("a frame during a write: {taken:?} of {most:?} at the 95th percentile");
    assert!(taken < most, "{taken:?} of {most:?}");
}

/// Nobody waits for 100,000 tokens to be read here: their surprisals are invented.
#[test]
fn text_of_a_hundred_thousand_tokens_scrolls_smoothly() {
    let most = TIMES * empty_frame();
    let mut desk = Desk::with(prefs(), [1280.0, 800.0].into());
    let run = Invented {
        tokens: 100_000,
        context: 200_000,
        ..Invented::default()
    };
    let state = &mut desk.window.state_mut().state;
    state.run = Run::of_events(Arc::new(events(&run)));
    state.document = Some(invented(&run, 90_000));
    state.screen = Screen::Write;
    desk.window.run_ok();
    desk.shot("long");
    let pos = eframe::egui::pos2(300.0, 400.0);
    let taken = best_of_tries(most, || {
        let times = (0..60).map(|_| {
            desk.window.event(Event::PointerMoved(pos));
            desk.window.event(Event::MouseWheel {
                unit: MouseWheelUnit::Point,
                delta: Vec2::new(0.0, -400.0),
                phase: TouchPhase::Move,
                source: MouseWheelSource::Unknown,
                modifiers: Default::default(),
            });
            let started = ThreadTime::now();
            desk.window.step();
            started.elapsed()
        });
        percentile_95(times.collect())
    });
    println!("a frame of scrolling: {taken:?} of {most:?} at the 95th percentile");
    assert!(taken < most, "{taken:?} of {most:?}");
    desk.shot("long-scrolled");
}
