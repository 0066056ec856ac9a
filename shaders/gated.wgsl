// gate = activation(gate) * up, or out = activation(gate) * up where INTO is defined.
#import inscribe::view::View

struct Params {
    base: vec4<u32>,
    gate: View,
    up: View,
#ifdef INTO
    out: View,
#endif
    activation: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#ifdef INTO
@group(0) @binding(1) var<storage, read> gate: array<f32>;
@group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
#else
@group(0) @binding(1) var<storage, read_write> gate: array<f32>;
@group(0) @binding(2) var<storage, read> up: array<f32>;
#endif

fn silu(x: f32) -> f32 {
    // Beyond 80 the exponential would overflow; there the result is 0 to within f32.
    return x / (1.0 + exp(min(-x, 80.0)));
}

fn gelu_tanh(x: f32) -> f32 {
    // sqrt(2 / pi). Beyond 15 tanh is 1 to within f32, and some drivers' overflow.
    let inner = 0.7978845608028654 * (x + 0.044715 * x * x * x);
    return 0.5 * x * (1.0 + tanh(clamp(inner, -15.0, 15.0)));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let col = place.x * 256u + local;
    if col >= params.gate.cols {
        return;
    }
    let at = params.gate.offset + place.y * params.gate.stride + col;
    let x = gate[at];
    var gated = silu(x);
    if params.activation != 0u {
        gated = gelu_tanh(x);
    }
    let product = gated * up[params.up.offset + place.y * params.up.stride + col];
#ifdef INTO
    out[params.out.offset + place.y * params.out.stride + col] = product;
#else
    gate[at] = product;
#endif
}
