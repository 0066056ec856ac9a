// One step of AdamW with clipping; see src/kernels/optimizer.rs.
#import inscribe::view::View
#import inscribe::hyper::{LR, BETA1, BETA2, EPS, WEIGHT_DECAY, CORRECTION1, CORRECTION2, MAX_NORM}
#import inscribe::hyper::clip_factor

struct Params {
    base: vec4<u32>,
    param: View,
    grad: View,
    m: View,
    v: View,
    norm2: View,
    hyper: View,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> param: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read_write> m: array<f32>;
@group(0) @binding(4) var<storage, read_write> v: array<f32>;
@group(0) @binding(5) var<storage, read> norm2: array<f32>;
@group(0) @binding(6) var<storage, read> hyper: array<f32>;

fn rate(i: u32) -> f32 {
    return hyper[params.hyper.offset + i];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let col = place.x * 256u + local;
    if col >= params.param.cols {
        return;
    }
    let at = params.param.offset + place.y * params.param.stride + col;
    let at_m = params.m.offset + place.y * params.m.stride + col;
    let at_v = params.v.offset + place.y * params.v.stride + col;
    let clip = clip_factor(norm2[params.norm2.offset], rate(MAX_NORM));
    let g = clip * grad[params.grad.offset + place.y * params.grad.stride + col];
    let first = m[at_m] + (1.0 - rate(BETA1)) * (g - m[at_m]);
    let second = rate(BETA2) * v[at_v] + (1.0 - rate(BETA2)) * g * g;
    m[at_m] = first;
    v[at_v] = second;
    let keep = 1.0 - rate(LR) * rate(WEIGHT_DECAY);
    let step = rate(LR) / rate(CORRECTION1);
    let root = 1.0 / sqrt(rate(CORRECTION2));
    param[at] = keep * param[at] - step * first / (sqrt(second) * root + rate(EPS));
}
