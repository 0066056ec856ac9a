//! The writing bench: some pairs, the gradient steps that write them into a few vectors, and what
//! is seen after each.

use eframe::egui::{Key, Label, Modifiers, ScrollArea, Slider, Ui, vec2};
use inscribe::words;

use super::{answers, context, course, memory, pairs};
use crate::action::Action;
use crate::screens::controls;
use crate::state::bench::{MOST_STEPS, Written};
use crate::state::{BenchState, State, Task};
use crate::theme::{Icon, card, empty, icon_button, section, space, text};

/// Width of the card with the pairs.
const PAIRS: f32 = 284.0;
/// What stands beside it gets no wider than this.
const WIDEST: f32 = 2400.0;
/// How long each step is shown where they play, in seconds.
const PLAYED: f64 = 0.8;

pub fn show(
    ui: &mut Ui,
    state: &mut State,
    numbers: &mut memory::Numbers,
    actions: &mut Vec<Action>,
) {
    if state.bench.is_fresh() {
        actions.push(Action::Bench);
    }
    let waits = state.is_busy_with(Task::Bench) && state.current_job().is_some();
    let bench = &mut state.bench;
    keys(ui, bench);
    play(ui, bench);
    let area = ScrollArea::vertical().id_salt("bench");
    area.auto_shrink([false, false]).show(ui, |ui| {
        let lead = "This small model was trained to be written to: each gradient step changes only \
                    a few vectors, its memory. Then the text is gone, and every key is asked for \
                    from those vectors alone.";
        let width = ui.available_width().min(PAIRS + space::L + WIDEST);
        ui.set_max_width(width);
        ui.add(Label::new(lead).wrap());
        ui.add_space(space::S);
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = space::L;
            ui.allocate_ui(vec2(PAIRS, 0.0), |ui| {
                ui.set_width(PAIRS);
                ui.spacing_mut().item_spacing.x = space::S;
                ui.vertical(|ui| card(ui, |ui| pairs::show(ui, bench)));
            });
            ui.vertical(|ui| {
                ui.set_width(ui.available_width());
                ui.spacing_mut().item_spacing.x = space::S;
                results(ui, bench, numbers, waits);
            });
        });
    });
}

/// Keys that walk through the steps where nothing else takes them.
fn keys(ui: &Ui, bench: &mut BenchState) {
    if ui.ctx().egui_wants_keyboard_input() {
        return;
    }
    let pressed = |key| ui.input_mut(|input| input.consume_key(Modifiers::NONE, key));
    if pressed(Key::Space) {
        toggle(ui, bench);
    }
    if pressed(Key::ArrowRight) {
        go(bench, bench.step + 1);
    }
    if pressed(Key::ArrowLeft) {
        go(bench, bench.step.saturating_sub(1));
    }
}

fn go(bench: &mut BenchState, step: usize) {
    bench.step = step.min(MOST_STEPS);
    bench.playing = None;
}

fn toggle(ui: &Ui, bench: &mut BenchState) {
    if bench.playing.take().is_none() {
        if bench.step >= MOST_STEPS {
            bench.step = 0;
        }
        bench.playing = Some(ui.input(|input| input.time));
    }
}

/// The next step, where the one that is shown has been shown long enough.
fn play(ui: &Ui, bench: &mut BenchState) {
    let Some(since) = bench.playing else {
        return;
    };
    let now = ui.input(|input| input.time);
    let left = since + PLAYED - now;
    if left > 0.0 {
        ui.ctx().request_repaint_after_secs(left as f32);
        return;
    }
    let there = bench.written.as_ref().map_or(0, |w| w.stages.len());
    // Never ahead of what is worked out.
    bench.step += usize::from(bench.step + 1 < there);
    bench.playing = (bench.step < MOST_STEPS).then_some(now);
    ui.ctx().request_repaint_after_secs(PLAYED as f32);
}

