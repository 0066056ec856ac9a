//! The screens of the window and the parts they are made of. They draw the state and push
//! actions; they neither wait nor read files.

pub mod ask;
pub mod controls;
mod focus;
pub mod frame;
pub mod keys;
mod learn;
pub mod overlays;
pub mod pickers;
pub mod text;
pub mod transport;
pub mod troubles;
pub mod welcome;
pub mod write;

use eframe::egui::{CentralPanel, Frame, Margin, Ui};
use inscribe::write::record::RunRecord;

use crate::action::Action;
use crate::compare::Compare;
use crate::replay::load::Source;
use crate::replay::{self, Replay};
use crate::run::RunView;
use crate::state::State;
use crate::teach::Teach;
use crate::theme::{Theme, space};
use crate::vocabulary::{Purpose, Screen};

/// What views keep between frames beside the state: layouts and the like.
#[derive(Default)]
pub struct Views {
    pub text: text::TextView,
    pub controls: controls::Controls,
    pub pane: write::Pane,
    pub run: RunView,
    pub compare: Compare,
    pub teach: Teach,
    pub numbers: learn::Numbers,
    pub replay: Replay,
    pub welcome: welcome::Demo,
}

/// Draws the whole window.
pub fn show(ui: &mut Ui, state: &mut State, views: &mut Views, actions: &mut Vec<Action>) {
    keys::take(ui, state, actions);
    frame::top_bar(ui, state, actions);
    troubles::show(ui, state, actions);
    if state.screen == Screen::Write && state.document.is_some() {
        transport::show(ui, state, actions);
        if controls::are_shown(ui, state) {
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
            Screen::Compare => compare(ui, state, views, actions),
            Screen::Learn => learn::show(ui, state, views, actions),
            Screen::Replay => {
                let ask = views.replay.show(ui, &state.prefs.recent);
                if let Some(replay::Ask::OpenRun) = ask {
                    actions.push(Action::Pick(Purpose::ReplayRun));
                }
            }
            _ => {
                if welcome::show(ui, state, &mut views.welcome, actions) {
                    views.replay.open(ui.ctx(), Source::Sample);
                    actions.push(Action::Show(Screen::Replay));
                }
            }
        });
    overlays::show(ui, state, actions);
    focus::ring(ui.ctx());
}

/// The run of the open document, if there is one worth showing elsewhere.
fn current(state: &State) -> Option<(&RunRecord, u64)> {
    let run = &state.run;
    (!run.record.is_empty()).then_some((&run.record, run.version))
}

fn compare(ui: &mut Ui, state: &State, views: &mut Views, actions: &mut Vec<Action>) {
    let ask = views.compare.show(ui, current(state), &state.prefs.recent);
    if let Some(crate::compare::Ask::OpenRun(side)) = ask {
        actions.push(Action::Pick(Purpose::CompareRun(side)));
    }
}
