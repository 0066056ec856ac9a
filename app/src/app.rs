//! The application: once a frame it takes in what the engine reports, draws, and carries out what
//! the widgets asked for.

use eframe::egui;

use crate::action::Action;
use crate::engine::{Engine, Report};
use crate::state::State;

/// How the window starts; tests start it in their own way.
#[derive(Clone, Debug, Default)]
pub struct Options {}

pub struct InscribeApp {
    pub state: State,
    engine: Engine,
    actions: Vec<Action>,
}

impl InscribeApp {
    pub fn new(context: &eframe::CreationContext<'_>, _options: Options) -> InscribeApp {
        let ctx = context.egui_ctx.clone();
        InscribeApp {
            state: State::default(),
            engine: Engine::start(move || ctx.request_repaint()),
            actions: Vec::new(),
        }
    }

    fn take_in(&mut self, report: Report) {
        match report {
            Report::Event(event) => {
                self.state.run.record.fold(&event);
                self.state.run.version += 1;
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        if let Action::Show(screen) = action {
            self.state.screen = screen;
        }
    }
}

impl eframe::App for InscribeApp {
    fn logic(&mut self, _ctx: &egui::Context, _frame: &mut eframe::Frame) {
        while let Some(report) = self.engine.next_report() {
            self.take_in(report);
        }
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        egui::CentralPanel::default().show(ui, |ui| {
            ui.heading("Open a document");
        });
        for action in std::mem::take(&mut self.actions) {
            self.carry_out(action);
        }
    }
}
