//! The document and its run: the text on one side, on the other what is measured and learned.

use eframe::egui::{Align, Label, Layout, Link, ScrollArea, Ui, vec2};
use inscribe::words::counted;
use inscribe::write::settings::WriteSettings;

use super::Views;
use crate::action::Action;
use crate::run::Shown;
use crate::state::{State, Task};
use crate::theme::{Theme, card, segmented, segmented_explained, space, text};
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

pub fn show(ui: &mut Ui, state: &mut State, views: &mut Views, actions: &mut Vec<Action>) {
    let before = state.selection;
    let size = ui.available_size();
    // Until there is anything to draw beside it, the text has all the room.
    let has_run = !state.run.record.is_empty();
    if !has_run {
        document(ui, state, views, false, actions);
    } else if size.x < BESIDE {
        match views.pane {
            Pane::Text => document(ui, state, views, true, actions),
            Pane::Run => {
                sides(ui, views);
                run(ui, state, views);
            }
        }
    } else {
        let gap = space::M;
        let left = (size.x * 0.4).clamp(340.0, 800.0);
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = gap;
            let top_down = Layout::top_down(Align::Min);
            ui.allocate_ui_with_layout(vec2(left, size.y), top_down, |ui| {
                document(ui, state, views, false, actions);
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
    let shown = shown.beside_the_document(ui.available_height());
    let selection = &mut state.selection;
    ScrollArea::vertical()
        .id_salt("run")
        .auto_shrink([false, false])
        .show(ui, |ui| views.run.show(ui, shown, selection));
}

fn document(
    ui: &mut Ui,
    state: &mut State,
    views: &mut Views,
    with_sides: bool,
    actions: &mut Vec<Action>,
) {
    let Some(open) = &state.document else {
        return;
    };
    let name = open.document.name.clone();
    let facts = facts(state);
    let height = ui.available_height();
    card(ui, |ui| {
        ui.set_min_height(height - 2.0 * space::L - 2.0);
        title(ui, &name, &facts);
        if with_sides {
            sides(ui, views);
        }
        shading(ui, state, views, actions);
        if let Some(advice) = views.text.advice() {
            ui.label(text::caption(advice));
        }
        ui.add_space(space::XS);
        views.text.show(ui, state);
    });
}

/// The name as far as there is room beside what is known of the document.
fn title(ui: &mut Ui, name: &str, facts: &str) {
    ui.spacing_mut().interact_size.y = 20.0;
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.add(Label::new(text::caption(facts)).extend());
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                ui.add(Label::new(text::heading(name)).truncate());
            });
        });
    });
}

/// What the shades of the words mean, or why there are none.
fn shading(ui: &mut Ui, state: &mut State, views: &mut Views, actions: &mut Vec<Action>) {
    if !views.text.shades().is_known() {
        let words = match state.is_running() {
            true if state.model.ready().is_none() => "The model comes first.",
            true => "It is being read.",
            false => "Read and measure it to see which words need distant context.",
        };
        if !state.run.is_measured() || state.is_running() {
            ui.label(text::muted(words));
        }
        too_short(ui, state, actions);
        return;
    }
    if state.token_bytes().is_none() {
        unplaced(ui, state, actions);
        return;
    }
    // Both stand on one line where there is room.
    const ONE_LINE: f32 = 462.0;
    let draw = |ui: &mut Ui, state: &mut State| {
        switch(ui, state);
        if state.prefs.shading {
            legend(ui, views.text.shades(), state.prefs.signed);
        }
    };
    if ui.available_width() < ONE_LINE {
        draw(ui, state);
    } else {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = space::M;
            draw(ui, state);
        });
    }
    if !too_short(ui, state, actions) {
        hottest(ui, state, views);
    }
}

fn switch(ui: &mut Ui, state: &mut State) {
    let choices = [
        (0, "Plain", "The text as it is"),
        (
            1,
            "Size",
            "How much far text changes what the model expects, whichever way",
        ),
        (
            2,
            "Signed",
            "Which way: orange words are likelier thanks to the far text, blue ones less likely",
        ),
    ];
    let mut chosen = match (state.prefs.shading, state.prefs.signed) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => 2,
    };
    if segmented_explained(ui, &mut chosen, &choices) {
        state.prefs.shading = chosen > 0;
        state.prefs.signed = chosen == 2;
    }
}

/// Where distant context matters most: the text has gone there by itself, or does when asked.
fn hottest(ui: &mut Ui, state: &mut State, views: &Views) {
    let Some(hottest) = views.text.hottest() else {
        return;
    };
    let words = format!("“{}” is {} with it.", hottest.word, hottest.times);
    if hottest.seen {
        let words = format!("Here the far text matters most: {words}");
        ui.add(Label::new(text::caption(words)).truncate());
        return;
    }
    let link = Link::new(text::caption("Go to where the far text matters most"));
    if ui.add(link).on_hover_text(words).clicked() {
        state.scroll_to = Some(hottest.byte);
    }
}

/// Words are measured, and nobody knows where they stand.
fn unplaced(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        let words = "An earlier version wrote this memory: its words are shaded once the model has \
                     been loaded.";
        ui.label(text::muted(words));
        let loads = state.is_busy_with(Task::Load);
        if !loads && ui.button("Load the model").clicked() {
            actions.push(Action::Load);
        }
    });
}

/// Says of a text in which nothing can be distant what helps. Returns whether it is one.
fn too_short(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) -> bool {
    let Some(short) = short_text(state) else {
        return false;
    };
    let p = Theme::of(ui).palette;
    let window = counted(short.window, "token");
    let mut words = format!(
        "This text has {}, and twice the local window ({window}) is read before anything counts as \
         distant: nothing in it is. Use a longer text",
        counted(short.tokens, "token"),
    );
    words += match short.better {
        Some(_) => ", or a smaller window.",
        None => ".",
    };
    ui.label(text::caption(words).color(p.warning));
    let Some(window) = short.better.filter(|_| !state.is_running()) else {
        return true;
    };
    if ui.button(format!("Use a window of {window}")).clicked() {
        let settings = WriteSettings {
            window,
            ..state.settings().clone()
        };
        actions.push(Action::Settings(Box::new(settings)));
        if state.run.is_measured() {
            actions.push(Action::Measure);
        }
    }
    true
}

/// A text that is read whole before anything in it would be distant.
struct ShortText {
    tokens: usize,
    window: usize,
    /// A window that leaves most of the text distant.
    better: Option<usize>,
}

fn short_text(state: &State) -> Option<ShortText> {
    let settings = state.settings();
    let measured = state.run.record.settings.as_ref();
    let measured = measured.filter(|_| state.run.is_measured());
    let tokens = state.token_bytes()?.len();
    let window = measured.unwrap_or(settings).window;
    let rule = measured.unwrap_or(settings).allocate;
    if !rule.needs_utility() || tokens == 0 || tokens > 2 * window {
        return None;
    }
    const LEAST: usize = 8;
    let better = (1 << (tokens / 6).max(1).ilog2()).min(window / 2);
    Some(ShortText {
        tokens,
        window,
        better: (better >= LEAST).then_some(better),
    })
}

fn facts(state: &State) -> String {
    let Some(open) = &state.document else {
        return String::new();
    };
    let size = match state.token_bytes() {
        Some(tokens) => counted(tokens.len(), "token"),
        None => counted(open.document.text.len(), "character"),
    };
    format!("{}  ·  {size}", open.document.format.name())
}
