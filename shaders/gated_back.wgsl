// d_gate = d_out * up * activation'(gate), d_up = d_out * activation(gate)
#import inscribe::view::View

struct Params {
    base: vec4<u32>,
    gate: View,
    up: View,
    d_out: View,
    d_gate: View,
    d_up: View,
    activation: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate: array<f32>;
@group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<storage, read> d_out: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_gate: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_up: array<f32>;

// 2 * sqrt(2 / pi)
const TWICE_ROOT: f32 = 1.5957691216057308;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let col = place.x * 256u + local;
    if col >= params.gate.cols {
        return;
    }
    // Both activations are x * sigmoid(z): silu with z = x, gelu with z = 2 t of its tanh(t).
    let x = gate[params.gate.offset + place.y * params.gate.stride + col];
    var z = x;
    var slope = 1.0;
    if params.activation != 0u {
        let square = 0.044715 * x * x;
        z = TWICE_ROOT * (x + square * x);
        slope = TWICE_ROOT * (1.0 + 3.0 * square);
    }
    // Beyond 80 the exponential would overflow; there the sigmoid is 0 to within f32.
    let e = exp(min(-z, 80.0));
    let sigmoid = 1.0 / (1.0 + e);
    let grad = d_out[params.d_out.offset + place.y * params.d_out.stride + col];
    let factor = up[params.up.offset + place.y * params.up.stride + col];
    let derivative = sigmoid + x * sigmoid * (e * sigmoid) * slope;
    d_gate[params.d_gate.offset + place.y * params.d_gate.stride + col] = grad * factor * derivative;
    d_up[params.d_up.offset + place.y * params.d_up.stride + col] = grad * x * sigmoid;
}
