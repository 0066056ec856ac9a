//! The screens of the window and the parts they are made of. They draw the state and push
//! actions; they neither wait nor read files.

pub mod ask;
pub mod controls;
pub mod frame;
pub mod keys;
pub mod overlays;
pub mod pickers;
pub mod text;
pub mod transport;
pub mod troubles;
pub mod welcome;
pub mod write;

use eframe::egui::{CentralPanel, Frame, Margin, Ui};

use crate::action::{Action, Screen};
use crate::app::Views;
use crate::state::State;
use crate::theme::{Theme, space};

/// Draws the whole window.
pub fn show(ui: &mut Ui, state: &mut State, views: &mut Views, actions: &mut Vec<Action>) {
    keys::take(ui, state, actions);
    frame::top_bar(ui, state, actions);
    troubles::show(ui, state, actions);
    if state.screen == Screen::Write && state.document.is_some() {
        transport::show(ui, state, actions);
        if state.prefs.controls_open {
            controls::panel(ui, state, &mut views.controls, actions);
        }
    }
    let background = Theme::of(ui).palette.background;
    let frame = Frame::new()
        .fill(background)
        .inner_margin(Margin::same(space::L as i8));
    CentralPanel::default()
        .frame(frame)
        .show(ui, |ui| match state.screen {
            Screen::Write if state.document.is_some() => write::show(ui, state, views, actions),
            Screen::Ask if state.document.is_some() => ask::show(ui, state, actions),
            _ => welcome::show(ui, state, actions),
        });
    overlays::show(ui, state, actions);
}
