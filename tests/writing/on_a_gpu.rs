//! Runs on the adapter that `INSCRIBE_TEST_ADAPTER` names, else on the first, software rasterisers
//! included. Where there is none these tests fail.

use super::*;

/// In a few parts: a software rasteriser reads slowly.
pub const SHORT: &str = DOCUMENT.split_at(600).0;

/// As `--device` takes it.
pub fn adapter() -> String {
    std::env::var("INSCRIBE_TEST_ADAPTER").unwrap_or_else(|_| "0".to_owned())
}

#[test]
fn a_killed_run_goes_on_to_the_same_memory_on_a_gpu() {
    assert_a_killed_run_goes_on(&adapter(), SHORT, 60);
}

#[test]
fn the_same_call_writes_the_same_bytes_on_a_gpu() {
    let desk = Desk::new(SHORT);
    let (model, adapter) = (tiny("qwen3.gguf"), adapter());
    for method in ["gdwm", "lora", "gradmem"] {
        let written = ["once", "twice"].map(|name| {
            let out = desk.place(&format!("{method}-{name}"));
            let more = ["--method", method, "--budget", "8", "--device", &adapter];
            succeeds(&desk.write(&out, &model, &more));
            adapters(&out)
        });
        assert_eq!(written[0], written[1], "{method}");
    }
}
