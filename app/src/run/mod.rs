//! Views of a run: where the gradient steps went and what they changed. They draw a `RunRecord`,
//! live or from a file, and touch nothing else.

mod detail;
pub mod figures;
pub mod header;
mod losses;
pub mod phases;
mod strips;

use eframe::egui::{self, Ui, vec2};
use inscribe::write::event::ChunkSteps;
use inscribe::write::record::RunRecord;

use crate::theme::{card, empty, section, space};
use crate::vocabulary::Selection;

pub use figures::{Cell, Figures};
pub use losses::{LossPlot, loss_keys};
pub use strips::{Scales, Strips};

/// Steps that would be taken under other settings: a list for each segment.
pub type Preview = Vec<Vec<ChunkSteps>>;

/// What changes when a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    version: u64,
    unix_secs: u64,
    steps: usize,
}

/// A run as its views draw it.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    pub record: &'a RunRecord,
    /// A number that changes whenever the record does.
    pub version: u64,
    /// Steps that settings which differ from the run's would give.
    pub preview: Option<&'a Preview>,
}

impl<'a> Shown<'a> {
    pub fn new(record: &'a RunRecord, version: u64) -> Shown<'a> {
        Shown {
            record,
            version,
            preview: None,
        }
    }

    pub fn preview(self, preview: Option<&'a Preview>) -> Shown<'a> {
        Shown { preview, ..self }
    }
}

/// The views of one run, with what they worked out of it.
#[derive(Debug, Default)]
pub struct RunView {
    figures: Figures,
    key: Option<Key>,
}

impl RunView {
    /// What the views draw.
    pub fn figures(&mut self, run: Shown<'_>) -> &Figures {
        let key = Key {
            version: run.version,
            unix_secs: run.record.unix_secs,
            steps: run.record.steps.len(),
        };
        if self.key != Some(key) {
            self.figures = Figures::of(run.record);
            self.key = Some(key);
        }
        &self.figures
    }

    /// The chunks along the document: utility, steps, losses, each under the other; of a height
    /// that shows them well, or of this one where it is more.
    pub fn strips(
        &mut self,
        ui: &mut Ui,
        run: Shown<'_>,
        height: Option<f32>,
        selection: &mut Selection,
    ) {
        let figures = self.figures(run);
        let height = height
            .unwrap_or(0.0)
            .max(Strips::height(&Scales::of(figures)));
        Strips::new("strips")
            .preview(run.preview)
            .show(ui, figures, height, selection);
    }

    /// Everything about a run, in one column that scrolls where it must.
    pub fn show(&mut self, ui: &mut Ui, run: Shown<'_>, selection: &mut Selection) {
        if run.record.document.is_none() && run.record.is_empty() {
            empty(ui, "No run yet", "Open a document, or play a saved run.");
            return;
        }
        ui.spacing_mut().item_spacing.y = space::M;
        card(ui, |ui| header::show(ui, run.record));
        if ui.available_width() >= SIDE_BY_SIDE {
            self.side_by_side(ui, run, selection)
        } else {
            self.stacked(ui, run, selection)
        }
    }

    fn loss_card(&mut self, ui: &mut Ui, run: Shown<'_>, height: f32, selection: &Selection) {
        let figures = self.figures(run);
        card(ui, |ui| {
            section(ui, "Loss of each step", "Before the step, in nats a token");
            loss_keys(ui, figures.rule, None);
            LossPlot::new("losses", height).show(ui, figures, run.record, selection);
        });
    }

    /// One under the other, for a narrow place.
    fn stacked(&mut self, ui: &mut Ui, run: Shown<'_>, selection: &mut Selection) {
        card(ui, |ui| self.strips(ui, run, None, selection));
        self.loss_card(ui, run, 190.0, selection);
        card(ui, |ui| {
            detail::show(ui, self.figures(run), run.record, selection)
        });
    }

    /// The strips at the left, the losses and the chosen chunk at the right, filling the window.
    fn side_by_side(&mut self, ui: &mut Ui, run: Shown<'_>, selection: &mut Selection) {
        let width = ui.available_width();
        let right = (width * 0.38).clamp(340.0, 760.0);
        let left = width - right - space::M;
        let least = Strips::height(&Scales::of(self.figures(run))).max(540.0) + CARD;
        let room = ui.clip_rect().bottom() - ui.cursor().top() - 2.0;
        let height = room.clamp(least, least.max(MOST_TALL));
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = space::M;
            ui.allocate_ui(vec2(left, height), |ui| {
                ui.vertical(|ui| {
                    card(ui, |ui| {
                        self.strips(ui, run, Some(height - CARD), selection);
                    });
                });
            });
            ui.allocate_ui(vec2(right, height), |ui| {
                ui.vertical(|ui| {
                    ui.spacing_mut().item_spacing.y = space::M;
                    let detail = (height * 0.5).clamp(296.0, 480.0);
                    let plot = height - detail - 2.0 * CARD - space::M - LOSS_HEADING + CARD;
                    self.loss_card(ui, run, plot, selection);
                    card(ui, |ui| {
                        ui.set_min_height(detail - CARD);
                        ui.set_max_height(detail - CARD);
                        detail::show(ui, self.figures(run), run.record, selection);
                    });
                });
            });
        });
    }
}

/// What a card's margins and edges take of its height.
const CARD: f32 = 2.0 * space::L + 2.0;
/// Taller than this no picture says more.
const MOST_TALL: f32 = 1240.0;
/// The heading and the keys of the loss plot.
const LOSS_HEADING: f32 = 78.0;
/// A place narrower than this shows one thing under the other.
const SIDE_BY_SIDE: f32 = 940.0;

/// Moves the chosen chunk with the arrow keys, Home and End; Escape lets go of it.
pub fn move_selection(ui: &Ui, figures: &Figures, selection: &mut Selection) {
    let (count, now) = (figures.cells.len(), figures.selected(selection));
    if count == 0 {
        return;
    }
    let mut to = None;
    ui.input_mut(|input| {
        let mut pressed = |key| input.consume_key(egui::Modifiers::NONE, key);
        if pressed(egui::Key::ArrowRight) {
            to = Some(now.map_or(0, |at| (at + 1).min(count - 1)));
        }
        if pressed(egui::Key::ArrowLeft) {
            to = Some(now.map_or(count - 1, |at| at.saturating_sub(1)));
        }
        if pressed(egui::Key::Home) {
            to = Some(0);
        }
        if pressed(egui::Key::End) {
            to = Some(count - 1);
        }
        if now.is_some() && pressed(egui::Key::Escape) {
            *selection = Selection::default();
        }
    });
    if let Some(cell) = to.and_then(|at| figures.cells.get(at)) {
        *selection = Selection::chunk(cell.segment, cell.chunk);
    }
}
