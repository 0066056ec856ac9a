#define_import_path inscribe::hyper

// Places in the tensor of rates. Keep in sync with `Hyper::at_step` in src/kernels/optimizer.rs.
const LR: u32 = 0u;
const BETA1: u32 = 1u;
const BETA2: u32 = 2u;
const EPS: u32 = 3u;
const WEIGHT_DECAY: u32 = 4u;
const CORRECTION1: u32 = 5u;
const CORRECTION2: u32 = 6u;
const MAX_NORM: u32 = 7u;

// What gradients are multiplied by. A norm that is no number gives a factor that is none.
fn clip_factor(norm2: f32, max_norm: f32) -> f32 {
    if max_norm <= 0.0 {
        return 1.0;
    }
    let factor = max_norm / (sqrt(norm2) + 1e-6);
    if factor > 1.0 {
        return 1.0;
    }
    return factor;
}
