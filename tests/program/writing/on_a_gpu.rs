//! Runs on the adapter under test, with the shaders of each tier that GPUs have.

use super::*;

/// In a few parts: a software rasteriser reads slowly.
pub const SHORT: &str = DOCUMENT.split_at(600).0;

fn gpu(tier: &'static str) -> Machine {
    Machine {
        device: common::adapter(),
        tier,
    }
}

pub fn with_subgroups() -> Machine {
    gpu("subgroups")
}

#[test]
fn a_killed_run_goes_on_to_the_same_memory_on_a_gpu() {
    for tier in ["portable", "subgroups"] {
        assert_a_killed_run_goes_on(&gpu(tier), SHORT, 60);
    }
}

#[test]
fn the_same_call_writes_the_same_bytes_on_a_gpu() {
    for tier in ["portable", "subgroups"] {
        let (desk, model) = (Desk::new(SHORT), tiny("qwen3.gguf"));
        for method in ["gdwm", "lora", "gradmem"] {
            let written = ["once", "twice"].map(|name| {
                let out = desk.place(&format!("{method}-{name}"));
                let more = ["--method", method, "--budget", "8"];
                gpu(tier).succeeds(&desk.write(&out, &model, &more));
                adapters(&out)
            });
            assert_eq!(written[0], written[1], "{tier}, {method}");
        }
    }
}
