// scales[r, g] = 1 / sqrt(mean(x^2) + eps) of the g-th group of columns of row r. A workgroup a
// group of a row.
#import inscribe::view::View

struct Params {
    base: vec4<u32>,
    x: View,
    scales: View,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let width = params.x.cols / params.scales.cols;
    let from_x = params.x.offset + place.y * params.x.stride + place.x * width;
    var sum = 0.0;
    for (var i = local; i < width; i += 64u) {
        let value = x[from_x + i];
        sum += value * value;
    }
    partial[local] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] += partial[local + half];
        }
        workgroupBarrier();
    }
    if local == 0u {
        scales[params.scales.offset + place.y * params.scales.stride + place.x] =
            1.0 / sqrt(partial[0] / f32(width) + params.eps);
    }
}
