//! The run in a line: what it does at the moment, or what it came to.

use eframe::egui::{Label, Ui, vec2};
use inscribe::words;
use inscribe::write::event::Phase;
use inscribe::write::record::{RunRecord, Status};
use inscribe::write::settings::Allocate;

use super::figures::Figures;
use super::{Shown, phases};
use crate::theme::{number, number_width, space, text};

/// Two parts of a sentence: what is so, and what that means.
type Line = (String, String);

pub fn show(ui: &mut Ui, run: Shown<'_>, figures: &Figures) {
    let record = run.record;
    ui.spacing_mut().interact_size.y = 18.0;
    if run.named {
        named(ui, record);
    }
    let done = record.status == Status::Done;
    if !done {
        let (what, detail) = line(run, figures);
        ui.horizontal(|ui| {
            ui.label(text::strong(&what));
            let words = Label::new(text::caption(&detail)).truncate();
            ui.add(words).on_hover_text(detail);
        });
    }
    if done {
        numbers_row(ui, &numbers(record));
        ui.add_space(space::XS);
        phases::show(ui, &record.seconds());
    }
}

/// The document and what it was written with, where no other part of the screen says it.
fn named(ui: &mut Ui, record: &RunRecord) {
    let name = record
        .document
        .as_ref()
        .map_or("A run", |d| d.name.as_str());
    let facts = facts(record);
    ui.horizontal(|ui| {
        let most = ui.available_width() * 0.5;
        ui.scope(|ui| {
            ui.set_max_width(most);
            ui.add(Label::new(text::heading(name)).truncate());
        });
        ui.add(Label::new(text::caption(&facts)).truncate())
            .on_hover_text(facts);
    });
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

/// What a run does that is not at its end.
fn line(run: Shown<'_>, figures: &Figures) -> Line {
    let record = run.record;
    let (taken, all) = (record.steps.len(), record.steps_to_take());
    let of_all = || format!("{taken} of {}", words::counted(all, "step"));
    let again = || match taken {
        0 => String::new(),
        _ => format!("  ·  {} are taken", of_all()),
    };
    if record.status == Status::Paused && taken > 0 {
        return (
            format!("Paused after {}", of_all()),
            learned(record, figures),
        );
    }
    let going_on = record.status == Status::Running;
    let phase = record.progress.map(|now| now.phase).filter(|_| going_on);
    match phase {
        Some(Phase::Prefill) => {
            let how = "each word after all that comes before it";
            (
                "Reading the document".to_owned(),
                format!("{how}{}", again()),
            )
        }
        Some(Phase::Local) => {
            let how =
                "each word after the nearest ones only: where that is harder, far text matters";
            ("Reading it again".to_owned(), how.to_owned())
        }
        Some(Phase::Steps) if taken > 0 => {
            let step = format!("Step {} of {}", words::count(taken), words::count(all));
            (step, learned(record, figures))
        }
        Some(Phase::Evaluate) if taken > 0 => {
            let taken = format!("All {} are taken", words::counted(taken, "step"));
            (taken, "measuring what was learned".to_owned())
        }
        Some(Phase::Evaluate) => (
            "Measuring".to_owned(),
            "the losses before any step".to_owned(),
        ),
        Some(Phase::Save) => ("Saving".to_owned(), String::new()),
        _ if figures.utility.is_some() || figures.most_steps > 0 => planned(run, figures),
        _ if taken > 0 => (format!("{} are taken", of_all()), String::new()),
        _ => (
            "Along the document".to_owned(),
            "what is measured and learned".to_owned(),
        ),
    }
}

/// Before the first step.
fn planned(run: Shown<'_>, figures: &Figures) -> Line {
    let steps = match run.preview {
        Some(preview) => preview.iter().flatten().map(|s| s.total() as usize).sum(),
        None => figures
            .cells
            .iter()
            .map(|c| c.record.planned.total() as usize)
            .sum(),
    };
    let plan = format!("Plan: {}", words::counted(steps, "step"));
    // Less than this is no need that anybody would see.
    const NEED: f64 = 0.01;
    let highest = run.record.utility_range().map(|(_, high)| high);
    let how = match figures.utility {
        Some(_) if highest.is_some_and(|high| high < NEED) => "no chunk needs text from far above",
        Some(_) => "bright chunks need text from far above, and get more of them",
        None => "shared out without looking at the text",
    };
    (plan, how.to_owned())
}

/// What the latest step learned from, and what that was worth: of the same tokens before any step.
fn learned(record: &RunRecord, figures: &Figures) -> String {
    let Some(step) = record.steps.last().map(|s| &s.step) else {
        return String::new();
    };
    let place = step
        .chunk
        .and_then(|chunk| figures.place(step.segment, chunk));
    let cell = place.and_then(|place| figures.cells.get(place));
    let title = cell.and_then(|cell| cell.record.title.as_deref());
    let mut words = match (cell, title) {
        (Some(cell), Some(title)) => format!("{}: {title}", cell.name),
        (Some(cell), None) => cell.name.clone(),
        (None, _) => "the whole document".to_owned(),
    };
    if let Some(before) = step.before {
        let (was, now) = (words::nats(before), words::nats(step.loss));
        words = format!("loss of its words {was} → {now}  ·  {words}");
    }
    words
}

fn numbers(record: &RunRecord) -> Vec<(String, &'static str)> {
    let steps = match (record.steps.len(), record.steps_to_take()) {
        (taken, all) if taken < all => format!("{taken} / {all}"),
        (taken, _) => words::count(taken),
    };
    let mut numbers = vec![(steps, "steps")];
    let fell = |before, after| {
        let change = words::nats_change(before, after);
        format!(
            "{} → {} ({change})",
            words::nats(before),
            words::nats(after)
        )
    };
    if let (Some(before), Some(after)) = (record.loss_before(), record.loss_after()) {
        numbers.push((fell(before, after), "mean loss, nats a token"));
    }
    if let (Some(before), Some(after)) = (record.held_out_before(), record.held_out_after()) {
        numbers.push((fell(before, after), "loss of held-out tokens"));
    }
    numbers.push((words::duration(record.seconds().total()), "in all"));
    if let Some(bytes) = record.peak_bytes {
        numbers.push((words::bytes(bytes), "memory at the most"));
    }
    if let Some(rate) = record.mean_step_rate() {
        numbers.push((words::number(rate), "tokens/s in steps"));
    }
    numbers
}

/// As many as fit in one row, the first ones first.
fn numbers_row(ui: &mut Ui, numbers: &[(String, &'static str)]) {
    let apart = space::L;
    let mut left = ui.available_width();
    let fitting = numbers.iter().take_while(|(value, label)| {
        left -= number_width(ui, value, label) + apart;
        left + apart >= 0.0
    });
    let fitting = fitting.count().max(1);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing = vec2(apart, space::M);
        for (value, label) in numbers.iter().take(fitting) {
            number(ui, value, label);
        }
    });
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
