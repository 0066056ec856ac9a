//! A recorded run that plays once on the first screen, for who has not seen one.

use std::time::Duration;

use eframe::egui::{
    Align2, CornerRadius, CursorIcon, Painter, Rect, RichText, Role, Sense, TextStyle, Ui,
    WidgetInfo, pos2, vec2,
};
use inscribe::words;
use inscribe::write::event::Phase;
use inscribe::write::record::RunRecord;

use crate::replay::load::{Source, read};
use crate::replay::player::Player;
use crate::run::Figures;
use crate::theme::{Theme, card, space, text};

/// Seconds that the whole run is played in.
const LASTS: f64 = 14.0;
/// Time between two pictures.
const FRAME: Duration = Duration::from_millis(66);
const HEIGHT: f32 = 156.0;
/// The strip of utilities.
const STRIP: f32 = 16.0;
/// Below this width the words stand over the picture.
const BESIDE: f32 = 600.0;

/// The run, and what was worked out of it.
#[derive(Default)]
pub struct Demo {
    player: Option<Player>,
    known: Option<(u64, Figures)>,
}

impl Demo {
    /// Shows it; whether it was clicked. Where nothing is to move, its end is shown.
    pub fn show(&mut self, ui: &mut Ui, still: bool) -> bool {
        let player = self.player.get_or_insert_with(|| begin(still));
        if player.is_playing() {
            let dt = ui.input(|input| input.unstable_dt);
            player.advance(f64::from(dt.min(0.25)));
            ui.ctx().request_repaint_after(FRAME);
        }
        let version = player.version();
        if self.known.as_ref().is_none_or(|known| known.0 != version) {
            self.known = Some((version, Figures::of(player.record())));
        }
        let (Some(player), Some((_, figures))) = (&self.player, &self.known) else {
            return false;
        };
        if player.length() <= 0.0 {
            return false;
        }
        let record = player.record();
        let shown = card(ui, |ui| {
            if ui.available_width() < BESIDE {
                story(ui, record);
                picture(ui, record, figures);
                return;
            }
            ui.horizontal_top(|ui| {
                let words = ui.available_width() * 0.42;
                ui.vertical(|ui| {
                    ui.set_width(words);
                    story(ui, record);
                });
                ui.add_space(space::M);
                ui.vertical(|ui| picture(ui, record, figures));
            });
        });
        let whole = shown.response.interact(Sense::click());
        let label = "Play this recorded run in full";
        whole.widget_info(|| WidgetInfo::labeled(Role::Button, true, label));
        whole
            .on_hover_cursor(CursorIcon::PointingHand)
            .on_hover_text(label)
            .clicked()
    }
}

fn begin(still: bool) -> Player {
    // It is shipped with the program; were it broken, nothing would be shown.
    let events = read(&Source::Sample).map(|run| run.events);
    let mut player = Player::new("sample".to_owned(), events.unwrap_or_default());
    if still {
        player.seek(player.length());
    } else {
        player.set_speed(player.length() / LASTS);
        player.play();
    }
    player
}

/// Three sentences, of which the one that is being played stands out.
fn story(ui: &mut Ui, record: &RunRecord) {
    let p = Theme::of(ui).palette;
    let at = match record.progress.map(|now| now.phase) {
        _ if record.loss_after().is_some() => 2,
        Some(Phase::Prefill | Phase::Local) if record.steps.is_empty() => 0,
        _ => 1,
    };
    ui.spacing_mut().item_spacing.y = space::S;
    ui.label(text::strong("A real run, played again"));
    let steps = record.steps_to_take();
    for (number, words) in [
        "Some words can only be guessed by someone who read the beginning. Bright parts have many."
            .to_owned(),
        format!("{steps} learning steps go where there are most of them."),
        "Now the model knows the document better: ask it.".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let colour = if number == at { p.ink } else { p.muted };
        let words = format!("{}  {words}", number + 1);
        let words = RichText::new(words).color(colour);
        let words = if number == at {
            words.text_style(text::strong_style())
        } else {
            words
        };
        ui.label(words);
    }
}

/// The document as a strip with its utilities, and over it the steps that each part got.
fn picture(ui: &mut Ui, record: &RunRecord, figures: &Figures) {
    let theme = Theme::of(ui);
    let p = theme.palette;
    let size = vec2(ui.available_width(), HEIGHT);
    let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
    let painter = ui.painter_at(rect);
    let font = TextStyle::Small.resolve(ui.style());
    let strip = Rect::from_min_max(
        pos2(rect.left(), rect.bottom() - STRIP - 22.0),
        pos2(rect.right(), rect.bottom() - 22.0),
    );
    painter.rect_filled(strip, CornerRadius::same(3), p.trough);
    read_so_far(&painter, strip, record, theme);
    let utility = |at: usize| figures.cells[at].record.utility;
    let known = (0..figures.cells.len()).filter_map(utility);
    let highest = known.fold(0.0f64, f64::max).max(0.1);
    let most = figures.cells.iter().map(|cell| cell.record.planned.total());
    let most = most.max().unwrap_or(1).max(1) as f32;
    let tokens = figures.tokens.max(1) as f32;
    let x = |token: usize| strip.left() + strip.width() * token as f32 / tokens;
    let room = strip.top() - rect.top() - 26.0;
    for (at, cell) in figures.cells.iter().enumerate() {
        let column = Rect::from_x_y_ranges(
            x(cell.from) + 1.0..=x(cell.to) - 1.0,
            rect.top()..=strip.bottom(),
        );
        if let Some(utility) = utility(at) {
            let part = Rect::from_x_y_ranges(column.x_range(), strip.y_range());
            let colour = theme.sequential(utility / highest);
            painter.rect_filled(part, CornerRadius::same(2), colour);
        }
        let mut top = strip.top() - 6.0;
        let taken = cell.record.taken;
        for (steps, colour) in [(taken.coverage, p.coverage), (taken.utility, p.utility)] {
            let height = room * steps as f32 / most;
            let bar = Rect::from_x_y_ranges(column.x_range(), top - height..=top);
            painter.rect_filled(bar, CornerRadius::same(1), colour);
            top -= height;
        }
    }
    let left = strip.left_bottom() + vec2(0.0, 4.0);
    let what = "the document, from its beginning to its end";
    painter.text(left, Align2::LEFT_TOP, what, font.clone(), p.muted);
    let steps = format!("step {} of {}", record.steps.len(), record.steps_to_take());
    let said = match (record.loss_before(), record.loss_after()) {
        (Some(before), Some(after)) => {
            format!(
                "loss {} → {} nats a word piece",
                words::number(before),
                words::number(after)
            )
        }
        _ if record.steps.is_empty() => "reading".to_owned(),
        _ => steps,
    };
    painter.text(rect.right_top(), Align2::RIGHT_TOP, said, font, p.muted);
}

/// How far the document is read, before its utilities are known.
fn read_so_far(painter: &Painter, strip: Rect, record: &RunRecord, theme: Theme) {
    let Some(now) = record.progress else {
        return;
    };
    if matches!(now.phase, Phase::Prefill | Phase::Local) {
        let part = now.done as f32 / now.total.max(1) as f32;
        let done = strip.with_max_x(strip.left() + strip.width() * part);
        let colour = theme.palette.accent.gamma_multiply(0.5);
        painter.rect_filled(done, CornerRadius::same(3), colour);
    }
}
