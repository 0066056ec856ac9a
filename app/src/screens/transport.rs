//! The bar at the bottom: what a run will take, how far it is, and the one thing to do next.

use std::path::PathBuf;
use std::time::Instant;

use eframe::egui::{
    Align, Button, CornerRadius, Frame, Label, Layout, Margin, Panel, Rect, Role, Sense, Stroke,
    Ui, WidgetInfo, vec2,
};
use inscribe::words::{self, count, counted};
use inscribe::write::event::Phase;
use inscribe::write::record::RunRecord;

use crate::action::Action;
use crate::engine::Fetch;
use crate::run::phases;
use crate::state::estimate::{self, Estimate};
use crate::state::{Job, ModelState, Pause, State, Task};
use crate::theme::{Theme, primary_button, space, text};
use crate::vocabulary::{PendingOpen, Purpose, Screen};

pub fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let p = Theme::of(ui).palette;
    let frame = Frame::new()
        .fill(p.surface)
        .stroke(Stroke::new(1.0, p.border))
        .inner_margin(Margin::symmetric(space::L as i8, space::M as i8));
    let panel = Panel::bottom("transport")
        .frame(frame)
        .show_separator_line(false);
    panel.show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.set_height(40.0);
            match state.current_job() {
                Some(job) => working(ui, state, job, actions),
                None => ready(ui, state, actions),
            }
        });
    });
}

/// Nothing goes on: what the next step would take, and the button for it.
fn ready(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        buttons(ui, state, actions);
        if !state.prefs.controls_open && ui.button("Settings").clicked() {
            actions.push(Action::Controls(true));
        }
        ui.add_space(space::M);
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            ui.vertical(|ui| {
                ui.spacing_mut().item_spacing.y = 1.0;
                ui.add_space(2.0);
                let (first, second) = outlook(state);
                ui.label(text::strong(first));
                let warns = estimate::estimate(state, None, None).is_some_and(|e| !e.fits());
                let p = Theme::of(ui).palette;
                let words = text::caption(&second);
                let words = if warns { words.color(p.danger) } else { words };
                ui.add(Label::new(words).truncate()).on_hover_text(second);
            });
        });
    });
}

fn buttons(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let budget = state.settings().budget;
    let valid = state.settings().check().is_ok();
    if state.memory_written {
        if primary_button(ui, "Ask about it").clicked() {
            actions.push(Action::Show(Screen::Ask));
        }
        if ui.add_enabled(valid, Button::new("Write again")).clicked() {
            actions.push(Action::Write(None));
        }
        return;
    }
    let stopped = !state.run.record.steps.is_empty() && !state.run.is_done();
    if let Some(folder) = state.memory.clone().filter(|_| stopped) {
        if primary_button(ui, "Go on").clicked() {
            actions.push(Action::Open(PendingOpen::Unfinished(folder.clone())));
        }
        as_it_is(ui, folder, actions);
        if ui.add_enabled(valid, Button::new("Start anew")).clicked() {
            actions.push(Action::Write(None));
        }
        return;
    }
    let measured = state.measured_as_set();
    ui.add_enabled_ui(valid, |ui| {
        if measured {
            if primary_button(ui, &format!("Write {}", counted(budget, "step"))).clicked() {
                actions.push(Action::Write(None));
            }
        } else if primary_button(ui, "Write into memory").clicked() {
            actions.push(Action::Write(None));
        }
        let elsewhere = ui.button("Write to…");
        let hint = "Choose the folder that the memory is to stand in, and write";
        if elsewhere.on_hover_text(hint).clicked() {
            actions.push(Action::Pick(Purpose::WriteTo));
        }
        if !measured {
            let read = ui.button("Read and measure");
            let hint = "Both passes over the document, and no steps yet: shows where it needs \
                        distant context and how the steps would be shared out";
            if read.on_hover_text(hint).clicked() {
                actions.push(Action::Measure);
            }
        }
    });
}

