//! Settings: presets, sliders that redraw the shares at once, methods and baselines.

use inscribe::write::method::Method;
use inscribe::write::settings::Allocate;

use crate::desk::{Desk, prefs};

fn most(desk: &Desk) -> u32 {
    let steps = desk.state().preview.steps.iter().flatten();
    steps.map(|s| s.total()).max().unwrap_or(0)
}

#[test]
fn sliders_share_the_steps_anew_without_running_anything() {
    let mut desk = Desk::new();
    desk.open_text(400);
    desk.click("Read and measure");
    desk.wait("the measuring", Desk::is_idle);
    assert_eq!(desk.state().preview.total(), 12);
    desk.slide("Budget K", 100.0);
    assert_eq!(desk.state().settings().budget, 100);
    assert_eq!(desk.state().preview.total(), 100);
    desk.slide("Temperature τ", 0.02);
    let sharp = most(&desk);
    desk.slide("Temperature τ", 20.0);
    let flat = most(&desk);
    assert!(sharp > flat, "{sharp} {flat}");
    desk.slide("Coverage k_min", 2.0);
    let steps = desk.state().preview.steps.iter().flatten();
    assert!(
        steps.clone().all(|s| s.coverage == 2),
        "{:?}",
        steps.collect::<Vec<_>>()
    );
    assert!(desk.state().jobs.is_empty(), "something ran");
    desk.shot("controls");
}

#[test]
fn presets_methods_and_baselines_are_chosen() {
    let mut desk = Desk::with(prefs(), [1280.0, 1000.0].into());
    desk.open_text(200);
    desk.click("Thorough");
    assert_eq!(desk.state().settings().budget, 96);
    desk.click("GradMem");
    let settings = desk.state().settings();
    assert_eq!((settings.method, settings.lr), (Method::GRADMEM, 0.05));
    desk.click("Fast");
    assert_eq!(desk.state().settings().budget, 16);
    assert_eq!(
        desk.state().settings().method,
        Method::GRADMEM,
        "the method stays"
    );
    desk.click("GDWM");
    desk.click("Allocation: By utility");
    desk.click("Uniform");
    assert_eq!(desk.state().settings().allocate, Allocate::Uniform);
    desk.click("All settings");
    assert!(desk.sees("Learning rate"));
    assert!(desk.sees("Held-out part"));
    desk.shot("all-settings");
}

#[test]
fn models_and_devices_are_chosen_with_what_they_take() {
    let mut desk = Desk::new();
    desk.open_text(200);
    desk.click("Device: Processor");
    assert!(desk.sees("uses the computer’s memory"));
    desk.shot("devices");
    desk.choose("Automatic");
    assert_eq!(desk.state().prefs.device, "auto");
    desk.click("Model: llama");
    assert!(
        desk.sees("98 MB to fetch"),
        "the default is not in this cache"
    );
    desk.shot("models");
    desk.choose("smollm2-135m-instruct");
    assert_eq!(desk.state().prefs.model, "smollm2-135m-instruct");
    assert!(desk.sees("Fetches the model first (98 MB)"));
}

#[test]
fn settings_make_room_and_come_back() {
    let mut desk = Desk::new();
    desk.open_text(100);
    desk.click("Hide settings");
    assert!(!desk.sees("Temperature τ"));
    desk.click("Settings");
    assert!(desk.sees("Temperature τ"));
}
