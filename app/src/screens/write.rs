//! The document and its run: the text on one side, on the other what is measured and learned.

use eframe::egui::{Align, Label, Layout, ScrollArea, Ui, vec2};
use inscribe::words::counted;

use super::Views;
use crate::action::Action;
use crate::run::Shown;
use crate::state::State;
use crate::theme::{card, segmented, space, text};
use crate::vocabulary::Selection;

use super::text::legend;

/// Below this width the text and the run take turns.
const BESIDE: f32 = 800.0;

/// The half of the screen that is shown where there is no room for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    Text,
    #[default]
    Run,
}

pub fn show(ui: &mut Ui, state: &mut State, views: &mut Views, _actions: &mut Vec<Action>) {
    let before = state.selection;
    let size = ui.available_size();
    let has_run = state.run.record.document.is_some();
    if !has_run {
        document(ui, state, views, false);
    } else if size.x < BESIDE {
        match views.pane {
            Pane::Text => document(ui, state, views, true),
            Pane::Run => {
                sides(ui, views);
                run(ui, state, views);
            }
        }
    } else {
        let gap = space::M;
        let left = (size.x * 0.42).clamp(340.0, 800.0);
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = gap;
            let top_down = Layout::top_down(Align::Min);
            ui.allocate_ui_with_layout(vec2(left, size.y), top_down, |ui| {
                document(ui, state, views, false);
            });
            let right = vec2(size.x - left - gap, size.y);
            ui.allocate_ui_with_layout(right, top_down, |ui| run(ui, state, views));
        });
    }
    if state.selection != before {
        follow(state);
    }
}

/// The text goes where the chosen chunk begins.
fn follow(state: &mut State) {
    let Selection {
        segment,
        chunk,
        token,
    } = state.selection;
    let segment = state.run.record.segments.get(segment);
    let chunk = chunk.and_then(|chunk| segment?.chunks.get(chunk));
    if let (Some(chunk), None) = (chunk, token) {
        state.scroll_to = Some(chunk.text.start);
    }
}

fn sides(ui: &mut Ui, views: &mut Views) {
    let choices = [(Pane::Text, "Text"), (Pane::Run, "Run")];
    segmented(ui, &mut views.pane, &choices);
}

/// What was measured and learned, in one column.
fn run(ui: &mut Ui, state: &mut State, views: &mut Views) {
    let running = state.is_running();
    let record = &state.run.record;
    let as_planned = record.settings.as_ref() == Some(&state.prefs.settings);
    let differs = !running && !as_planned && !state.preview.steps.is_empty();
    let preview = differs.then_some(&state.preview.steps);
    let shown = Shown::new(record, state.run.version).preview(preview);
    let selection = &mut state.selection;
    ScrollArea::vertical()
        .id_salt("run")
        .auto_shrink([false, false])
        .show(ui, |ui| views.run.show(ui, shown, selection));
}

fn document(ui: &mut Ui, state: &mut State, views: &mut Views, with_sides: bool) {
    let Some(open) = &state.document else {
        return;
    };
    let name = open.document.name.clone();
    let facts = facts(state);
    let height = ui.available_height();
    card(ui, |ui| {
        ui.set_min_height(height - 2.0 * space::L - 2.0);
        ui.horizontal(|ui| {
            ui.add(Label::new(text::heading(&name)).truncate());
            ui.add(Label::new(text::caption(facts)).truncate());
        });
        if with_sides {
            sides(ui, views);
        }
        shading(ui, state, views);
        if let Some(advice) = views.text.advice() {
            ui.label(text::caption(advice));
        }
        ui.add_space(space::XS);
        views.text.show(ui, state);
    });
}

fn shading(ui: &mut Ui, state: &mut State, views: &Views) {
    if !views.text.shades().is_known() {
        let words = match state.is_running() {
            true if state.model.ready().is_none() => "The model comes first.",
            true => "It is being read.",
            false => "Read and measure it to see which words need distant context.",
        };
        ui.label(text::muted(words));
        return;
    }
    let choices = [(0, "Plain"), (1, "Size"), (2, "Signed")];
    let mut chosen = match (state.prefs.shading, state.prefs.signed) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => 2,
    };
    let row = |ui: &mut Ui, state: &mut State, chosen: &mut i32| {
        if segmented(ui, chosen, &choices) {
            state.prefs.shading = *chosen > 0;
            state.prefs.signed = *chosen == 2;
        }
    };
    if ui.available_width() < 560.0 {
        row(ui, state, &mut chosen);
        if state.prefs.shading {
            legend(ui, views.text.shades(), state.prefs.signed);
        }
        return;
    }
    ui.horizontal(|ui| {
        row(ui, state, &mut chosen);
        if state.prefs.shading {
            ui.add_space(space::S);
            legend(ui, views.text.shades(), state.prefs.signed);
        }
    });
}

fn facts(state: &State) -> String {
    let Some(open) = &state.document else {
        return String::new();
    };
    let size = match &open.tokens {
        Some(tokens) => counted(tokens.len(), "token"),
        None => counted(open.document.text.len(), "character"),
    };
    format!("{}  ·  {size}", open.document.format.name())
}
