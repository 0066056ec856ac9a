// logits = weight * (exp(logits - largest) / total - onehot(target)), a row's own weight, target
// and state; 0 where the weight is.
#import inscribe::view::View

struct Params {
    base: vec4<u32>,
    logits: View,
    targets: View,
    weights: View,
    state: View,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> state: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let col = place.x * 256u + local;
    if col >= params.logits.cols {
        return;
    }
    let at = params.logits.offset + place.y * params.logits.stride + col;
    let weight = weights[params.weights.offset + place.y];
    if weight == 0.0 {
        logits[at] = 0.0;
        return;
    }
    let from_state = params.state.offset + place.y * params.state.stride;
    let factor = weight / state[from_state + 1u];
    var grad = factor * exp(logits[at] - state[from_state]);
    if col == targets[params.targets.offset + place.y] {
        grad -= weight;
    }
    logits[at] = grad;
}
