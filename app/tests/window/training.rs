//! A small model that is trained in the window, stopped, trained further and tried.

use inscribe_app::state::State;
use inscribe_app::state::bench::MOST_STEPS;
use inscribe_app::state::prefs::ThemeChoice;

use crate::desk::{Desk, prefs};

/// Training that is as small as it can be set.
fn open(mut desk: Desk) -> Desk {
    desk.click("Learn");
    desk.choose("Training");
    desk.slide("Pairs at the end", 1.0);
    desk.slide("Memory rows", 2.0);
    desk.slide("Gradient steps K", 1.0);
    desk
}

fn steps(state: &State) -> usize {
    let run = state.train.run.as_ref();
    run.map_or(0, |run| run.points.len())
}

#[test]
fn a_model_is_trained_stopped_trained_further_and_tried() {
    let mut desk = open(Desk::new());
    desk.shot("train-before");
    let folder = desk.place("pair");
    desk.write_in("Folder of the run", &folder.display().to_string());
    desk.click("Start training");
    desk.wait("some steps", |state| steps(state) > 2);
    desk.click_now("Pause");
    desk.wait("the pause", |state| state.train.paused);
    let paused = steps(desk.state());
    std::thread::sleep(std::time::Duration::from_millis(300));
    desk.window.run_ok();
    assert_eq!(steps(desk.state()), paused);
    assert!(desk.sees("Paused: everything so far is kept"));
    // What goes on is seen from elsewhere.
    desk.click("Replay");
    assert!(desk.sees("Training a model"));
    desk.click("Learn");
    desk.click_now("Go on");
    desk.wait("more steps", |state| steps(state) > paused);
    desk.click_now("Stop");
    desk.wait("the end", Desk::is_idle);
    assert!(desk.sees("Stopped. The model is kept, and its training can go on."));
    for file in ["model.safetensors", "config.json", "training.safetensors"] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    let stopped = steps(desk.state());
    desk.shot("train-stopped");
    desk.window.state_mut().state.train.form.minutes = 0.02;
    desk.click("Go on training");
    desk.wait("the end", Desk::is_idle);
    let run = desk.state().train.run.clone().expect("a run");
    assert!(
        run.done && run.points.len() > stopped,
        "{:?}",
        desk.state().troubles
    );
    assert_eq!(run.kept, run.points.last().map(|point| point.step));
    assert!(
        run.sample
            .is_some_and(|sample| sample.stage.answers.len() == 1)
    );
    assert!(desk.sees("Right answers: curve of"));
    desk.click("Try it on the bench");
    desk.wait("the bench", |state| {
        let written = state.bench.written.as_ref();
        written.is_some_and(|w| w.of.model.is_some() && w.stages.len() == MOST_STEPS + 1)
    });
    desk.get_labels("The memory after 0 steps: 2 vectors of 128 numbers");
    assert!(desk.sees("With the model pair, trained here"));
    desk.click("Take the program’s own");
    assert_eq!(desk.state().bench.most_rows, 8);
    assert!(
        desk.state().troubles.is_empty(),
        "{:?}",
        desk.state().troubles
    );
}

#[test]
fn folders_that_cannot_be_trained_in_are_refused_in_words() {
    let mut desk = open(Desk::new());
    let folder = desk.place("full");
    std::fs::create_dir(&folder).expect("room");
    std::fs::write(folder.join("letter.txt"), "dear").expect("room");
    desk.write_in("Folder of the run", &folder.display().to_string());
    desk.click("Start training");
    desk.wait("the end", Desk::is_idle);
    assert!(desk.sees("Something stands in this folder already"));
    assert!(desk.sees("No training yet"));
    desk.will_pick(&folder);
    desk.click("Go on with a run…");
    desk.wait("the refusal", |state| state.troubles.len() == 2);
    assert!(desk.sees("no run was stopped here"));
    desk.shot("train-refused");
}

#[test]
fn a_new_folder_is_found_for_each_run_and_documents_do_not_end_it() {
    let mut desk = open(Desk::new());
    desk.click("Start training");
    desk.wait("some steps", |state| steps(state) > 1);
    desk.open_text(30);
    desk.click("Learn");
    let before = steps(desk.state());
    desk.wait("more steps", |state| steps(state) > before);
    desk.click_now("Stop");
    desk.wait("the end", Desk::is_idle);
    let first = desk.state().train.run.clone().expect("a run").folder;
    assert!(first.ends_with("models/pairs-1") && first.join("model.safetensors").is_file());
    desk.click("Start training");
    desk.wait("a step", |state| steps(state) > 0);
    let second = desk.state().train.run.clone().expect("a run").folder;
    assert!(second.ends_with("models/pairs-1 2"), "{second:?}");
    desk.click_now("Stop");
    desk.wait("the end", Desk::is_idle);
}

/// A run as long as one that has learned something, drawn at several sizes.
#[test]
fn the_course_of_a_run_is_drawn_at_every_size_in_both_themes() {
    use inscribe::train::bench::draw;
    use inscribe::train::event::Step;
    use inscribe_app::engine::Sample;
    use inscribe_app::state::train::{Point, TrainForm, TrainRun};
    let form = TrainForm {
        pairs: 16,
        ..TrainForm::default()
    };
    let point = |step: u64| {
        let learned = 1.0 - (-(step as f64) / 300.0).exp();
        Point {
            step,
            exact: learned,
            loss: 4.25 * (1.0 - learned),
        }
    };
    for (width, height) in [(960, 640), (1280, 800), (2560, 1440)] {
        for theme in [ThemeChoice::Light, ThemeChoice::Dark] {
            let prefs = inscribe_app::state::Prefs { theme, ..prefs() };
            let mut desk = Desk::with(prefs, [width as f32, height as f32].into());
            desk.click("Learn");
            desk.choose("Writing bench");
            desk.wait("the bench", |state| {
                let written = state.bench.written.as_ref();
                written.is_some_and(|w| w.stages.len() > MOST_STEPS)
            });
            let bench = desk.state().bench.written.clone().expect("written");
            let state = &mut desk.window.state_mut().state;
            state.train.run = Some(TrainRun {
                folder: "/models/pairs-16".into(),
                minutes: 15.0,
                settings: Some(form.settings()),
                points: (1..=900).map(point).collect(),
                stages: vec![(400, 1), (700, 2)],
                kept: Some(900),
                last: Some(Step {
                    step: 900,
                    stage: 2,
                    loss: 0.21,
                    exact: 0.95,
                    by_place: vec![0.99, 0.95],
                    running: 0.951,
                    writing: vec![5.0, 4.2],
                    lr: 5e-4,
                    norm: 0.4,
                    seconds: 540.0,
                }),
                sample: Some(Sample {
                    step: 900,
                    pairs: draw(8, 0),
                    stage: bench.stages[2].clone(),
                }),
                done: true,
                ..TrainRun::default()
            });
            desk.choose("Training");
            desk.shot(&format!("train-{width}x{height}-{theme:?}").to_lowercase());
            let label = desk.label_of("Loss: curve of 900 steps");
            assert_eq!(label, "Loss: curve of 900 steps");
        }
    }
}
