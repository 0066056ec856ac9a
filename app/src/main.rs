//! Opens the window.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

use eframe::egui;
use inscribe_app::InscribeApp;
use inscribe_app::app::Options;

fn main() -> eframe::Result {
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title("Inscribe")
            .with_app_id("inscribe")
            .with_inner_size([1280.0, 800.0])
            .with_min_inner_size([960.0, 640.0])
            .with_drag_and_drop(true),
        ..eframe::NativeOptions::default()
    };
    eframe::run_native(
        "inscribe",
        options,
        Box::new(|context| {
            let options = Options {
                open: std::env::args_os().nth(1).map(Into::into),
                ..Options::default()
            };
            Ok(Box::new(InscribeApp::new(context, options)?))
        }),
    )
}
