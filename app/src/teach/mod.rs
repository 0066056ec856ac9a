//! A walk through the method, page by page, with the numbers of the open document.

pub mod example;
pub mod formula;
mod lesson;
mod pages;
mod pictures;
mod words;

use eframe::egui::{
    self, CornerRadius, Key, Layout, Modifiers, Role, Sense, Stroke, Ui, WidgetInfo, vec2,
};
use inscribe::write::record::RunRecord;

use crate::replay::load::{Loading, Source, Text, load};
use crate::replay::trouble;
use crate::run::Figures;
use crate::theme::{Theme, card, empty, primary_button, space, text};
use crate::vocabulary::{Selection, fresh_version};
use example::Example;
use lesson::Lesson;
use pages::PAGES;
pub use words::Words;

/// Width of the buttons and dots that turn pages.
const NAVIGATION: f32 = 400.0;

/// The screen.
#[derive(Default)]
pub struct Teach {
    page: usize,
    /// Number of the page that was asked for while this one is drawn.
    turned_to: Option<usize>,
    /// The temperature that the page on the softmax is drawn with; the run's own until it is moved.
    tau: Option<f64>,
    known: Option<Known>,
    sample: Option<Sample>,
    loading: Option<Loading>,
    error: Option<String>,
}

/// The run that the program ships, with its text.
struct Sample {
    record: RunRecord,
    version: u64,
    text: Option<Text>,
}

impl Sample {
    fn words(&self) -> Option<Words<'_>> {
        let text = self.text.as_ref()?;
        Some(Words {
            text: &text.document.text,
            tokens: text.tokens.as_deref()?,
        })
    }
}

/// What was worked out of a run, for as long as it stays the same.
struct Known {
    version: u64,
    selection: Selection,
    figures: Figures,
    example: Option<Example>,
}

impl Teach {
    pub fn page(&self) -> usize {
        self.page
    }

    pub fn go_to(&mut self, page: usize) {
        self.page = page.min(PAGES.len() - 1);
    }

    /// Walks through this run, or through the sample where there is none with utilities.
    pub fn show(
        &mut self,
        ui: &mut Ui,
        run: Option<(&RunRecord, u64)>,
        words: Option<Words<'_>>,
        selection: &Selection,
    ) {
        let measured = |record: &RunRecord| {
            let read = record.segments.iter().any(|s| s.local_secs > 0.0);
            read && record.utility_range().is_some()
        };
        let own = run.filter(|(record, _)| measured(record));
        self.take_sample(ui, own.is_none());
        let sample = self.sample.take();
        let is_sample = own.is_none();
        let of_sample = sample.as_ref().map(|s| (&s.record, s.version, s.words()));
        let shown = own.map(|(record, version)| (record, version, words));
        let shown = shown.or(of_sample);
        let area = egui::ScrollArea::vertical()
            .id_salt("teach")
            .auto_shrink([false, false]);
        area.show(ui, |ui| match shown {
            Some((record, version, words)) => {
                let run = (record, version, words);
                self.lesson(ui, run, selection, is_sample);
            }
            None => self.waiting(ui),
        });
        self.sample = sample;
    }

    fn take_sample(&mut self, ui: &Ui, wanted: bool) {
        if let Some(loaded) = self.loading.as_ref().and_then(Loading::ready) {
            self.loading = None;
            match loaded {
                Ok(run) => {
                    self.sample = Some(Sample {
                        record: RunRecord::from_events(&run.events),
                        version: fresh_version(),
                        text: run.text,
                    });
                }
                Err(error) => self.error = Some(error),
            }
        }
        if wanted && self.sample.is_none() && self.loading.is_none() && self.error.is_none() {
            let ctx = ui.ctx().clone();
            self.loading = Some(load(Source::Sample, move || ctx.request_repaint()));
        }
    }

    fn waiting(&self, ui: &mut Ui) {
        ui.vertical_centered(|ui| {
            ui.add_space(space::XXL);
            match &self.error {
                Some(error) => trouble(ui, error),
                None => {
                    ui.spinner();
                }
            }
        });
    }

