//! The phases of a run: how far one is, and where the time went.

use eframe::egui::{CornerRadius, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use inscribe::words;
use inscribe::write::event::{Phase, PhaseSeconds};
use inscribe::write::record::{PhaseProgress, RunRecord};

use crate::theme::{Mark, Theme, keys};

/// Units of work of a phase that are done, units in all, and what one is called. What a phase
/// reports are units of its own, of which only their share counts: people are told of tokens and
/// chunks of the document.
pub fn done_of(record: &RunRecord, now: PhaseProgress) -> (usize, usize, &'static str) {
    let segment = record.segments.get(now.segment);
    let (total, unit) = match now.phase {
        Phase::Steps | Phase::Save => (now.total, "step"),
        Phase::Evaluate => (segment.map_or(0, |s| s.chunks.len()), "chunk"),
        Phase::Prefill | Phase::Local => (segment.map_or(0, |s| s.tokens), "token"),
    };
    let part = now.done as f64 / now.total.max(1) as f64;
    let done = (part.clamp(0.0, 1.0) * total as f64).round() as usize;
    (done, total, unit)
}

/// A bar of all phases, each as long as it took, with their times.
pub fn show(ui: &mut Ui, seconds: &PhaseSeconds) {
    let theme = Theme::of(ui);
    let p = theme.palette;
    let total = seconds.total();
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 8.0), Sense::hover());
    ui.painter()
        .rect_filled(rect, CornerRadius::same(4), p.trough);
    let took = Phase::ALL.map(|phase| (phase, seconds.of(phase)));
    let took: Vec<_> = took.into_iter().filter(|(_, secs)| *secs > 0.0).collect();
    let mut x = rect.left();
    for &(phase, secs) in &took {
        let width = rect.width() * (secs / total) as f32;
        let part = Rect::from_min_max(
            pos2(x, rect.top()),
            pos2(x + (width - 1.0).max(0.5), rect.bottom()),
        );
        ui.painter()
            .rect_filled(part, CornerRadius::same(2), p.phase(phase));
        x += width;
    }
    let word = |(phase, secs): &(Phase, f64)| {
        let name = phase.name();
        format!("{name} {}", words::duration(*secs))
    };
    let words: Vec<String> = took.iter().map(word).collect();
    response.widget_info(|| {
        let all = format!("Time by phase: {}", words.join(", "));
        WidgetInfo::labeled(Role::Image, true, all)
    });
    // What is too short to be seen in the bar needs no key to it.
    let entries = took.iter().zip(&words);
    let entries = entries.filter(|((_, secs), _)| *secs >= 0.02 * total);
    let entries: Vec<_> = entries
        .map(|((phase, _), words)| (Mark::Fill, p.phase(*phase), words.as_str()))
        .collect();
    keys(ui, &entries);
}

#[cfg(test)]
mod tests {
    use super::*;
    use inscribe::write::event::Event;
    use inscribe::write::synthetic::{Invented, events};

    /// Blocks of a pass and batches of a measurement are nothing that people know.
    #[test]
    fn units_are_those_of_the_document() {
        let mut record = RunRecord::from_events(&events(&Invented::default()));
        let mut at = |phase, done, total| {
            record.fold(&Event::Progress { phase, done, total });
            done_of(&record, record.progress.expect("told"))
        };
        assert_eq!(at(Phase::Prefill, 12, 24), (6350, 12_700, "token"));
        assert_eq!(at(Phase::Local, 3, 12), (3175, 12_700, "token"));
        assert_eq!(at(Phase::Evaluate, 5060, 5060), (13, 13, "chunk"));
        assert_eq!(at(Phase::Steps, 12, 48), (12, 48, "step"));
    }
}
