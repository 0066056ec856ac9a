//! What is written and how: a preset, the settings that matter most with sliders that redraw the
//! shares at once, and behind them all others, each explained in one line.

use eframe::egui::{
    self, Align, Button, ComboBox, DragValue, Frame, Layout, Margin, Panel, Response, RichText,
    ScrollArea, Slider, Stroke, Ui, vec2,
};
use inscribe::model::adapter::Projection;
use inscribe::write::method;
use inscribe::write::setting::Setting;
use inscribe::write::settings::{
    Allocate, Chunking, KeepRows, OptimizerName, PrefixInit, RecomputeWhen, UtilityScale,
    WriteSettings,
};

use crate::action::Action;
use crate::state::State;
use crate::state::presets::{Preset, with_method};
use crate::theme::{Icon, Theme, icon_button, segmented, space, text};
use crate::trouble::capital;

/// What is kept between frames.
#[derive(Default)]
pub struct Controls {
    pub all: bool,
}

/// While a run goes on nothing of them can be changed: a small window has better uses for the room.
pub fn are_shown(ui: &Ui, state: &State) -> bool {
    const ROOM_FOR_ALL: f32 = 1500.0;
    let has_room = ui.ctx().content_rect().width() >= ROOM_FOR_ALL;
    state.prefs.controls_open && (has_room || !state.is_running())
}

pub fn panel(ui: &mut Ui, state: &State, controls: &mut Controls, actions: &mut Vec<Action>) {
    let p = Theme::of(ui).palette;
    let frame = Frame::new()
        .fill(p.surface)
        .stroke(Stroke::new(1.0, p.border))
        .inner_margin(Margin::symmetric(space::L as i8, space::M as i8));
    let panel = Panel::right("controls").resizable(false).exact_size(304.0);
    panel
        .frame(frame)
        .show_separator_line(false)
        .show(ui, |ui| {
            ScrollArea::vertical()
                .auto_shrink([false, false])
                .show(ui, |ui| {
                    heading(ui, actions);
                    ui.add_enabled_ui(!state.is_running(), |ui| {
                        let mut settings = state.settings().clone();
                        show(ui, state, controls, &mut settings);
                        if settings != *state.settings() {
                            actions.push(Action::Settings(Box::new(settings)));
                        }
                    });
                });
        });
}

fn heading(ui: &mut Ui, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        ui.label(text::heading("How to write"));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let label = "Hide settings";
            if icon_button(ui, Icon::Right, true, label, label).clicked() {
                actions.push(Action::Controls(false));
            }
        });
    });
}

fn show(ui: &mut Ui, state: &State, controls: &mut Controls, settings: &mut WriteSettings) {
    // What explains a control stands close below it, and the next one well apart.
    ui.spacing_mut().item_spacing.y = 2.0;
    presets(ui, settings);
    ui.add_space(space::S);
    method(ui, settings);
    ui.add_space(space::S);
    shares(ui, state, settings);
    ui.add_space(space::S);
    let label = if controls.all {
        "Fewer settings"
    } else {
        "All settings"
    };
    let accent = Theme::of(ui).palette.accent;
    let more = ui.add(Button::new(RichText::new(label).color(accent)).frame(false));
    if more.clicked() {
        controls.all = !controls.all;
        if controls.all {
            // They would open out of sight.
            more.scroll_to_me(Some(Align::TOP));
        }
    }
    if controls.all {
        all(ui, settings);
    }
    if let Err(problem) = settings.check() {
        let p = Theme::of(ui).palette;
        ui.colored_label(p.danger, capital(&problem.to_string()));
    }
}

fn presets(ui: &mut Ui, settings: &mut WriteSettings) {
    let now = Preset::of(settings);
    let mut chosen = now;
    let choices = Preset::ALL.map(|preset| (Some(preset), preset.name()));
    if segmented(ui, &mut chosen, &choices)
        && let Some(preset) = chosen
    {
        *settings = preset.apply(settings);
    }
    let words = now.map_or("Settings of your own.", Preset::explanation);
    ui.add_space(space::XS);
    ui.label(text::caption(words));
}