/// The way to a memory of what a stopped write has learned.
pub fn as_it_is(ui: &mut Ui, folder: PathBuf, actions: &mut Vec<Action>) {
    let hint = "Takes no more steps, and makes a memory of what was learned so far";
    if ui.button("Use it as it is").on_hover_text(hint).clicked() {
        actions.push(Action::Open(PendingOpen::AsItIs(folder)));
    }
}

/// What is known before anything starts, in two lines.
fn outlook(state: &State) -> (String, String) {
    let Some(estimate) = estimate::estimate(state, None, None) else {
        return ("Ready".to_owned(), String::new());
    };
    let record = &state.run.record;
    if state.memory_written {
        let learned = match (record.loss_before(), record.loss_after()) {
            (Some(before), Some(after)) => {
                let change = words::nats_change(before, after);
                let (before, after) = (words::nats(before), words::nats(after));
                format!("Mean loss {before} → {after} ({change}) nats a token")
            }
            _ => String::new(),
        };
        return ("The memory is written".to_owned(), learned);
    }
    if state.is_stopped() {
        return stopped(record);
    }
    let first = if state.measured_as_set() {
        let steps = state.preview.total() as usize;
        let chunks = state.preview.steps.iter().map(Vec::len).sum();
        let are = if steps == 1 { "is" } else { "are" };
        format!(
            "{} over {} {are} planned",
            counted(steps, "step"),
            counted(chunks, "chunk")
        )
    } else {
        format!(
            "{}{}{}",
            if estimate.tokens_exact { "" } else { "About " },
            counted(estimate.tokens, "token"),
            parts_words(&estimate),
        )
    };
    (first, costs(&estimate, state.measured_as_set()))
}

/// A write that was stopped: what is done, and what going on would take.
fn stopped(record: &RunRecord) -> (String, String) {
    let (taken, all) = (record.steps.len(), record.steps_to_take());
    let first = format!("{taken} of {} are taken", counted(all, "step"));
    let left = record.seconds_left().map(words::rough_duration);
    let second = left.map(|left| format!("The rest and measuring take about {left}"));
    (first, second.unwrap_or_default())
}

fn parts_words(estimate: &Estimate) -> String {
    match estimate.segments {
        0 | 1 => String::new(),
        parts => format!(", written in {parts} parts that fit the model’s context"),
    }
}

/// Time, memory and what is fetched first.
pub fn costs(estimate: &Estimate, measured: bool) -> String {
    let mut parts = Vec::new();
    if let Some(bytes) = estimate.fetch_bytes {
        parts.push(format!("fetches the model first ({})", words::bytes(bytes)));
    }
    let known = estimate.read_secs.is_finite();
    if known && !measured {
        parts.push(format!(
            "reading {}",
            words::rough_duration(estimate.read_secs)
        ));
    }
    if known {
        parts.push(format!(
            "steps {}",
            words::rough_duration(estimate.steps_secs)
        ));
    }
    if let Some(bytes) = estimate.memory_bytes {
        let of = match estimate.available_bytes {
            Some(there) if !estimate.fits() => {
                format!(", and {} are free: it may not fit", words::bytes(there))
            }
            Some(there) => format!(" ({} free)", words::bytes(there)),
            None => String::new(),
        };
        parts.push(format!("about {} of memory{of}", words::bytes(bytes)));
    }
    let basis = match (estimate.timed, known) {
        (true, _) => "",
        (false, false) => "times are known once it has run here",
        (false, true) => "times are a first guess",
    };
    if !basis.is_empty() {
        parts.push(basis.to_owned());
    }
    let mut text = parts.join("  ·  ");
    if let Some(first) = text.get(..1).map(str::to_uppercase) {
        text.replace_range(..1, &first);
    }
    text
}

