//! Opens the window.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

use eframe::egui;
use inscribe_app::InscribeApp;
use inscribe_app::app::{LEAST, Options};
use inscribe_app::theme;

/// The first window's size in points: with its title bar it fits a screen of 1280 by 800.
const FIRST: [f32; 2] = [1264.0, 740.0];

fn main() -> eframe::Result {
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title("Inscribe")
            .with_app_id("inscribe")
            .with_icon(theme::window_icon())
            .with_inner_size(FIRST)
            .with_min_inner_size(LEAST)
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
