//! Opens the window.
fn main() -> eframe::Result {
    eframe::run_ui_native("Inscribe", eframe::NativeOptions::default(), |ui, _| {
        ui.heading("Open a document");
    })
}
