//! The window closes only when nothing is lost by it.

use eframe::egui;

use crate::app::InscribeApp;
use crate::vocabulary::Dialog;

impl InscribeApp {
    pub(crate) fn watch_close(&mut self, ctx: &egui::Context) {
        let state = &mut self.state;
        let asked = ctx.input(|input| input.viewport().close_requested());
        let writing = state.is_writing();
        if asked && writing && !state.may_quit {
            ctx.send_viewport_cmd(egui::ViewportCommand::CancelClose);
            state.dialog = Dialog::Quit;
        }
        if state.dialog == Dialog::Quit && !writing {
            // There is nothing left to ask.
            state.dialog = Dialog::None;
        }
        if state.quit_when_stopped && !writing {
            state.quit_when_stopped = false;
            state.may_quit = true;
            ctx.send_viewport_cmd(egui::ViewportCommand::Close);
        }
    }

    /// Ends everything, with what is to be kept of it.
    pub(crate) fn close(&mut self) {
        self.cancel(|_| true);
        self.engine.close();
    }
}