fn working(ui: &mut Ui, state: &State, job: Job, actions: &mut Vec<Action>) {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let cancel = match job.task {
            Task::Load => "Stop",
            _ => "Cancel",
        };
        let label = if job.cancelling {
            "Stopping…"
        } else {
            cancel
        };
        if ui
            .add_enabled(!job.cancelling, Button::new(label))
            .clicked()
        {
            actions.push(Action::Cancel);
        }
        if job.task == Task::Write {
            let (label, action) = pausing(state);
            let pause = ui.add_enabled(!job.cancelling, Button::new(label));
            if pause.on_hover_text("Space").clicked() {
                actions.push(action);
            }
        }
        ui.add_space(space::M);
        let width = ui.available_width();
        ui.allocate_ui_with_layout(vec2(width, 40.0), Layout::top_down(Align::Min), |ui| {
            let shown = progress_of(state, job);
            // The time that is left goes on between what the run reports.
            ui.ctx().request_repaint_after_secs(1.0);
            ui.spacing_mut().item_spacing.y = 5.0;
            ui.horizontal(|ui| {
                ui.label(text::strong(&shown.what));
                ui.add(Label::new(text::caption(&shown.detail)).truncate());
            });
            bar(ui, shown.part, &shown.what);
        });
    });
}

/// What the button for it says and does.
fn pausing(state: &State) -> (&'static str, Action) {
    match state.pause {
        Pause::No => ("Pause", Action::Pause),
        Pause::Asked if state.run.record.steps.is_empty() => {
            ("Pauses at the first step", Action::Resume)
        }
        Pause::Asked => ("Pausing…", Action::Resume),
        Pause::Reached => ("Go on", Action::Resume),
    }
}

struct Shown {
    what: String,
    detail: String,
    /// `None` where it is not known.
    part: Option<f32>,
}

fn progress_of(state: &State, job: Job) -> Shown {
    if job.task == Task::Load {
        return loading(&state.model);
    }
    if job.task == Task::Export {
        return Shown {
            what: "Exporting".to_owned(),
            detail: String::new(),
            part: None,
        };
    }
    if job.task == Task::Train {
        let run = state.train.run.as_ref();
        let steps = run.map_or(0, |run| run.points.len());
        return Shown {
            what: "Training a model".to_owned(),
            detail: format!("{}  ·  see Learn", counted(steps, "step")),
            part: run.map(|run| run.part()),
        };
    }
    if matches!(job.task, Task::Ask | Task::Score(_)) {
        let part = state
            .ask
            .reading
            .map(|(done, of)| done as f32 / of.max(1) as f32);
        return Shown {
            what: "Answering".to_owned(),
            detail: String::new(),
            part,
        };
    }
    run_progress(state)
}

/// How far the run is: its phase by name, units of the document, and what is left.
fn run_progress(state: &State) -> Shown {
    let (record, clock) = (&state.run.record, &state.run.clock);
    let paused = state.pause == Pause::Reached;
    let Some(progress) = record.progress else {
        let what = if paused { "Paused" } else { "Beginning" };
        return Shown {
            what: what.to_owned(),
            detail: String::new(),
            part: None,
        };
    };
    let mut details = Vec::new();
    details.extend(match progress.phase {
        Phase::Prefill => Some("the whole document".to_owned()),
        Phase::Local => Some("each word after the nearest ones only".to_owned()),
        Phase::Evaluate if !record.steps.is_empty() => Some("what was learned".to_owned()),
        Phase::Evaluate | Phase::Steps | Phase::Save => None,
    });
    let segments = record.segments.len();
    if segments > 1 {
        details.push(format!("part {} of {segments}", progress.segment + 1));
    }
    let (done, total, unit) = phases::done_of(record, progress);
    if progress.phase != Phase::Save {
        details.push(format!("{} of {}", count(done), counted(total, unit)));
    }
    let rate = match progress.phase {
        Phase::Steps => record.step_rate(),
        Phase::Prefill | Phase::Local => clock.rate(record, total),
        Phase::Evaluate | Phase::Save => None,
    };
    if let Some(rate) = rate.filter(|_| !paused) {
        details.push(format!("{} tokens/s", words::number(rate)));
    }
    if let Some(left) = clock
        .seconds_left(record, Instant::now())
        .filter(|_| !paused)
    {
        details.push(format!("{} left", words::rough_duration(left)));
    }
    let what = if paused {
        "Paused: everything so far is kept"
    } else {
        progress.phase.name()
    };
    Shown {
        what: what.to_owned(),
        detail: details.join("  ·  "),
        part: Some(progress.done as f32 / progress.total.max(1) as f32),
    }
}

