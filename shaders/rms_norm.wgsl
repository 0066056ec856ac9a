// out = x / sqrt(mean(x^2) + eps) * weight, or out += where ADD is defined. A workgroup a row.
#import inscribe::view::View
#import inscribe::reduce::sum_all

struct Params {
    base: vec4<u32>,
    x: View,
    weight: View,
    out: View,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
#ifdef SUBGROUPS
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
#endif
) {
    let row = group.y + params.base.y;
    let cols = params.x.cols;
    let from_x = params.x.offset + row * params.x.stride;
    let to = params.out.offset + row * params.out.stride;
    var squares = 0.0;
    for (var i = local; i < cols; i += 256u) {
        let value = x[from_x + i];
        squares += value * value;
    }
#ifdef SUBGROUPS
    let total = sum_all(squares, local, lane, subgroup, subgroups);
#else
    let total = sum_all(squares, local);
#endif
    let scale = 1.0 / sqrt(total / f32(cols) + params.eps);
    for (var i = local; i < cols; i += 256u) {
        let value = x[from_x + i] * scale * weight[params.weight.offset + i];
#ifdef ADD
        out[to + i] += value;
#else
        out[to + i] = value;
#endif
    }
}