fn method(ui: &mut Ui, settings: &mut WriteSettings) {
    ui.label(text::strong("Method"));
    ui.add_space(space::XS);
    let mut chosen = settings.method;
    let choices: Vec<_> = method::all().into_iter().map(|m| (m, m.title())).collect();
    if segmented(ui, &mut chosen, &choices) {
        *settings = with_method(settings, chosen);
    }
    ui.add_space(space::XS);
    ui.label(text::caption(settings.method.explanation()));
}

/// Budget, coverage and temperature: what the shares of steps depend on.
fn shares(ui: &mut Ui, state: &State, settings: &mut WriteSettings) {
    ui.label(text::strong("Steps"));
    ui.add_space(space::XS);
    slider(
        ui,
        "Budget K",
        "Gradient steps in all.",
        Slider::new(&mut settings.budget, 0..=256).logarithmic(false),
    );
    let covered = settings.coverage;
    ui.add_enabled_ui(covered, |ui| {
        slider(
            ui,
            "Coverage k_min",
            "Steps that every chunk gets before utility decides.",
            Slider::new(&mut settings.k_min, 0..=16),
        );
    });
    let by_utility = matches!(settings.allocate, Allocate::Utility | Allocate::Signed);
    ui.add_enabled_ui(by_utility, |ui| {
        slider(
            ui,
            "Temperature τ",
            "Small gives all to the highest utility, large the same to all.",
            Slider::new(&mut settings.tau, 0.02..=20.0)
                .logarithmic(true)
                .max_decimals(2),
        );
    });
    ui.label("Who gets the rest");
    choose(ui, "Allocation", &mut settings.allocate, &ALLOCATIONS);
    let words = ALLOCATIONS
        .iter()
        .find(|(rule, _, _)| *rule == settings.allocate);
    ui.label(text::caption(words.map_or("", |(_, _, words)| words)));
    let p = Theme::of(ui).palette;
    match &state.preview.problem {
        Some(problem) => {
            ui.colored_label(p.warning, problem);
        }
        None if state.run.is_measured() && !state.measured_as_set() => {
            let words = "The chunks change with the next reading; the shares shown are of the \
                         chunks read last.";
            ui.label(text::caption(words).color(p.warning));
        }
        None => {}
    }
}

const ALLOCATIONS: [(Allocate, &str, &str); 6] = [
    (
        Allocate::Utility,
        "By utility",
        "Chunks whose words need distant context get more.",
    ),
    (
        Allocate::Signed,
        "By signed utility",
        "As by utility, without the absolute value.",
    ),
    (Allocate::Uniform, "Uniform", "The same for every chunk."),
    (
        Allocate::Random,
        "Random",
        "Each step to a chunk drawn by lot.",
    ),
    (
        Allocate::Topk,
        "Top quarter",
        "All to the quarter of chunks with the highest utility.",
    ),
    (
        Allocate::Whole,
        "Whole document (qTTT)",
        "No chunks: each step draws from everywhere. GDWM only.",
    ),
];