fn results(ui: &mut Ui, bench: &mut BenchState, numbers: &mut memory::Numbers, waits: bool) {
    let Some(written) = bench.written.take() else {
        let what = if waits {
            "The engine does something else at present; the pairs come after it."
        } else {
            "Each step appears here as it is taken."
        };
        card(ui, |ui| empty(ui, "No step yet", what));
        return;
    };
    if waits {
        let words = "The engine does something else at present: this is of the pairs before.";
        ui.label(text::caption(words));
    }
    let at = bench.step.min(written.stages.len().saturating_sub(1));
    if let (Some(stage), Some(first)) = (written.stages.get(at), written.stages.first()) {
        card(ui, |ui| {
            transport(ui, bench, &written, at);
        });
        card(ui, |ui| {
            let heading = "What is answered, from the memory alone";
            let words = "Each key with what the model says, and below it the probability of the \
                         right value";
            section(ui, heading, words);
            answers::show(ui, &written.of.pairs, stage);
        });
        card(ui, |ui| context::show(ui, stage));
        card(ui, |ui| {
            memory::show(ui, numbers, &written, stage, first);
        });
    }
    bench.written = Some(written);
}

/// The way through the steps, and what the one in front has come to.
fn transport(ui: &mut Ui, bench: &mut BenchState, written: &Written, at: usize) {
    ui.horizontal(|ui| {
        buttons(ui, bench);
        ui.add_space(space::S);
        let label = ui.label("Gradient steps K");
        ui.add_space(space::S);
        ui.spacing_mut().item_spacing.x = space::S;
        let mut step = bench.step;
        controls::rail(ui, &label, Slider::new(&mut step, 0..=MOST_STEPS));
        if step != bench.step {
            go(bench, step);
        }
    });
    ui.add_space(space::XS);
    if let Some(step) = course::show(ui, written, at) {
        go(bench, step);
    }
    let Some(stage) = written.stages.get(at) else {
        return;
    };
    ui.add_space(space::XS);
    ui.add(Label::new(text::strong(told(written, at))).wrap());
    let rows = written.of.memory_rows;
    let width = stage.memory.len() / rows.max(1);
    let took = 1000.0 * written.seconds.get(at).copied().unwrap_or(0.0);
    let for_what = if at == 0 {
        "to read and ask"
    } else {
        "for this step"
    };
    let words = format!(
        "Mean loss {} nats a character  ·  memory {rows} × {width} = {} numbers  ·  {took:.0} ms \
         {for_what}, on the processor",
        words::nats(stage.loss),
        words::count(rows * width)
    );
    ui.add(Label::new(text::caption(words)).wrap());
}

fn buttons(ui: &mut Ui, bench: &mut BenchState) {
    ui.spacing_mut().item_spacing.x = space::XS;
    let can = bench.step > 0;
    let label = "Back to no step";
    if icon_button(ui, Icon::ToStart, can, label, label).clicked() {
        go(bench, 0);
    }
    let label = "A step back";
    if icon_button(ui, Icon::StepBack, can, label, "A step back (←)").clicked() {
        go(bench, bench.step.saturating_sub(1));
    }
    let (icon, label, hint) = if bench.playing.is_some() {
        (Icon::Pause, "Pause the steps", "Pause (space)")
    } else {
        (
            Icon::Play,
            "Play the steps",
            "Take one step after the other (space)",
        )
    };
    if icon_button(ui, icon, true, label, hint).clicked() {
        toggle(ui, bench);
    }
    let can = bench.step < MOST_STEPS;
    if icon_button(ui, Icon::StepOn, can, "A step on", "A step on (→)").clicked() {
        go(bench, bench.step + 1);
    }
}

/// What is to be seen after so many steps, in a sentence.
fn told(written: &Written, at: usize) -> String {
    let Some(stage) = written.stages.get(at) else {
        return String::new();
    };
    let right = |stage: &inscribe::train::bench::Stage| {
        let answers = stage.answers.iter();
        answers.filter(|answer| answer.is_right()).count()
    };
    let (now, all) = (right(stage), stage.answers.len());
    if at == 0 {
        return "No step yet: the memory is the same whatever the text says, so that every answer \
                is a guess."
            .to_owned();
    }
    let steps = words::counted(at, "gradient step");
    let vectors = words::counted(written.of.memory_rows, "vector");
    let put = match (now, all) {
        (0, _) => format!("{steps} into {vectors}: no answer is right yet."),
        (1, 1) => format!("{steps} put the pair into {vectors}."),
        (now, all) if now == all => format!("{steps} put all {all} pairs into {vectors}."),
        (now, all) => format!("{steps} into {vectors}: {now} of {all} answers are right."),
    };
    let before = written.stages[..at].iter().map(right).max().unwrap_or(0);
    if now < before {
        return format!("{put} It was {before} before: a step can also overwrite.");
    }
    put
}
