//! The picker of models among those of other programs.

use std::fs;
use std::path::Path;

use eframe::egui::vec2;
use inscribe::model::elsewhere::Places;
use inscribe_app::vocabulary::Dialog;

use super::desk::{Desk, Setup};

fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("room");
    fs::write(path, bytes).expect("room");
}

#[test]
fn other_programs_models_are_chosen_and_say_why_where_they_cannot_be() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/tiny/llama.gguf");
    let tiny = fs::read(golden).expect("a golden");
    let root = folder.path();
    put(&root.join("pub/repo/tiny-F32.gguf"), &tiny);
    put(&root.join("pub/repo/half.gguf"), &tiny[..500]);
    let mut desk = Desk::set_up(Setup {
        size: vec2(960.0, 640.0),
        places: Places {
            lm_studio: vec![root.to_owned()],
            ..Places::default()
        },
        ..Setup::default()
    });
    desk.open_text(200);
    desk.click("Model: llama");
    assert!(desk.sees("Already on this computer") && desk.sees("LM Studio, pub/repo"));
    assert!(desk.sees("Cannot be opened: ") && desk.sees("cut short"));
    desk.shot("models-elsewhere");
    let chosen = desk.state().prefs.model.clone();
    desk.choose("half.gguf");
    assert_eq!(
        desk.state().prefs.model,
        chosen,
        "it is not there to be chosen"
    );
    assert_eq!(desk.state().dialog, Dialog::Model);
    desk.choose("tiny-F32.gguf");
    assert_eq!(desk.state().prefs.model, "lmstudio:pub/repo/tiny-F32.gguf");
    desk.click("Model: tiny-F32.gguf");
    assert_eq!(desk.state().dialog, Dialog::Model);
    desk.click_button("Close");
    assert_eq!(desk.state().dialog, Dialog::None);
}
