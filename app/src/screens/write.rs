//! The document and its run: the text on one side, on the other what is measured and learned.

use eframe::egui::{Panel, Ui};

use crate::action::Action;
use crate::app::Views;
use crate::state::State;
use crate::theme::{card, segmented, space, text};

use super::text::legend;

pub fn show(ui: &mut Ui, state: &mut State, views: &mut Views, actions: &mut Vec<Action>) {
    document(ui, state, views, actions);
}

fn document(ui: &mut Ui, state: &mut State, views: &mut Views, actions: &mut Vec<Action>) {
    let Some(open) = &state.document else {
        return;
    };
    let name = open.document.name.clone();
    let facts = facts(state);
    let height = ui.available_height();
    card(ui, |ui| {
        ui.set_min_height(height - 2.0 * space::L - 2.0);
        ui.horizontal(|ui| {
            ui.label(text::heading(&name));
            ui.label(text::caption(facts));
        });
        ui.horizontal(|ui| {
            if views.text.shades().is_known() {
                let choices = [(0, "Plain"), (1, "Size"), (2, "Signed")];
                let mut chosen = match (state.prefs.shading, state.prefs.signed) {
                    (false, _) => 0,
                    (true, false) => 1,
                    (true, true) => 2,
                };
                if segmented(ui, &mut chosen, &choices) {
                    state.prefs.shading = chosen > 0;
                    state.prefs.signed = chosen == 2;
                }
                ui.add_space(space::S);
                legend(ui, views.text.shades(), state.prefs.signed);
            } else {
                let words = "Read and measure it to see which words need distant context.";
                ui.label(text::muted(words));
            }
        });
        ui.add_space(space::XS);
        views.text.show(ui, state);
    });
    let _ = (actions, Panel::left("text"));
}

fn facts(state: &State) -> String {
    use inscribe::write::figure::format::count;
    let Some(open) = &state.document else {
        return String::new();
    };
    let mut parts = vec![open.document.format.name().to_owned()];
    parts.push(match &open.tokens {
        Some(tokens) => format!("{} tokens", count(tokens.len())),
        None => format!("{} characters", count(open.document.text.len())),
    });
    parts.join("  ·  ")
}