/// Every other setting.
fn all(ui: &mut Ui, s: &mut WriteSettings) {
    group(ui, "Chunks and reading");
    number(
        ui,
        "Chunk length",
        "Tokens of a chunk.",
        DragValue::new(&mut s.chunk).range(8..=65_536),
    );
    ui.label("Chunking");
    choose(
        ui,
        "Chunking",
        &mut s.chunking,
        &[
            (Chunking::Fixed, "Fixed", ""),
            (Chunking::Structure, "By structure", ""),
        ],
    );
    explained(
        ui,
        "Cut every so many tokens, or at headings and paragraphs.",
    );
    number(
        ui,
        "Local window",
        "Tokens of nearby context that utility is measured against.",
        DragValue::new(&mut s.window).range(8..=4096),
    );
    ui.label("Utility scale");
    choose(
        ui,
        "Utility scale",
        &mut s.scale,
        &[
            (UtilityScale::Raw, "Raw", ""),
            (UtilityScale::Zscore, "z-score", ""),
        ],
    );
    explained(ui, "As measured, or brought to mean 0 and deviation 1.");
    check(
        ui,
        &mut s.coverage,
        "Coverage",
        "Every chunk gets its k_min first.",
    );
    group(ui, "Learning");
    ui.label("Optimiser");
    choose(
        ui,
        "Optimiser",
        &mut s.optimizer,
        &[
            (OptimizerName::Adamw, "AdamW", ""),
            (OptimizerName::Sgd, "SGD", ""),
        ],
    );
    explained(ui, "Which way a step follows the gradients.");
    number(
        ui,
        "Learning rate",
        "How far a step goes.",
        DragValue::new(&mut s.lr)
            .range(0.0..=10.0)
            .speed(1e-4)
            .max_decimals(6),
    );
    number(
        ui,
        "Weight decay",
        "How much AdamW pulls weights towards zero.",
        DragValue::new(&mut s.weight_decay)
            .range(0.0..=1.0)
            .speed(1e-3),
    );
    number(
        ui,
        "Clipping norm",
        "Larger gradients are scaled down to it; 0 leaves them.",
        DragValue::new(&mut s.clip).range(0.0..=100.0).speed(0.05),
    );
    number(
        ui,
        "Spans of a step",
        "Pieces of text that a step learns from.",
        DragValue::new(&mut s.batch).range(1..=512),
    );
    number(
        ui,
        "Span length",
        "Tokens of each piece.",
        DragValue::new(&mut s.span).range(1..=1024),
    );
    number(
        ui,
        "Seed",
        "The same seed writes the same memory.",
        DragValue::new(&mut s.seed),
    );
    group(ui, "Memory");
    ui.add_enabled_ui(s.method.uses(Setting::Rank), |ui| {
        number(
            ui,
            "LoRA rank",
            "Width of the fast weights.",
            DragValue::new(&mut s.lora.rank).range(1..=256),
        );
        number(
            ui,
            "LoRA alpha",
            "Fast weights count alpha / rank times.",
            DragValue::new(&mut s.lora.alpha).range(0.5..=1024.0),
        );
        ui.label("Projections");
        ui.horizontal_wrapped(|ui| {
            for projection in Projection::ALL {
                let mut on = s.lora.targets.contains(&projection);
                let name = format!("{projection:?}").to_lowercase();
                if ui.checkbox(&mut on, name).changed() {
                    let chosen = |p: &Projection| {
                        if *p == projection {
                            on
                        } else {
                            s.lora.targets.contains(p)
                        }
                    };
                    s.lora.targets = Projection::ALL.into_iter().filter(chosen).collect();
                }
            }
        });
        explained(ui, "Matrices that get fast weights.");
    });
    ui.add_enabled_ui(s.method.uses(Setting::Prefix), |ui| {
        number(
            ui,
            "Memory tokens",
            "Rows of the memory that GradMem writes.",
            DragValue::new(&mut s.prefix).range(1..=512),
        );
        ui.label("They start from");
        choose(
            ui,
            "They start from",
            &mut s.init,
            &[
                (PrefixInit::Spread, "Tokens at even distances", ""),
                (PrefixInit::First, "The first tokens", ""),
                (PrefixInit::Surprising, "The hardest tokens", ""),
                (PrefixInit::Random, "Any tokens", ""),
                (PrefixInit::Mean, "The mean of all tokens", ""),
                (PrefixInit::Learned, "What the model learned", ""),
            ],
        );
        explained(ui, "What memory tokens are before the first step.");
    });
    group(ui, "Measuring and keeping");
    ui.add_enabled_ui(s.method.uses(Setting::KeepRows), |ui| {
        ui.label("Keys and values");
        choose(
            ui,
            "Keys and values",
            &mut s.keep_rows,
            &[
                (KeepRows::Auto, "Kept up to 1 GiB", ""),
                (KeepRows::Q8, "Kept, values in 8 bits", ""),
                (KeepRows::F16, "Kept in 16 bits", ""),
                (KeepRows::No, "Not kept", ""),
            ],
        );
        explained(
            ui,
            "The document’s own, beside the memory: without them it is read again before the first \
             question.",
        );
    });
    check(
        ui,
        &mut s.evaluate,
        "Measure at the end",
        "The loss of every chunk after the last step.",
    );
    number(
        ui,
        "Held-out part",
        "Tokens that no step sees, to measure the loss on.",
        DragValue::new(&mut s.held_out).range(0.0..=0.9).speed(0.01),
    );
    ui.label("Recompute");
    choose(
        ui,
        "Recompute",
        &mut s.recompute,
        &[
            (RecomputeWhen::Auto, "Where memory is short", ""),
            (RecomputeWhen::On, "Always", ""),
            (RecomputeWhen::Off, "Never", ""),
        ],
    );
    explained(
        ui,
        "Layers run again on the way back instead of keeping what they computed: slower, in less memory.",
    );
    number(
        ui,
        "Checkpoint every",
        "Steps after which everything is safe on disk; 0 for none.",
        DragValue::new(&mut s.checkpoint).range(0..=1024),
    );
}