    fn lesson(
        &mut self,
        ui: &mut Ui,
        (record, version, words): (&RunRecord, u64, Option<Words<'_>>),
        selection: &Selection,
        is_sample: bool,
    ) {
        let fresh = |k: &Known| k.version == version && k.selection == *selection;
        if !self.known.as_ref().is_some_and(fresh) {
            let figures = Figures::of(record);
            self.known = Some(Known {
                version,
                selection: *selection,
                example: Example::of(record, &figures, selection),
                figures,
            });
        }
        let Some(known) = self.known.take() else {
            return;
        };
        match &known.example {
            Some(example) => {
                let run = (record, words);
                self.pages(ui, run, &known.figures, example, is_sample);
            }
            None => empty(
                ui,
                "Nothing measured yet",
                "The walk begins once the document is read.",
            ),
        }
        self.known = Some(known);
    }

    fn pages(
        &mut self,
        ui: &mut Ui,
        (record, words): (&RunRecord, Option<Words<'_>>),
        figures: &Figures,
        example: &Example,
        is_sample: bool,
    ) {
        let own_tau = record.settings.as_ref().map_or(1.0, |s| s.tau);
        let mut tau = self.tau.unwrap_or(own_tau);
        let mut lesson = Lesson {
            record,
            figures,
            example,
            words,
            tau: &mut tau,
            own_tau,
        };
        let page = self.page.min(PAGES.len() - 1);
        let name = record
            .document
            .as_ref()
            .map_or("a document", |d| d.name.as_str());
        self.heading(ui, page, name, is_sample);
        ui.add_space(space::L);
        let width = ui.available_width();
        if width >= 900.0 {
            let words = (width * 0.44).min(space::PROSE);
            let picture = (width - words - space::XXL).min(1600.0);
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = space::XXL;
                ui.allocate_ui(vec2(words, 0.0), |ui| {
                    ui.set_width(words);
                    ui.vertical(|ui| (PAGES[page].words)(ui, &mut lesson));
                });
                ui.allocate_ui(vec2(picture, 0.0), |ui| {
                    ui.vertical(|ui| card(ui, |ui| (PAGES[page].picture)(ui, &mut lesson)));
                });
            });
        } else {
            (PAGES[page].words)(ui, &mut lesson);
            card(ui, |ui| (PAGES[page].picture)(ui, &mut lesson));
        }
        self.tau = (tau != own_tau).then_some(tau);
        self.page = self.turned_to.take().unwrap_or(self.page);
    }

    /// Which page of which document; at the right, the way to the others, always at one place.
    fn heading(&mut self, ui: &mut Ui, page: usize, name: &str, is_sample: bool) {
        let caption = if is_sample {
            format!("With the numbers of the sample, {name}")
        } else {
            format!("With the numbers of {name}")
        };
        ui.horizontal(|ui| {
            ui.vertical(|ui| {
                ui.label(text::caption(caption));
                ui.label(text::title(format!("{}.  {}", page + 1, PAGES[page].title)));
            });
            ui.with_layout(Layout::right_to_left(egui::Align::Center), |ui| {
                ui.allocate_ui_with_layout(
                    vec2(NAVIGATION, 40.0),
                    Layout::left_to_right(egui::Align::Center),
                    |ui| self.turn(ui),
                );
            });
        });
    }

    /// Back, the pages as dots, next.
    fn turn(&mut self, ui: &mut Ui) {
        let last = PAGES.len() - 1;
        let mut to = self.page;
        ui.horizontal(|ui| {
            if ui
                .add_enabled(self.page > 0, egui::Button::new("Back"))
                .clicked()
            {
                to = self.page.saturating_sub(1);
            }
            ui.add_space(space::S);
            for (at, page) in PAGES.iter().enumerate() {
                if dot(ui, at, page.title, at == self.page) {
                    to = at;
                }
            }
            ui.add_space(space::S);
            if self.page < last {
                if primary_button(ui, "Next").clicked() {
                    to = self.page + 1;
                }
            } else if ui.button("Start again").clicked() {
                to = 0;
            }
        });
        ui.input_mut(|input| {
            if input.consume_key(Modifiers::NONE, Key::PageDown) {
                to = (self.page + 1).min(last);
            }
            if input.consume_key(Modifiers::NONE, Key::PageUp) {
                to = self.page.saturating_sub(1);
            }
        });
        self.turned_to = (to != self.page).then_some(to);
    }
}

fn dot(ui: &mut Ui, at: usize, title: &str, on: bool) -> bool {
    let p = Theme::of(ui).palette;
    let (rect, response) = ui.allocate_exact_size(vec2(24.0, 30.0), Sense::click());
    let label = format!("Page {}: {title}", at + 1);
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, on, label.as_str()));
    let lit = on || response.hovered() || response.has_focus();
    let fill = if on { p.accent } else { p.border };
    let reach = if lit { 6.0 } else { 5.0 };
    ui.painter().circle_filled(rect.center(), reach, fill);
    if response.has_focus() {
        let around = rect.shrink2(vec2(2.0, 5.0));
        let stroke = Stroke::new(1.5, p.accent);
        ui.painter().rect_stroke(
            around,
            CornerRadius::same(6),
            stroke,
            egui::StrokeKind::Inside,
        );
    }
    response.on_hover_text(label).clicked()
}