/// How far a model is that is being fetched or loaded.
fn loading(model: &ModelState) -> Shown {
    match model {
        ModelState::Loading { done, total } => Shown {
            what: "Loading the model".to_owned(),
            detail: format!("{} of {}", words::bytes(*done), words::bytes(*total)),
            part: Some(*done as f32 / (*total).max(1) as f32),
        },
        ModelState::Fetching(fetch) if !fetch.label.is_empty() => Shown {
            what: match fetch.label.as_str() {
                "checking" => "Checking the model".to_owned(),
                _ => "Fetching the model".to_owned(),
            },
            detail: fetch_words(fetch),
            part: fetch
                .total
                .map(|total| fetch.done as f32 / total.max(1) as f32),
        },
        _ => Shown {
            what: "Opening the model".to_owned(),
            detail: String::new(),
            part: None,
        },
    }
}

fn fetch_words(fetch: &Fetch) -> String {
    let mut parts = Vec::new();
    if !fetch.source.is_empty() && fetch.label != "checking" {
        parts.push(format!("from {}", fetch.source));
    }
    parts.push(match fetch.total {
        Some(total) => format!("{} of {}", words::bytes(fetch.done), words::bytes(total)),
        None => words::bytes(fetch.done),
    });
    if let Some(speed) = fetch.speed {
        parts.push(format!("{}/s", words::bytes(speed as u64)));
        let left = fetch
            .total
            .map(|total| total.saturating_sub(fetch.done) as f64 / speed.max(1.0));
        if let Some(left) = left.filter(|_| fetch.label != "checking") {
            parts.push(format!("{} left", words::rough_duration(left)));
        }
    }
    parts.extend(fetch.note.clone());
    parts.join("  ·  ")
}

/// How far it is; a piece that goes to and fro where that is not known, as a sign of life.
fn bar(ui: &mut Ui, part: Option<f32>, label: &str) {
    let p = Theme::of(ui).palette;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 6.0), Sense::hover());
    let percent = part.map(|part| (part.clamp(0.0, 1.0) * 100.0).round());
    let words = match percent {
        Some(percent) => format!("{label}: {percent} %"),
        None => label.to_owned(),
    };
    response.widget_info(|| WidgetInfo::labeled(Role::ProgressIndicator, true, &words));
    let round = CornerRadius::same(3);
    ui.painter().rect_filled(rect, round, p.trough);
    let (from, to) = match part {
        Some(part) => (0.0, part.clamp(0.0, 1.0)),
        None => to_and_fro(ui),
    };
    let x = |part: f32| rect.left() + rect.width() * part;
    let done = Rect::from_x_y_ranges(x(from)..=x(to), rect.y_range());
    ui.painter().rect_filled(done, round, p.accent);
}

fn to_and_fro(ui: &Ui) -> (f32, f32) {
    const SECONDS: f64 = 3.0;
    const LENGTH: f64 = 0.18;
    ui.ctx().request_repaint_after_secs(0.05);
    let turn = ui.input(|input| input.time) / SECONDS * std::f64::consts::TAU;
    let from = (1.0 - LENGTH) * (0.5 - 0.5 * turn.cos());
    (from as f32, (from + LENGTH) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_honest_about_what_is_guessed() {
        let estimate = Estimate {
            tokens: 5000,
            read_secs: 12.0,
            steps_secs: 100.0,
            memory_bytes: Some(400_000_000),
            available_bytes: Some(8_000_000_000),
            fetch_bytes: Some(98_000_000),
            ..Estimate::default()
        };
        let words = costs(&estimate, false);
        assert!(
            words.starts_with("Fetches the model first (98 MB)"),
            "{words}"
        );
        assert!(words.contains("first guess"), "{words}");
        let timed = Estimate {
            timed: true,
            available_bytes: Some(100),
            ..estimate
        };
        let words = costs(&timed, true);
        assert!(
            !words.contains("guess") && !words.contains("reading"),
            "{words}"
        );
        assert!(words.contains("may not fit"), "{words}");
    }
}
