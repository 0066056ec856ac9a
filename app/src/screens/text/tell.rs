//! What is known of a word, and what the shading means.

use eframe::egui::{self, Color32, CornerRadius, Role, Sense, Ui, WidgetInfo, vec2};
use inscribe::words;

use super::Hovered;
use super::shades::{Shades, ground};
use crate::state::{OpenDocument, State};
use crate::theme::{Theme, space, text};

/// How much likelier a gain of so many nats makes a word: `81 times likelier`.
pub fn times(nats: f64) -> String {
    let factor = nats.abs().exp();
    let shown = match factor {
        f if f < 1.05 => return "as likely".to_owned(),
        f if f < 9.95 => format!("{f:.1}"),
        f if f < 100.0 => format!("{f:.0}"),
        // Two digits: the rest would be noise.
        f if f < 1e9 => {
            let unit = 10f64.powf(f.log10().floor() - 1.0);
            words::count(((f / unit).round() * unit) as usize)
        }
        _ => "a billion".to_owned(),
    };
    let which = if nats < 0.0 {
        "less likely"
    } else {
        "likelier"
    };
    format!("{shown} times {which}")
}

/// What is known of the word under the pointer.
pub fn tell(ui: &Ui, state: &State, open: &OpenDocument, shades: &Shades, hovered: &Hovered) {
    let Some((segment, first)) = shades.place(hovered.tokens.start) else {
        return;
    };
    let record = &state.run.record;
    let Some(part) = record.segments.get(segment) else {
        return;
    };
    // Log-probabilities of a word's parts add up.
    let sum = |of: &[Option<f32>]| -> Option<f64> {
        let values = of.get(first..first + hovered.tokens.len())?;
        let values: Option<Vec<f32>> = values.iter().copied().collect();
        Some(values?.into_iter().map(f64::from).sum())
    };
    let (full, local) = (sum(&part.surprisal), sum(&part.local_surprisal));
    let after = sum(&part.surprisal_after);
    let words = open.document.text.get(hovered.bytes.clone());
    let window = part.window.unwrap_or(state.settings().window);
    let layer = ui.layer_id();
    let id = ui.scope_id().with("token");
    let tooltip = egui::Tooltip::always_open(ui.ctx().clone(), layer, id, hovered.rect);
    tooltip.gap(6.0).show(|ui| {
        ui.set_max_width(320.0);
        ui.spacing_mut().item_spacing.y = 2.0;
        let shown = words.unwrap_or("").trim().replace('\n', "¶");
        ui.label(text::strong(format!("“{shown}”")));
        match full.zip(local) {
            Some(_) if shades.is_quiet(hovered.tokens.start) => {
                ui.label("Nothing is distant yet: all that comes before it is near.");
            }
            Some((full, local)) => {
                ui.label(format!("{} with the far text", capital_times(local - full)));
            }
            None => {}
        }
        if let Some((full, after)) = full.zip(after) {
            ui.label(format!("{} with the memory", capital_times(full - after)));
        }
        ui.add_space(space::XS);
        let grid = egui::Grid::new("token numbers")
            .num_columns(2)
            .spacing([space::M, 1.0]);
        ui.spacing_mut().interact_size.y = 14.0;
        grid.show(ui, |ui| {
            let mut line = |label: String, value: Option<f64>| {
                ui.label(text::caption(label));
                let value = value.map_or("not read".to_owned(), |v| {
                    format!("{} nats", words::nats(v))
                });
                ui.label(text::caption(value));
                ui.end_row();
            };
            line("Surprisal after all that comes before".to_owned(), full);
            line(format!("after the nearest {window} tokens or so"), local);
            if after.is_some() {
                line("with the memory".to_owned(), after);
            }
        });
    });
}

fn capital_times(nats: f64) -> String {
    let words = times(nats);
    match words.strip_prefix('a') {
        Some(rest) => format!("A{rest}"),
        None => words,
    }
}

/// What the shading means, with its unit.
pub fn legend(ui: &mut Ui, shades: &Shades, signed: bool) {
    if !shades.is_known() {
        return;
    }
    let theme = Theme::of(ui);
    let (bar, height) = (72.0, 10.0);
    let (low, title, tooltip) = if signed {
        (
            words::nats_signed(f64::from(-shades.full)),
            "far text misleads, or helps",
            "log P_full − log P_local of each word, in nats: orange words are likelier when the \
             model has read all that comes before, blue ones when it has read the nearest words \
             only.",
        )
    } else {
        (
            words::nats(0.0),
            "far text matters",
            "|log P_full − log P_local| of each word, in nats: how much it changes what the model \
             expects to have read all that comes before, and not the nearest words only.",
        )
    };
    let high = match signed {
        true => words::nats_signed(f64::from(shades.full)),
        false => words::nats(f64::from(shades.full)),
    };
    let high = format!("{high} nats");
    let row = ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = space::S;
        ui.spacing_mut().interact_size.y = 18.0;
        ui.label(text::caption(title));
        ui.label(text::caption(&low));
        let (rect, response) = ui.allocate_exact_size(vec2(bar, height), Sense::hover());
        let steps = 24;
        for step in 0..steps {
            let x = rect.min.x + bar * step as f32 / steps as f32;
            let part = (step as f32 + 0.5) / steps as f32;
            let part = if signed { 2.0 * part - 1.0 } else { part };
            let colour = ground(theme, part, signed).unwrap_or(Color32::TRANSPARENT);
            let at = egui::pos2(x, rect.min.y);
            let cell = egui::Rect::from_min_size(at, vec2(bar / steps as f32, height));
            ui.painter().rect_filled(cell, CornerRadius::ZERO, colour);
        }
        let border = egui::Stroke::new(1.0, theme.palette.border);
        ui.painter().rect_stroke(
            rect,
            CornerRadius::same(2),
            border,
            egui::StrokeKind::Outside,
        );
        let label = format!("Shading: {title}, {low} to {high}");
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
        ui.label(text::caption(&high));
    });
    row.response.on_hover_text(tooltip);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nats_are_told_as_chances() {
        assert_eq!(times(81f64.ln()), "81 times likelier");
        assert_eq!(times(-(2.1f64.ln())), "2.1 times less likely");
        assert_eq!(times(54_393f64.ln()), "54,000 times likelier");
        assert_eq!(times(0.01), "as likely");
        assert_eq!(times(99.0), "a billion times likelier");
    }
}
