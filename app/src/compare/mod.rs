//! Two runs side by side on shared axes, and where they differ.

mod difference;
mod verdict;

use eframe::egui::{self, ComboBox, Layout, Ui, vec2};
use inscribe::write::chart;
use inscribe::write::record::RunRecord;

use crate::replay::load::{Loading, Source, load};
use crate::replay::trouble;
use crate::run::header::numbers_of;
use crate::run::{Figures, LossPlot, Scales, Strips, loss_keys};
use crate::screens::frame::shortened;
use crate::state::prefs::Recent;
use crate::theme::{card, centred_row, primary_button, section, space, text};
use crate::vocabulary::{Selection, Side, fresh_version};

/// What the screen cannot do by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Let the person choose the events file or the memory's folder of a side.
    OpenRun(Side),
}

/// The run on a side.
enum Slot {
    /// The run of the document that is open.
    Current,
    Loaded {
        name: String,
        record: Box<RunRecord>,
        version: u64,
    },
}

/// The screen.
#[derive(Default)]
pub struct Compare {
    sides: [Option<Slot>; 2],
    loading: [Option<Loading>; 2],
    errors: [Option<String>; 2],
    known: [Option<(u64, Figures)>; 2],
    /// The chunk that is looked at here; the document's own choice is another.
    selection: Selection,
}

/// A side ready to be drawn.
struct Shown<'a> {
    side: Side,
    record: &'a RunRecord,
    figures: &'a Figures,
}

type Current<'a> = Option<(&'a RunRecord, u64)>;

impl Compare {
    /// Reads a run in the background and puts it on a side.
    pub fn open(&mut self, ctx: &egui::Context, side: Side, source: Source) {
        let ctx = ctx.clone();
        self.errors[side as usize] = None;
        self.loading[side as usize] = Some(load(source, move || ctx.request_repaint()));
    }

    pub fn open_samples(&mut self, ctx: &egui::Context) {
        self.open(ctx, Side::A, Source::Sample);
        self.open(ctx, Side::B, Source::SampleEvenly);
    }

    /// Puts the run of the open document on a side.
    pub fn show_current(&mut self, side: Side) {
        self.sides[side as usize] = Some(Slot::Current);
    }

    pub fn selection(&self) -> Selection {
        self.selection
    }

    pub fn is_loading(&self) -> bool {
        self.loading.iter().any(Option::is_some)
    }

    fn take_loaded(&mut self) {
        for side in [0, 1] {
            let Some(loaded) = self.loading[side].as_ref().and_then(Loading::ready) else {
                continue;
            };
            self.loading[side] = None;
            match loaded {
                Ok(run) => {
                    let record = Box::new(RunRecord::from_events(&run.events));
                    let version = fresh_version();
                    self.sides[side] = Some(Slot::Loaded {
                        name: run.name,
                        record,
                        version,
                    });
                }
                Err(error) => self.errors[side] = Some(error),
            }
        }
    }

    /// Works out what has changed.
    fn refresh(&mut self, current: Current<'_>) {
        for side in [0, 1] {
            let run = match &self.sides[side] {
                Some(Slot::Current) => current,
                Some(Slot::Loaded {
                    record, version, ..
                }) => Some((&**record, *version)),
                None => None,
            };
            let Some((record, version)) = run else {
                self.known[side] = None;
                continue;
            };
            if self.known[side]
                .as_ref()
                .is_none_or(|known| known.0 != version)
            {
                self.known[side] = Some((version, Figures::of(record)));
            }
        }
    }

    fn shown<'a>(&'a self, side: Side, current: Current<'a>) -> Option<Shown<'a>> {
        let record = match self.sides[side as usize].as_ref()? {
            Slot::Current => current?.0,
            Slot::Loaded { record, .. } => record,
        };
        let figures = &self.known[side as usize].as_ref()?.1;
        Some(Shown {
            side,
            record,
            figures,
        })
    }

    pub fn show(&mut self, ui: &mut Ui, current: Current<'_>, own: &[Recent]) -> Option<Ask> {
        self.take_loaded();
        self.refresh(current);
        let nothing = self.sides.iter().all(Option::is_none) && !self.is_loading();
        if nothing && self.errors.iter().all(Option::is_none) {
            return self.nothing_open(ui, current.is_some(), own);
        }
        ui.spacing_mut().item_spacing.y = space::M;
        let ask = self.choosers(ui, current.is_some(), own);
        self.refresh(current);
        egui::ScrollArea::vertical()
            .id_salt("compare")
            .auto_shrink([false, false])
            .show(ui, |ui| {
                let mut selection = self.selection;
                self.both(ui, current, &mut selection);
                self.selection = selection;
            });
        ask
    }

