//! What a write takes is planned before it.

use std::path::Path;
use std::sync::Arc;

use inscribe::model::model_file::Model;
use inscribe::model::weights::WeightFile;
use inscribe::write::prompt::Prompt;
use inscribe::write::settings::WriteSettings;
use inscribe::write::writer::footprint;

use super::{DOCUMENT, Desk, events, succeeds, tiny};

/// With every method, on models of every architecture, in one part and in several.
#[test]
fn a_write_holds_what_was_planned() {
    let cases = [
        ("llama", "gdwm", "utility"),
        ("gemma3.gguf", "gdwm", "uniform"),
        ("qwen3", "lora", "utility"),
        ("qwen2.gguf", "gradmem", "uniform"),
    ];
    for text in [&DOCUMENT[..300], DOCUMENT] {
        let desk = Desk::new(text);
        for (model, method, allocate) in cases {
            let (model, out) = (tiny(model), desk.place(method));
            let _ = std::fs::remove_dir_all(&out);
            let more = ["--method", method, "--allocate", allocate, "--budget", "4"];
            succeeds(&desk.write(&out, &model, &more));
            let told = events(&out);
            let settings: WriteSettings =
                serde_json::from_value(told[0]["settings"].clone()).expect("settings");
            let tokens = told[0]["document"]["tokens"].as_u64().expect("a count");
            let file = WeightFile::open(Path::new(&model)).expect("a model");
            let config = file.config().expect("a config");
            let opened = Arc::new(Model::open(Path::new(&model)).expect("a model"));
            let lead = Prompt::new(&opened).expect("a prompt").lead.len();
            let planned = footprint(&config, &settings, (lead, tokens as usize), None);
            assert_eq!(told[0]["segments"], planned.segments, "{model} {method}");
            let held = told.last().expect("an end")["peak_bytes"].as_u64();
            let held = held.expect("bytes") as f64;
            let part = (planned.peak_bytes + file.total_bytes()) as f64 / held;
            assert!((0.99..1.1).contains(&part), "{model} {method}: {part}");
        }
    }
}
