//! Training a small model to be written to: what to train, how it goes, what it answers.

mod curve;

use std::path::PathBuf;

use eframe::egui::{
    Button, DragValue, Label, ProgressBar, Role, ScrollArea, Slider, TextEdit, Ui, WidgetInfo, vec2,
};
use inscribe::train::bench::MOST_PAIRS;
use inscribe::words;

use super::{answers, percent};
use crate::action::Action;
use crate::screens::controls;
use crate::state::train::TrainRun;
use crate::state::{State, Task};
use crate::theme::{Theme, card, empty, number, primary_button, section, space, text};
use crate::vocabulary::Purpose;

/// Width of the card with the settings.
const FORM: f32 = 284.0;
const WIDEST: f32 = 1800.0;
/// The most memory rows and gradient steps that are offered.
const MOST_ROWS: usize = 16;
const MOST_STEPS: usize = 5;

pub fn show(ui: &mut Ui, state: &mut State, actions: &mut Vec<Action>) {
    let area = ScrollArea::vertical().id_salt("train");
    area.auto_shrink([false, false]).show(ui, |ui| {
        let width = ui.available_width().min(FORM + space::L + WIDEST);
        ui.set_max_width(width);
        let lead = "Here a model learns to be written to, from nothing: it is given pairs, writes \
                    them into its memory by gradient steps, answers from that, and is changed so \
                    that the same steps would have led to better answers. Four pairs take some \
                    hundred training steps.";
        ui.add(Label::new(lead).wrap());
        ui.add_space(space::S);
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = space::L;
            ui.allocate_ui(vec2(FORM, 0.0), |ui| {
                ui.set_width(FORM);
                ui.spacing_mut().item_spacing.x = space::S;
                ui.vertical(|ui| card(ui, |ui| form(ui, state, actions)));
            });
            ui.vertical(|ui| {
                ui.set_width(ui.available_width());
                ui.spacing_mut().item_spacing.x = space::S;
                match &state.train.run {
                    Some(run) => course(ui, state, run, actions),
                    None => {
                        let what = "The course of the training and samples of its answers appear \
                                    here.";
                        card(ui, |ui| empty(ui, "No training yet", what));
                    }
                }
            });
        });
    });
}

fn form(ui: &mut Ui, state: &mut State, actions: &mut Vec<Action>) {
    let busy = state.is_busy_with(Task::Train);
    section(
        ui,
        "What to train",
        "A net of 4 layers and 1 million numbers",
    );
    ui.spacing_mut().item_spacing.y = 2.0;
    ui.add_enabled_ui(!busy, |ui| {
        let form = &mut state.train.form;
        let slider = Slider::new(&mut form.pairs, 1..=MOST_PAIRS);
        let what = "Above 4, it begins with 4 and doubles.";
        controls::slider(ui, "Pairs at the end", what, slider);
        let slider = Slider::new(&mut form.memory_rows, 1..=MOST_ROWS);
        controls::slider(ui, "Memory rows", "Vectors they are written into.", slider);
        let slider = Slider::new(&mut form.inner_steps, 1..=MOST_STEPS);
        let what = "Steps on the memory that it learns through.";
        controls::slider(ui, "Gradient steps K", what, slider);
        ui.horizontal(|ui| {
            let label = ui.label("Minutes");
            let value = DragValue::new(&mut form.minutes).range(0.1..=6000.0);
            ui.add(value.max_decimals(1)).labelled_by(label.id);
        });
        ui.label(text::caption("Also the time of a run that goes on."));
        ui.add_space(space::M);
        folder(ui, &mut form.folder, actions);
    });
    ui.add_space(space::M);
    if busy {
        ui.label(text::caption("This can be set once the run has ended."));
        return;
    }
    if primary_button(ui, "Start training").clicked() {
        actions.push(Action::Train);
    }
    ui.add_space(space::S);
    let more = ui.button("Go on with a run…");
    let hint = "Choose the folder of a run that was stopped; it goes on as it was set";
    if more.on_hover_text(hint).clicked() {
        actions.push(Action::Pick(Purpose::GoOnTraining));
    }
}

fn folder(ui: &mut Ui, value: &mut String, actions: &mut Vec<Action>) {
    ui.label("Folder");
    ui.add_space(2.0);
    ui.horizontal(|ui| {
        let width = ui.available_width() - 92.0;
        let field = TextEdit::singleline(value)
            .hint_text("a new one")
            .desired_width(width);
        let field = ui.add(field);
        field.widget_info(|| {
            let mut info = WidgetInfo::new(Role::TextInput);
            info.label = Some("Folder of the run".to_owned());
            info.current_text_value = Some(value.clone());
            info
        });
        if ui.button("Choose…").clicked() {
            actions.push(Action::Pick(Purpose::TrainInto));
        }
    });
}