    fn both(&self, ui: &mut Ui, current: Current<'_>, selection: &mut Selection) {
        ui.spacing_mut().item_spacing.y = space::M;
        for error in self.errors.iter().flatten() {
            trouble(ui, error);
        }
        let shown = [self.shown(Side::A, current), self.shown(Side::B, current)];
        let scales = shown
            .iter()
            .flatten()
            .map(|s| Scales::of(s.figures))
            .reduce(Scales::join);
        if let [Some(a), Some(b)] = &shown {
            summary(ui, a, b);
        }
        let width = (ui.available_width() - space::M) / 2.0;
        let bounds = loss_bounds(&shown);
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = space::M;
            let [a, b] = &shown;
            for (side, shown, other) in [(Side::A, a, b), (Side::B, b, a)] {
                let other = other.as_ref();
                ui.allocate_ui(vec2(width, 0.0), |ui| {
                    ui.vertical(|ui| match shown {
                        Some(shown) => column(ui, shown, other, scales, bounds, selection),
                        None => waiting(ui, side, self.loading[side as usize].is_some()),
                    });
                });
            }
        });
        if let [Some(a), Some(b)] = &shown {
            card(ui, |ui| {
                difference::show(ui, a.figures, b.figures, selection)
            });
        }
    }

    fn nothing_open(&mut self, ui: &mut Ui, has_current: bool, own: &[Recent]) -> Option<Ask> {
        let mut ask = None;
        ui.vertical_centered(|ui| {
            ui.add_space((ui.available_height() * 0.22).max(space::XL));
            ui.label(text::display("Put two runs side by side"));
            ui.label(text::muted(
                "The same steps, shared out in two ways: what does it change, and where?",
            ));
            ui.add_space(space::L);
            if primary_button(ui, "Compare the sample runs").clicked() {
                let ctx = ui.ctx().clone();
                self.open_samples(&ctx);
            }
            if has_current {
                let ctx = ui.ctx().clone();
                centred_row(ui, "this run", |ui| {
                    ui.menu_button("Compare this run with…", |ui| {
                        let chosen = self.choices(ui, &ctx, Side::B, own);
                        if let Some(asks) = chosen {
                            self.show_current(Side::A);
                            ask = asks.then_some(Ask::OpenRun(Side::B));
                            ui.close();
                        }
                    });
                });
            }
            if ui.button("Open a saved run…").clicked() {
                ask = Some(Ask::OpenRun(Side::A));
            }
        });
        ask
    }

    /// The choice of the run on each side.
    fn choosers(&mut self, ui: &mut Ui, has_current: bool, own: &[Recent]) -> Option<Ask> {
        let mut ask = None;
        let width = (ui.available_width() - space::M) / 2.0;
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = space::M;
            for side in [Side::A, Side::B] {
                ui.allocate_ui_with_layout(
                    vec2(width, 32.0),
                    Layout::left_to_right(egui::Align::Center),
                    |ui| {
                        ui.set_width(width);
                        if self.chooser(ui, side, width, has_current, own) {
                            ask = Some(Ask::OpenRun(side));
                        }
                    },
                );
            }
        });
        ask
    }

    /// Returns whether a file is to be opened.
    fn chooser(
        &mut self,
        ui: &mut Ui,
        side: Side,
        width: f32,
        has_current: bool,
        own: &[Recent],
    ) -> bool {
        let name = match &self.sides[side as usize] {
            Some(Slot::Current) => "The run of this document".to_owned(),
            Some(Slot::Loaded { name, .. }) => name.clone(),
            None => "Choose a run".to_owned(),
        };
        ui.label(text::title(side.name()));
        let mut open = false;
        let label = format!("Run {}", side.name());
        let combo = ComboBox::from_id_salt(label.as_str())
            .selected_text(name)
            .width(width - 60.0);
        let ctx = ui.ctx().clone();
        let response = combo.show_ui(ui, |ui| {
            let choice = |ui: &mut Ui, words: &str| ui.selectable_label(false, words).clicked();
            if has_current && choice(ui, "The run of this document") {
                self.show_current(side);
            }
            open = self.choices(ui, &ctx, side, own) == Some(true);
        });
        response
            .response
            .widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, label.as_str()));
        open
    }

    /// Runs to choose from: whether a file is to be opened instead, once one is chosen.
    fn choices(
        &mut self,
        ui: &mut Ui,
        ctx: &egui::Context,
        side: Side,
        own: &[Recent],
    ) -> Option<bool> {
        let choice = |ui: &mut Ui, words: &str| ui.selectable_label(false, words).clicked();
        let mut chosen = None;
        for recent in own.iter().filter(|recent| recent.is_memory) {
            if choice(ui, &own_name(recent)) {
                chosen = Some(Source::Path(recent.path.clone()));
            }
        }
        for (words, source) in [
            ("Sample: steps by utility", Source::Sample),
            ("Sample: steps spread evenly", Source::SampleEvenly),
        ] {
            if choice(ui, words) {
                chosen = Some(source);
            }
        }
        if choice(ui, "From a file…") {
            return Some(true);
        }
        self.open(ctx, side, chosen?);
        Some(false)
    }
}

