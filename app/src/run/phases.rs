//! Where a run's time went.

use eframe::egui::{CornerRadius, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use inscribe::words;
use inscribe::write::event::PhaseSeconds;

use crate::theme::{Mark, Theme, keys};

/// Each phase by its name, in the order of the work.
pub fn named(seconds: &PhaseSeconds) -> [(&'static str, f64); 5] {
    [
        ("Reading", seconds.prefill),
        ("Local pass", seconds.local),
        ("Evaluation", seconds.evaluate),
        ("Steps", seconds.steps),
        ("Saving", seconds.save),
    ]
}

/// A bar of all phases, each as long as it took, with their times.
pub fn show(ui: &mut Ui, seconds: &PhaseSeconds) {
    let theme = Theme::of(ui);
    let p = theme.palette;
    let total = seconds.total();
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 8.0), Sense::hover());
    ui.painter()
        .rect_filled(rect, CornerRadius::same(4), p.trough);
    let mut x = rect.left();
    let phases = named(seconds);
    for ((_, secs), colour) in phases.iter().zip(p.phases) {
        if total <= 0.0 || *secs <= 0.0 {
            continue;
        }
        let width = rect.width() * (secs / total) as f32;
        let part = Rect::from_min_max(
            pos2(x, rect.top()),
            pos2(x + (width - 1.0).max(0.5), rect.bottom()),
        );
        ui.painter()
            .rect_filled(part, CornerRadius::same(2), colour);
        x += width;
    }
    let words: Vec<String> = phases
        .iter()
        .map(|(name, secs)| format!("{name} {}", words::duration(*secs)))
        .collect();
    response.widget_info(|| {
        WidgetInfo::labeled(
            Role::Image,
            true,
            format!("Time by phase: {}", words.join(", ")),
        )
    });
    let entries: Vec<_> = phases
        .iter()
        .zip(p.phases)
        .zip(&words)
        .filter(|(((_, secs), _), _)| *secs > 0.0)
        .map(|((_, colour), words)| (Mark::Fill, colour, words.as_str()))
        .collect();
    keys(ui, &entries);
}
