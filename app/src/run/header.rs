//! The run in numbers: its document, how far it is, how fast, how much the loss fell.

use eframe::egui::{CornerRadius, Rect, Role, Sense, Ui, WidgetInfo, vec2};
use inscribe::words;
use inscribe::write::event::Phase;
use inscribe::write::record::{RunRecord, Status};
use inscribe::write::settings::Allocate;

use super::phases;
use crate::theme::{Theme, number, space, text};

pub fn show(ui: &mut Ui, record: &RunRecord) {
    ui.spacing_mut().interact_size.y = 18.0;
    ui.horizontal_wrapped(|ui| {
        let name = record
            .document
            .as_ref()
            .map_or("A run", |d| d.name.as_str());
        ui.label(text::heading(name));
        ui.label(text::caption(facts(record)));
    });
    ui.add_space(space::XS);
    ui.horizontal_wrapped(|ui| {
        let apart = if ui.available_width() < 640.0 {
            space::L
        } else {
            space::XL + space::S
        };
        ui.spacing_mut().item_spacing = vec2(apart, space::M);
        for (value, label) in numbers(record) {
            number(ui, &value, label);
        }
    });
    ui.add_space(space::XS);
    progress(ui, record);
    if record.seconds().total() > 0.0 {
        phases::show(ui, &record.seconds());
    }
}

/// `5,060 tokens · gdwm, utility · SmolLM2 · CPU`.
fn facts(record: &RunRecord) -> String {
    let tokens = record
        .document
        .as_ref()
        .map_or(record.tokens(), |d| d.tokens);
    let mut parts = vec![words::counted(tokens, "token")];
    if let Some(settings) = &record.settings {
        let (method, rule) = (settings.method.title(), rule(settings.allocate));
        parts.push(format!("{method}, steps {rule}"));
    }
    if let Some(model) = &record.model {
        parts.push(model.name.trim_end_matches(".gguf").to_owned());
    }
    if !record.device.is_empty() {
        parts.push(record.device.clone());
    }
    // A line breaks between facts and not within one.
    let whole = parts.iter().map(|part| part.replace(' ', "\u{a0}"));
    whole.collect::<Vec<_>>().join("\u{a0}\u{a0}·\u{a0} ")
}

pub fn rule(allocate: Allocate) -> &'static str {
    match allocate {
        Allocate::Utility => "by utility",
        Allocate::Signed => "by signed utility",
        Allocate::Uniform => "evenly",
        Allocate::Random => "at random",
        Allocate::Topk => "to the top chunks",
        Allocate::Whole => "over the whole document",
    }
}

fn numbers(record: &RunRecord) -> Vec<(String, &'static str)> {
    let mut numbers = vec![(
        format!("{} / {}", record.steps.len(), record.steps_to_take()),
        "steps",
    )];
    if let (Some(before), Some(after)) = (record.loss_before(), record.loss_after()) {
        let (from, to) = (words::number(before), words::number(after));
        numbers.push((format!("{from} → {to}"), "mean loss, nats a token"));
    } else if let Some(before) = record.loss_before() {
        numbers.push((words::number(before), "mean loss before, nats a token"));
    }
    if let (Some(before), Some(after)) = (record.held_out_before(), record.held_out_after()) {
        let (from, to) = (words::number(before), words::number(after));
        numbers.push((format!("{from} → {to}"), "loss of held-out tokens"));
    }
    let done = record.status == Status::Done;
    let rate = if done {
        record.mean_step_rate()
    } else {
        record.step_rate()
    };
    if let Some(rate) = rate {
        numbers.push((words::number(rate), "tokens/s in steps"));
    } else if let Some(rate) = record.prefill_rate() {
        numbers.push((words::number(rate), "tokens/s reading"));
    }
    if done {
        numbers.push((words::duration(record.seconds().total()), "in all"));
    } else if let Some(left) = record.seconds_left() {
        numbers.push((words::rough_duration(left), "left"));
    }
    if let Some(bytes) = record.peak_bytes {
        numbers.push((words::bytes(bytes), "memory at the most"));
    }
    numbers
}

/// A number of two runs, and how they differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    pub name: &'static str,
    pub a: String,
    pub b: String,
    /// The second number less the first.
    pub difference: String,
}

/// What two runs are compared by.
pub fn numbers_of(a: &RunRecord, b: &RunRecord) -> Vec<Pair> {
    let rule_of = |run: &RunRecord| match &run.settings {
        Some(settings) => rule(settings.allocate).to_owned(),
        None => "–".to_owned(),
    };
    let mut pairs = vec![Pair {
        name: "Steps",
        a: format!("{} {}", a.steps.len(), rule_of(a)),
        b: format!("{} {}", b.steps.len(), rule_of(b)),
        difference: String::new(),
    }];
    let mut pair = |name, a: Option<f64>, b: Option<f64>| {
        let (Some(a), Some(b)) = (a, b) else { return };
        let difference = b - a;
        pairs.push(Pair {
            name,
            a: words::number(a),
            b: words::number(b),
            difference: format!("{} nats a token", words::signed(difference)),
        });
    };
    pair("Mean loss after", a.loss_after(), b.loss_after());
    pair("Held out, after", a.held_out_after(), b.held_out_after());
    let (secs_a, secs_b) = (a.seconds().total(), b.seconds().total());
    pairs.push(Pair {
        name: "Time",
        a: words::duration(secs_a),
        b: words::duration(secs_b),
        difference: String::new(),
    });
    pairs
}

/// What goes on, and how much of it is done.
fn progress(ui: &mut Ui, record: &RunRecord) {
    let p = Theme::of(ui).palette;
    let (words, part) = state(record);
    // A document that was only measured waits for nothing.
    let measured_only = record.status == Status::Paused && record.steps.is_empty();
    if record.status == Status::Done || measured_only {
        return;
    }
    ui.horizontal(|ui| {
        let bar_width = (ui.available_width() * 0.4).clamp(120.0, 420.0);
        let (rect, response) = ui.allocate_exact_size(vec2(bar_width, 6.0), Sense::hover());
        let round = CornerRadius::same(3);
        ui.painter().rect_filled(rect, round, p.trough);
        let width = rect.width() * part.clamp(0.0, 1.0) as f32;
        let filled = Rect::from_min_size(rect.min, vec2(width, rect.height()));
        let colour = if record.status == Status::Paused {
            p.warning
        } else {
            p.accent
        };
        ui.painter().rect_filled(filled, round, colour);
        response.widget_info(|| {
            WidgetInfo::labeled(Role::ProgressIndicator, true, format!("Progress: {words}"))
        });
        ui.label(text::caption(words));
    });
}

fn state(record: &RunRecord) -> (String, f64) {
    if record.status == Status::Paused {
        let (done, all) = (record.steps.len(), record.steps_to_take());
        let part = done as f64 / all.max(1) as f64;
        return (format!("Paused after step {done}"), part);
    }
    let Some(now) = record.progress else {
        return ("Waiting".to_owned(), 0.0);
    };
    let part = now.done as f64 / now.total.max(1) as f64;
    let (done, total) = (words::count(now.done), words::count(now.total));
    let words = match now.phase {
        Phase::Prefill => format!("Reading the document: {done} of {total} tokens"),
        Phase::Local => format!("Reading with local context only: {done} of {total} blocks"),
        Phase::Evaluate => format!("Measuring the loss: {done} of {total} chunks"),
        Phase::Steps => format!("Step {done} of {total}"),
        Phase::Save => "Saving".to_owned(),
    };
    (words, part)
}