/// A memory's run as a list names it.
fn own_name(recent: &Recent) -> String {
    format!("Memory: {}", shortened(&recent.name(), 48))
}

fn waiting(ui: &mut Ui, side: Side, loading: bool) {
    card(ui, |ui| {
        ui.vertical_centered(|ui| {
            ui.add_space(space::XXL);
            if loading {
                ui.spinner();
            } else {
                ui.label(text::muted(format!(
                    "Choose a run for {} above.",
                    side.name()
                )));
            }
            ui.add_space(space::XXL);
        });
    });
}

/// Lowest and highest loss and the last step of both.
fn loss_bounds(shown: &[Option<Shown<'_>>; 2]) -> Option<(f64, f64, usize)> {
    let points = shown.iter().flatten().flat_map(|s| {
        s.figures
            .coverage
            .points
            .iter()
            .chain(&s.figures.by_utility.points)
    });
    let (low, high) = chart::range(points.map(|p| p.y))?;
    let last = shown
        .iter()
        .flatten()
        .map(|s| s.record.steps_to_take())
        .max()?;
    Some((low, high, last.max(2)))
}

/// One run: its strips and its losses.
fn column(
    ui: &mut Ui,
    shown: &Shown<'_>,
    other: Option<&Shown<'_>>,
    scales: Option<Scales>,
    bounds: Option<(f64, f64, usize)>,
    selection: &mut Selection,
) {
    ui.spacing_mut().item_spacing.y = space::M;
    let side = shown.side.name();
    ui.push_id(side, |ui| {
        card(ui, |ui| {
            let name = shown
                .record
                .document
                .as_ref()
                .map_or("", |d| d.name.as_str());
            ui.add(egui::Label::new(text::strong(name)).truncate());
            ui.add_space(space::XS);
            let height = Strips::height(&scales.unwrap_or(Scales::of(shown.figures)));
            let strips = Strips::new(side).of_run(side);
            let strips = match scales {
                Some(scales) => strips.scales(scales),
                None => strips,
            };
            strips.show(ui, shown.figures, height, selection);
        });
        card(ui, |ui| {
            section(
                ui,
                "Learning curve",
                "Each step’s words, against before any step",
            );
            let dashed = other.is_some().then_some("smoothed, the other run");
            loss_keys(ui, shown.figures.rule, dashed);
            let id = format!("losses {side} {bounds:?}");
            let plot = LossPlot::new(&id, 190.0);
            let plot = match bounds {
                Some(bounds) => plot.bounds(bounds),
                None => plot,
            };
            let plot = match other {
                Some(other) => plot.other(other.figures),
                None => plot,
            };
            plot.show(ui, shown.figures, shown.record, selection);
        });
    });
}

/// Both runs in a sentence and in numbers.
fn summary(ui: &mut Ui, a: &Shown<'_>, b: &Shown<'_>) {
    card(ui, |ui| {
        if let Some(words) = verdict::verdict(a.record, b.record) {
            ui.add(egui::Label::new(text::strong(words)).wrap());
            ui.add_space(space::XS);
        }
        let rows = numbers_of(a.record, b.record);
        let columns = rows.len().max(1) as f32;
        let width = (ui.available_width() - space::M * (columns - 1.0)) / columns;
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = space::M;
            for row in &rows {
                ui.allocate_ui(vec2(width, 0.0), |ui| {
                    ui.set_width(width);
                    ui.vertical(|ui| {
                        ui.spacing_mut().item_spacing.y = 2.0;
                        ui.label(text::caption(format!("{}, A  ·  B", row.name)));
                        ui.label(text::strong(format!("{}  ·  {}", row.a, row.b)));
                        if !row.difference.is_empty() {
                            ui.label(text::caption(format!("B − A: {}", row.difference)));
                        }
                    });
                });
            }
        });
    });
}
