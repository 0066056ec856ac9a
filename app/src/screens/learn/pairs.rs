//! The pairs that are written: typed, drawn, or both.

use eframe::egui::{
    Button, Grid, Label, Margin, Role, Slider, TextEdit, TextStyle, Ui, WidgetInfo, vec2,
};
use inscribe::train::bench::MOST_PAIRS;

use crate::screens::controls;
use crate::state::BenchState;
use crate::theme::{Icon, Theme, icon_button, right_row, section, space, text};
use crate::trouble::capital;

/// Pairs beside each other.
const COLUMNS: usize = 2;

pub fn show(ui: &mut Ui, bench: &mut BenchState) {
    section(
        ui,
        "What is written",
        "Keys and values, two letters or digits each",
    );
    model(ui, bench);
    ui.spacing_mut().item_spacing.y = 2.0;
    let mut count = bench.pairs.len();
    let slider = Slider::new(&mut count, 1..=MOST_PAIRS);
    controls::slider(ui, "Pairs", "", slider);
    if count != bench.pairs.len() {
        bench.set_count(count);
    }
    let slider = Slider::new(&mut bench.memory_rows, 1..=bench.most_rows);
    let words = "Vectors that they are written into.";
    controls::slider(ui, "Memory rows", words, slider);
    ui.add_space(space::S);
    ui.horizontal(|ui| {
        ui.label(text::strong("The pairs"));
        right_row(ui, "drawing pairs", |ui| {
            ui.spacing_mut().item_spacing.x = space::XS;
            let more = bench.pairs.len() < MOST_PAIRS;
            let label = "Add a pair";
            if icon_button(ui, Icon::Plus, more, label, "Add a pair, drawn at random").clicked() {
                bench.add();
            }
            let label = "Draw other pairs";
            if icon_button(ui, Icon::Dice, true, label, "Draw all pairs anew at random").clicked() {
                bench.draw();
            }
        });
    });
    ui.add_space(space::XS);
    fields(ui, bench);
    if let Some(fault) = bench.fault() {
        let p = Theme::of(ui).palette;
        ui.add_space(space::S);
        ui.colored_label(p.danger, format!("{}.", capital(&fault.to_string())));
    }
}

/// Which model is written to, where it is not the program's own.
fn model(ui: &mut Ui, bench: &mut BenchState) {
    let Some((folder, _)) = &bench.model else {
        return;
    };
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let words = text::strong_small(format!("With the model {name}, trained here"));
    ui.add(Label::new(words).truncate());
    if ui.button("Take the program’s own").clicked() {
        bench.take_model(None);
    }
    ui.add_space(space::S);
}

fn fields(ui: &mut Ui, bench: &mut BenchState) {
    let wrong = bench.fault().and_then(|fault| fault.pair());
    let mut remove = None;
    let several = bench.pairs.len() > 1;
    let grid = Grid::new("pairs").num_columns(COLUMNS).min_col_width(0.0);
    grid.spacing(vec2(space::M, space::XS)).show(ui, |ui| {
        for (at, pair) in bench.pairs.iter_mut().enumerate() {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 3.0;
                let is_wrong = wrong == Some(at);
                field(ui, &mut pair.key, &format!("Key {}", at + 1), is_wrong);
                ui.label("→");
                field(ui, &mut pair.value, &format!("Value {}", at + 1), is_wrong);
                if several && cross(ui, at) {
                    remove = Some(at);
                }
            });
            if at % COLUMNS == COLUMNS - 1 {
                ui.end_row();
            }
        }
    });
    if let Some(at) = remove {
        bench.pairs.remove(at);
    }
}

fn field(ui: &mut Ui, value: &mut String, label: &str, is_wrong: bool) {
    let p = Theme::of(ui).palette;
    let field = TextEdit::singleline(value)
        .char_limit(2)
        .font(TextStyle::Monospace)
        .text_color(if is_wrong { p.danger } else { p.ink })
        .margin(Margin::symmetric(6, 4))
        .align(eframe::egui::Align2::LEFT_CENTER)
        .desired_width(40.0);
    let field = ui.add(field);
    field.widget_info(|| {
        let mut info = WidgetInfo::new(Role::TextInput);
        info.label = Some(label.to_owned());
        info.current_text_value = Some(value.clone());
        info
    });
}

/// A small cross that takes a pair away.
fn cross(ui: &mut Ui, at: usize) -> bool {
    let button = Button::new(text::muted("×")).frame(false);
    let button = ui.add(button.min_size(vec2(18.0, 24.0)));
    let label = format!("Remove pair {}", at + 1);
    button.widget_info(|| WidgetInfo::labeled(Role::Button, true, &label));
    button.on_hover_text(label).clicked()
}
