//! Views of a run: where the gradient steps went and what they changed. They draw a `RunRecord`,
//! live or from a file, and touch nothing else.

mod detail;
pub mod figures;
pub mod header;
pub mod learning;
mod losses;
pub mod phases;
mod strips;

use eframe::egui::{self, Frame, Ui, vec2};
use inscribe::write::event::ChunkSteps;
use inscribe::write::record::{RunRecord, Status};

use crate::theme::{Theme, empty, space};
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
    /// Whether the document's name is to stand over it.
    pub named: bool,
    /// The height that is seen without scrolling, where that is known.
    pub height: Option<f32>,
}

impl<'a> Shown<'a> {
    pub fn new(record: &'a RunRecord, version: u64) -> Shown<'a> {
        Shown {
            record,
            version,
            preview: None,
            named: true,
            height: None,
        }
    }

    pub fn preview(self, preview: Option<&'a Preview>) -> Shown<'a> {
        Shown { preview, ..self }
    }

    /// Beside the document, which has its name over it, in a place of this height.
    pub fn beside_the_document(self, height: f32) -> Shown<'a> {
        Shown {
            named: false,
            height: Some(height),
            ..self
        }
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

    /// The chunks along the document: utility, steps, losses, each under the other; of this height,
    /// or of one that shows them well.
    pub fn strips(
        &mut self,
        ui: &mut Ui,
        run: Shown<'_>,
        height: Option<f32>,
        selection: &mut Selection,
    ) {
        let figures = self.figures(run);
        let height = height.unwrap_or(Strips::height(&Scales::of(figures)));
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
        let top = ui.cursor().top();
        let seen = run.height.unwrap_or(ui.clip_rect().bottom() - top);
        ui.spacing_mut().item_spacing.y = space::S;
        let figures = self.figures(run);
        tight_card(ui, |ui| header::show(ui, run, figures));
        let room = seen - (ui.cursor().top() - top) - 2.0;
        if self.figures(run).cells.is_empty() {
            tight_card(ui, |ui| self.strips(ui, run, None, selection));
            return;
        }
        if ui.available_width() >= SIDE_BY_SIDE {
            self.side_by_side(ui, run, room, selection)
        } else {
            self.stacked(ui, run, room, selection)
        }
    }

    /// `height` is that of the card.
    fn loss_card(&mut self, ui: &mut Ui, run: Shown<'_>, height: f32, selection: &Selection) {
        let figures = self.figures(run);
        tight_card(ui, |ui| {
            losses::heading(ui, figures);
            let plot = height - TIGHT_CARD - LOSS_HEADING;
            LossPlot::new("losses", plot).show(ui, figures, run.record, selection);
        });
    }

    fn detail_card(&mut self, ui: &mut Ui, run: Shown<'_>, height: f32, selection: &mut Selection) {
        tight_card(ui, |ui| {
            ui.set_min_height(height - TIGHT_CARD);
            ui.set_max_height(height - TIGHT_CARD);
            detail::show(ui, self.figures(run), run.record, selection);
        });
    }

    /// One under the other, so that in a window of usual size all that moves is in sight.
    fn stacked(&mut self, ui: &mut Ui, run: Shown<'_>, room: f32, selection: &mut Selection) {
        let figures = self.figures(run);
        let chosen = figures.selected(selection).is_some();
        let curve = figures.begun || run.record.status == Status::Running && figures.most_steps > 0;
        let scales = Scales::of(figures);
        let (least, natural) = (Strips::least_height(&scales), Strips::height(&scales));
        let gap = ui.spacing().item_spacing.y;
        let beside = chosen && curve && ui.available_width() >= DETAIL_BESIDE;
        let least_below = match (curve, beside) {
            (true, true) => DETAIL_LOW,
            (true, false) => CURVE_LOW,
            (false, _) => DETAIL,
        };
        // What is over is shared, first so that the strips are as they look best.
        let over = room - natural - TIGHT_CARD - gap - least_below;
        let strips = match over > 0.0 {
            true => natural + 0.4 * over,
            false => (natural + over).max(least),
        };
        tight_card(ui, |ui| self.strips(ui, run, Some(strips), selection));
        let below = (room - strips - TIGHT_CARD - gap).max(least_below);
        if !curve {
            self.detail_card(ui, run, below, selection);
            return;
        }
        if !beside {
            self.loss_card(ui, run, below, selection);
            if chosen {
                self.detail_card(ui, run, DETAIL, selection);
            }
            return;
        }
        let width = ui.available_width();
        let right = (0.42 * width).clamp(250.0, 340.0);
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = space::S;
            ui.allocate_ui(vec2(width - right - space::S, below), |ui| {
                ui.vertical(|ui| self.loss_card(ui, run, below, selection));
            });
            ui.allocate_ui(vec2(right, below), |ui| {
                ui.vertical(|ui| self.detail_card(ui, run, below, selection));
            });
        });
    }

    /// The strips at the left, the losses and the chosen chunk at the right, filling the window.
    fn side_by_side(&mut self, ui: &mut Ui, run: Shown<'_>, room: f32, selection: &mut Selection) {
        let width = ui.available_width();
        let right = (width * 0.38).clamp(340.0, 760.0);
        let gap = space::S;
        let least =
            Strips::least_height(&Scales::of(self.figures(run))).max(CURVE_LOW + DETAIL_LOW);
        let height = room.clamp(least, least.max(MOST_TALL));
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = gap;
            ui.allocate_ui(vec2(width - right - gap, height), |ui| {
                ui.vertical(|ui| {
                    tight_card(ui, |ui| {
                        self.strips(ui, run, Some(height - TIGHT_CARD), selection);
                    });
                });
            });
            ui.allocate_ui(vec2(right, height), |ui| {
                ui.vertical(|ui| {
                    ui.spacing_mut().item_spacing.y = gap;
                    let detail = (height * 0.5).clamp(DETAIL_LOW, 480.0);
                    self.loss_card(ui, run, height - detail - gap, selection);
                    self.detail_card(ui, run, detail, selection);
                });
            });
        });
    }
}

/// A card with less room around what is on it, where every point counts.
fn tight_card<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) {
    let p = Theme::of(ui).palette;
    Frame::new()
        .fill(p.surface)
        .stroke(egui::Stroke::new(1.0, p.border))
        .corner_radius(space::RADIUS)
        .inner_margin(egui::Margin::symmetric(space::M as i8, space::S as i8 + 2))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            add(ui)
        });
}

/// What such a card's margins and edges take of its height.
const TIGHT_CARD: f32 = 2.0 * (space::S + 2.0) + 2.0;
/// Taller than this no picture says more.
const MOST_TALL: f32 = 1240.0;
/// The heading and the keys of the loss plot.
const LOSS_HEADING: f32 = 44.0;
/// The least height of the card with the plot, and of that with a chunk: without its own curve,
/// and with it.
const CURVE_LOW: f32 = 176.0;
const DETAIL_LOW: f32 = 206.0;
const DETAIL: f32 = 300.0;
/// A place narrower than this shows one thing under the other.
const SIDE_BY_SIDE: f32 = 940.0;
/// A chosen chunk stands beside the plot from this width on.
const DETAIL_BESIDE: f32 = 600.0;

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
