//! The player's buttons, its speed, and its line of time.

use eframe::egui::{
    Align, CornerRadius, CursorIcon, Key, Layout, Modifiers, Rect, Sense, Stroke, Ui, WidgetInfo,
    pos2, vec2,
};
use inscribe::words;

use super::player::Player;
use crate::theme::{Icon, Theme, icon_button, segmented, space, text};

pub enum Wish {
    Open,
    Sample,
}

const SPEEDS: [(f64, &str); 5] = [
    (1.0, "1×"),
    (4.0, "4×"),
    (8.0, "8×"),
    (32.0, "32×"),
    (128.0, "128×"),
];

pub fn show(ui: &mut Ui, player: &mut Player) -> Option<Wish> {
    let mut wish = None;
    ui.horizontal(|ui| {
        ui.set_min_height(34.0);
        buttons(ui, player);
        ui.add_space(space::S);
        let mut speed = player.speed();
        ui.label(text::caption("Speed"));
        if segmented(ui, &mut speed, &SPEEDS) {
            player.set_speed(speed);
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = space::S;
            if ui.button("Open a saved run…").clicked() {
                wish = Some(Wish::Open);
            }
            if ui.button("Play the sample run").clicked() {
                wish = Some(Wish::Sample);
            }
            ui.add_space(space::S);
            let name = text::muted(player.name.as_str());
            ui.add(eframe::egui::Label::new(name).truncate());
        });
    });
    timeline(ui, player);
    wish
}

fn buttons(ui: &mut Ui, player: &mut Player) {
    ui.spacing_mut().item_spacing.x = space::XS;
    if icon_button(
        ui,
        Icon::ToStart,
        true,
        "Back to the start",
        "Back to the start",
    )
    .clicked()
    {
        player.seek(0.0);
    }
    if icon_button(ui, Icon::StepBack, true, "Step back", "A step back (,)").clicked() {
        player.step_back();
    }
    let (icon, label, hint) = if player.is_playing() {
        (Icon::Pause, "Pause", "Pause (space)")
    } else {
        (Icon::Play, "Play", "Play (space)")
    };
    if icon_button(ui, icon, true, label, hint).clicked() {
        player.toggle();
    }
    if icon_button(ui, Icon::StepOn, true, "Step on", "A step on (.)").clicked() {
        player.step_on();
    }
}

/// The run as a line: its phases in their colours, its moment as a handle that can be dragged.
fn timeline(ui: &mut Ui, player: &mut Player) {
    let p = Theme::of(ui).palette;
    let length = player.length().max(1e-9);
    ui.horizontal(|ui| {
        let times = format!("{} / {}", clock(player.clock()), clock(length));
        let times = ui.painter().layout_no_wrap(
            times,
            eframe::egui::TextStyle::Small.resolve(ui.style()),
            p.muted,
        );
        // Room for the longest text, so that the line keeps its length while time goes on.
        let room = 2.0 * 8.0 * clock(length).len() as f32 + 24.0;
        let width = ui.available_width() - room - space::S;
        let sense = Sense::click_and_drag();
        let (rect, response) = ui.allocate_exact_size(vec2(width.max(80.0), 26.0), sense);
        let response = response.on_hover_cursor(CursorIcon::PointingHand);
        let line = Rect::from_center_size(rect.center(), vec2(rect.width() - 14.0, 8.0));
        let x = |secs: f64| line.left() + line.width() * (secs / length).clamp(0.0, 1.0) as f32;
        let painter = ui.painter();
        painter.rect_filled(line, CornerRadius::same(4), p.trough);
        for stretch in player.stretches() {
            let (from, to) = (x(stretch.from_secs), x(stretch.to_secs));
            let part = Rect::from_min_max(pos2(from, line.top()), pos2(to, line.bottom()));
            let colour = p.phase(stretch.phase);
            painter.rect_filled(part, CornerRadius::same(2), colour.gamma_multiply(0.35));
            let played = part.with_max_x(part.right().min(x(player.clock())));
            if played.width() > 0.0 {
                painter.rect_filled(played, CornerRadius::same(2), colour);
            }
        }
        let handle = pos2(x(player.clock()), line.center().y);
        let reach = if response.hovered() || response.has_focus() {
            8.0
        } else {
            7.0
        };
        painter.circle(handle, reach, p.surface, Stroke::new(2.0, p.ink));
        response
            .widget_info(|| WidgetInfo::slider(true, player.clock(), "Moment of the run, seconds"));
        if let Some(at) = response.interact_pointer_pos() {
            let part = f64::from((at.x - line.left()) / line.width().max(1.0));
            player.seek(part.clamp(0.0, 1.0) * length);
        }
        if response.has_focus() {
            let filter = eframe::egui::EventFilter {
                horizontal_arrows: true,
                ..Default::default()
            };
            ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
            let by = ui.input_mut(|input| {
                let right = input.consume_key(Modifiers::NONE, Key::ArrowRight);
                let left = input.consume_key(Modifiers::NONE, Key::ArrowLeft);
                let home = input.consume_key(Modifiers::NONE, Key::Home);
                let end = input.consume_key(Modifiers::NONE, Key::End);
                let step = length / 50.0;
                match () {
                    () if home => -length,
                    () if end => length,
                    () => step * (f64::from(u8::from(right)) - f64::from(u8::from(left))),
                }
            });
            if by != 0.0 {
                player.seek(player.clock() + by);
            }
        }
        let at = pos2(
            rect.right() + space::S,
            rect.center().y - times.size().y / 2.0,
        );
        ui.painter().galley(at, times, p.muted);
    });
}

/// `1:46`, `2:05:10`.
fn clock(secs: f64) -> String {
    if secs < 10.0 && secs.fract() != 0.0 {
        return words::duration(secs);
    }
    let whole = secs.max(0.0) as u64;
    let (hours, minutes, secs) = (whole / 3600, whole % 3600 / 60, whole % 60);
    match hours {
        0 => format!("{minutes}:{secs:02}"),
        _ => format!("{hours}:{minutes:02}:{secs:02}"),
    }
}
