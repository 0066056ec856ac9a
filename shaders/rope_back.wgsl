// Rotates each head's pairs of dy back by the angles of the row's position; where `norm` is bound,
// goes on to the gradient of what was normalised. A workgroup a head of a row.
#import inscribe::view::View

struct Params {
    base: vec4<u32>,
    x: View,
    norm: View,
    angles: View,
    positions: View,
    dy: View,
    dx: View,
    heads: u32,
    head_dim: u32,
    interleaved: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> norm: array<f32>;
@group(0) @binding(3) var<storage, read> angles: array<f32>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;

// Sums of squares, and of dy * norm * x.
var<workgroup> partial: array<vec2<f32>, 64>;

struct Pair {
    first: u32,
    second: u32,
    grad: vec2<f32>,
}

fn rotated_back(i: u32, head: u32, angle: u32) -> Pair {
    let half = params.head_dim / 2u;
    let first = select(i, 2u * i, params.interleaved != 0u);
    let second = select(i + half, 2u * i + 1u, params.interleaved != 0u);
    let a = dy[head + first];
    let b = dy[head + second];
    let c = angles[angle + i];
    let s = angles[angle + half + i];
    return Pair(first, second, vec2<f32>(a * c + b * s, b * c - a * s));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let dim = params.head_dim;
    let half = dim / 2u;
    let position = positions[params.positions.offset + place.y];
    let angle = params.angles.offset + position * params.angles.stride;
    let head = params.dy.offset + place.y * params.dy.stride + place.x * dim;
    let to = params.dx.offset + place.y * params.dx.stride + place.x * dim;
    if params.norm.rows == 0u {
        for (var i = local; i < half; i += 64u) {
            let pair = rotated_back(i, head, angle);
            dx[to + pair.first] = pair.grad.x;
            dx[to + pair.second] = pair.grad.y;
        }
        return;
    }
    let from_x = params.x.offset + place.y * params.x.stride + place.x * dim;
    let weight = params.norm.offset;
    var sums = vec2<f32>(0.0);
    for (var i = local; i < half; i += 64u) {
        let pair = rotated_back(i, head, angle);
        let a = x[from_x + pair.first];
        let b = x[from_x + pair.second];
        let along = pair.grad.x * norm[weight + pair.first] * a
            + pair.grad.y * norm[weight + pair.second] * b;
        sums += vec2<f32>(a * a + b * b, along);
    }
    partial[local] = sums;
    workgroupBarrier();
    for (var width = 32u; width > 0u; width /= 2u) {
        if local < width {
            partial[local] += partial[local + width];
        }
        workgroupBarrier();
    }
    let mean = partial[0] / f32(dim);
    let scale = 1.0 / sqrt(mean.x + params.eps);
    let along = scale * scale * scale * mean.y;
    for (var i = local; i < half; i += 64u) {
        let pair = rotated_back(i, head, angle);
        dx[to + pair.first] = scale * norm[weight + pair.first] * pair.grad.x
            - along * x[from_x + pair.first];
        dx[to + pair.second] = scale * norm[weight + pair.second] * pair.grad.y
            - along * x[from_x + pair.second];
    }
}