fn group(ui: &mut Ui, name: &str) {
    ui.add_space(space::S);
    ui.label(text::strong(name));
    ui.add_space(space::XS);
}

/// What a control does, and room before the next one.
fn explained(ui: &mut Ui, words: &str) {
    ui.label(text::caption(words));
    ui.add_space(space::M);
}

pub(super) fn slider(ui: &mut Ui, name: &str, words: &str, slider: Slider<'_>) {
    let label = ui.label(name);
    rail(ui, &label, slider);
    if words.is_empty() {
        ui.add_space(space::XS);
    } else {
        explained(ui, words);
    }
}

/// A slider as wide as there is room, which a label beside or above it names.
pub(super) fn rail(ui: &mut Ui, label: &Response, slider: Slider<'_>) {
    ui.scope(|ui| {
        let accent = Theme::of(ui).palette.accent;
        ui.spacing_mut().slider_width = (ui.available_width() - 76.0).max(80.0);
        ui.spacing_mut().interact_size = vec2(NUMBER, 24.0);
        ui.spacing_mut().button_padding.y = 2.0;
        let visuals = ui.visuals_mut();
        visuals.selection.bg_fill = accent;
        visuals.widgets.inactive.fg_stroke.color = accent;
        ui.add(slider.clamping(egui::SliderClamping::Edits))
            .labelled_by(label.id);
    });
}

/// Width of the boxes that hold numbers.
const NUMBER: f32 = 68.0;

fn number(ui: &mut Ui, name: &str, words: &str, value: DragValue<'_>) {
    ui.horizontal(|ui| {
        let label = ui.label(name);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let value = value.clamp_existing_to_range(false);
            ui.add_sized([NUMBER, 24.0], value).labelled_by(label.id);
        });
    });
    explained(ui, words);
}

fn check(ui: &mut Ui, on: &mut bool, name: &str, words: &str) {
    ui.checkbox(on, name);
    explained(ui, words);
}

fn choose<T: PartialEq + Copy>(
    ui: &mut Ui,
    label: &str,
    chosen: &mut T,
    choices: &[(T, &str, &str)],
) {
    let now = choices.iter().find(|(choice, _, _)| choice == chosen);
    let shown = now.map_or("", |(_, name, _)| name);
    let combo = ComboBox::from_id_salt(label)
        .width(ui.available_width().min(220.0))
        // All choices in sight.
        .height(400.0)
        .selected_text(shown);
    let response = combo.show_ui(ui, |ui| {
        for (choice, name, words) in choices {
            let entry = ui.selectable_value(chosen, *choice, *name);
            if !words.is_empty() {
                entry.on_hover_text(*words);
            }
        }
    });
    let name = format!("{label}: {shown}");
    response
        .response
        .widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, &name));
}
