//! Plays a saved run again, at any speed, with no model.

pub mod load;
mod page;
pub mod player;
mod transport;

use eframe::egui::{Align, Key, Layout, Modifiers, ScrollArea, Ui, vec2};

use crate::run::{RunView, Shown};
use crate::screens::frame::shortened;
use crate::state::prefs::Recent;
use crate::theme::{card, primary_button, space, text};
use crate::vocabulary::Selection;
use load::{Loading, Source};
use page::Page;
use player::Player;

/// Below this width there is room for the run alone, without its text.
const BESIDE: f32 = 800.0;

/// What the screen cannot do by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Let the person choose an events file or a memory's folder.
    OpenRun,
}

/// The screen: a player, or what to open.
#[derive(Default)]
pub struct Replay {
    pub player: Option<Player>,
    loading: Option<Loading>,
    error: Option<String>,
    view: RunView,
    /// The document, where its text is at hand.
    page: Option<Page>,
    /// The chunk that is looked at here; the document's own choice is another.
    selection: Selection,
}

impl Replay {
    /// Reads a run in the background and plays it.
    pub fn open(&mut self, ctx: &eframe::egui::Context, source: Source) {
        let ctx = ctx.clone();
        self.error = None;
        self.loading = Some(load::load(source, move || ctx.request_repaint()));
    }

    pub fn is_loading(&self) -> bool {
        self.loading.is_some()
    }

    fn take_loaded(&mut self) {
        let Some(loaded) = self.loading.as_ref().and_then(Loading::ready) else {
            return;
        };
        self.loading = None;
        match loaded {
            Ok(run) => {
                let mut player = Player::new(run.name, run.events);
                player.play();
                self.page = run.text.map(Page::new);
                self.selection = Selection::default();
                self.player = Some(player);
            }
            Err(error) => self.error = Some(error),
        }
    }

    pub fn show(&mut self, ui: &mut Ui, own: &[Recent]) -> Option<Ask> {
        self.take_loaded();
        let Some(player) = &mut self.player else {
            return self.nothing_open(ui, own);
        };
        if !ui.ctx().text_edit_focused() {
            keys(ui, player);
        }
        if player.is_playing() {
            // The stable one is a guess where pictures are asked for at intervals, as here.
            let dt = ui.input(|input| input.unstable_dt);
            player.advance(f64::from(dt.min(0.25)));
            ui.ctx()
                .request_repaint_after(std::time::Duration::from_millis(25));
        }
        ui.spacing_mut().item_spacing.y = space::M;
        let mut ask = None;
        card(ui, |ui| ask = transport::show(ui, player));
        if let Some(error) = &self.error {
            trouble(ui, error);
        }
        let (record, version) = (player.record(), player.version());
        let (view, selection) = (&mut self.view, &mut self.selection);
        let mut run = |ui: &mut Ui, selection: &mut Selection| {
            ScrollArea::vertical()
                .id_salt("replay")
                .auto_shrink([false, false])
                .show(ui, |ui| {
                    view.show(ui, Shown::new(record, version), selection)
                });
        };
        let size = ui.available_size();
        match &mut self.page {
            Some(page) if size.x >= BESIDE => {
                let left = (size.x * 0.38).clamp(320.0, 760.0);
                ui.horizontal_top(|ui| {
                    ui.spacing_mut().item_spacing.x = space::M;
                    let top_down = Layout::top_down(Align::Min);
                    ui.allocate_ui_with_layout(vec2(left, size.y), top_down, |ui| {
                        page.show(ui, record, version, selection);
                    });
                    let right = vec2(size.x - left - space::M, size.y);
                    ui.allocate_ui_with_layout(right, top_down, |ui| run(ui, selection));
                });
            }
            _ => run(ui, selection),
        }
        match ask {
            Some(transport::Wish::Open) => Some(Ask::OpenRun),
            Some(transport::Wish::Sample) => {
                let ctx = ui.ctx().clone();
                self.open(&ctx, Source::Sample);
                None
            }
            None => None,
        }
    }

    fn nothing_open(&mut self, ui: &mut Ui, own: &[Recent]) -> Option<Ask> {
        let mut ask = None;
        ui.vertical_centered(|ui| {
            ui.add_space((ui.available_height() * 0.22).max(space::XL));
            ui.label(text::display("Watch a run again"));
            ui.label(text::muted(
                "Every run keeps its events. Play them at any speed; no model is needed.",
            ));
            ui.add_space(space::L);
            if self.loading.is_some() {
                ui.spinner();
                ui.label(text::muted("Reading the run…"));
                return;
            }
            if primary_button(ui, "Play the sample run").clicked() {
                let ctx = ui.ctx().clone();
                self.open(&ctx, Source::Sample);
            }
            if ui.button("Open a saved run…").clicked() {
                ask = Some(Ask::OpenRun);
            }
            ui.add_space(space::S);
            ui.label(text::caption("A memory's folder, or an events.jsonl file"));
            for recent in own.iter().filter(|recent| recent.is_memory).take(4) {
                let name = shortened(&recent.name(), 60);
                if ui.link(format!("Play how “{name}” was written")).clicked() {
                    let ctx = ui.ctx().clone();
                    self.open(&ctx, Source::Path(recent.path.clone()));
                }
            }
            if let Some(error) = &self.error {
                ui.add_space(space::M);
                trouble(ui, error);
            }
        });
        ask
    }
}

/// Space plays and pauses; comma and full stop go a step back and on.
fn keys(ui: &Ui, player: &mut Player) {
    // A focused button takes the space bar for itself.
    let free = ui.memory(|memory| memory.focused()).is_none();
    ui.input_mut(|input| {
        if free && input.consume_key(Modifiers::NONE, Key::Space) {
            player.toggle();
        }
        if input.consume_key(Modifiers::NONE, Key::Comma) {
            player.step_back();
        }
        if input.consume_key(Modifiers::NONE, Key::Period) {
            player.step_on();
        }
    });
}

/// A message of trouble, in place.
pub fn trouble(ui: &mut Ui, error: &str) {
    let p = crate::theme::Theme::of(ui).palette;
    eframe::egui::Frame::new()
        .fill(p.danger_soft)
        .corner_radius(space::RADIUS_S)
        .inner_margin(space::M)
        .show(ui, |ui| {
            ui.label(eframe::egui::RichText::new(error).color(p.danger));
        });
}