/// How the run goes, or went.
fn course(ui: &mut Ui, state: &State, run: &TrainRun, actions: &mut Vec<Action>) {
    card(ui, |ui| {
        heading(ui, state, run, actions);
        ui.add_space(space::S);
        numbers(ui, run);
        ui.add_space(space::XS);
        let folder = run.folder.display();
        let kept = run.kept.map_or("nothing yet".to_owned(), |step| {
            format!("everything up to step {step}")
        });
        let words = format!("Kept in {folder}: {kept}");
        ui.add(Label::new(text::caption(words)).truncate());
    });
    if run.points.is_empty() {
        return;
    }
    card(ui, |ui| curve::exact(ui, run));
    card(ui, |ui| curve::loss(ui, run));
    if let Some(sample) = &run.sample {
        card(ui, |ui| {
            let step = words::count(usize::try_from(sample.step).unwrap_or(0));
            let steps = words::counted(sample.stage.step, "gradient step");
            let words = format!(
                "After training step {step}: new pairs, written with {steps}. Below each answer \
                 the probability of the right one"
            );
            section(ui, "Samples of its answers", &words);
            answers::show(ui, &sample.pairs, &sample.stage);
        });
    }
}

fn heading(ui: &mut Ui, state: &State, run: &TrainRun, actions: &mut Vec<Action>) {
    let train = &state.train;
    let jobs = state.jobs.values().find(|job| job.task == Task::Train);
    let waits = run.last.is_none() && state.jobs.values().any(|job| job.task != Task::Train);
    let what = match jobs {
        Some(job) if job.cancelling => "Stopping after this step",
        Some(_) if train.paused => "Paused: everything so far is kept",
        Some(_) if train.is_to_pause() => "Pausing after this step",
        Some(_) if waits => "Waiting for what the engine does at present",
        Some(_) if run.last.is_none() => "Beginning",
        Some(_) => "Training",
        None if run.done => "Trained",
        None => "Stopped",
    };
    ui.horizontal(|ui| {
        ui.label(text::heading(what));
        ui.add_space(space::S);
        match jobs {
            Some(job) => {
                let pauses = train.is_to_pause();
                let label = if pauses { "Go on" } else { "Pause" };
                let on = !job.cancelling;
                if ui.add_enabled(on, Button::new(label)).clicked() {
                    actions.push(Action::PauseTraining(!pauses));
                }
                if ui.add_enabled(on, Button::new("Stop")).clicked() {
                    actions.push(Action::StopTraining);
                }
            }
            None => ended(ui, run, actions),
        }
    });
    let p = Theme::of(ui).palette;
    if jobs.is_some() {
        let left = (60.0 * run.minutes - run.seconds()).max(0.0);
        let bar = ProgressBar::new(run.part()).fill(p.accent);
        let bar = ui.add(bar.desired_height(6.0));
        let words = format!("At most {} left", words::rough_duration(left));
        bar.widget_info(|| WidgetInfo::labeled(Role::ProgressIndicator, true, &words));
        ui.label(text::caption(&words));
    }
}

/// What can be done with a run that does not go on.
fn ended(ui: &mut Ui, run: &TrainRun, actions: &mut Vec<Action>) {
    if run.kept.is_none() {
        return;
    }
    let folder = || -> PathBuf { run.folder.clone() };
    if primary_button(ui, "Try it on the bench").clicked() {
        actions.push(Action::TryOnBench(folder()));
    }
    let more = ui.button("Go on training");
    if more
        .on_hover_text("For as many minutes as are set")
        .clicked()
    {
        actions.push(Action::GoOnTraining(folder()));
    }
}

fn numbers(ui: &mut Ui, run: &TrainRun) {
    let Some(last) = &run.last else {
        return;
    };
    let stages = run
        .settings
        .as_ref()
        .map_or(&[][..], |settings| &settings.stages);
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = space::XL;
        let step = words::count(usize::try_from(last.step).unwrap_or(0));
        number(ui, &step, "training steps");
        if let Some(stage) = stages.get(last.stage) {
            let what = format!("pairs, stage {} of {}", last.stage + 1, stages.len());
            number(ui, &stage.level.to_string(), &what);
        }
        number(ui, &percent(last.running as f32), "right, running share");
        number(ui, &words::nats(last.loss), "loss, nats a token");
        number(ui, &words::duration(last.seconds), "trained");
    });
}
