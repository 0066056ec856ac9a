// dx = s * weight * dy - s^3 * mean(dy * weight * x) * x with s = 1 / sqrt(mean(x^2) + eps), or
// dx += where ADD is defined. A workgroup a row.
#import inscribe::view::View
#import inscribe::reduce::sum_all

struct Params {
    base: vec4<u32>,
    x: View,
    weight: View,
    dy: View,
    dx: View,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

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
    let from_dy = params.dy.offset + row * params.dy.stride;
    let to = params.dx.offset + row * params.dx.stride;
    var squares = 0.0;
    var dots = 0.0;
    for (var i = local; i < cols; i += 256u) {
        let value = x[from_x + i];
        squares += value * value;
        dots += dy[from_dy + i] * weight[params.weight.offset + i] * value;
    }
#ifdef SUBGROUPS
    let square = sum_all(squares, local, lane, subgroup, subgroups);
    let product = sum_all(dots, local, lane, subgroup, subgroups);
#else
    let square = sum_all(squares, local);
    let product = sum_all(dots, local);
#endif
    let scale = 1.0 / sqrt(square / f32(cols) + params.eps);
    let along = scale * scale * scale * product / f32(cols);
    for (var i = local; i < cols; i += 256u) {
        let value = scale * weight[params.weight.offset + i] * dy[from_dy + i]
            - along * x[from_x + i];
#ifdef ADD
        dx[to + i] += value;
#else
        dx[to + i] = value;
#endif
    }
}
