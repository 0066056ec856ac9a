// Normalises each head where `norm` is bound, then rotates its pairs by the angles of the row's
// position. A workgroup a head of a row.
#import inscribe::view::View

struct Params {
    base: vec4<u32>,
    x: View,
    norm: View,
    angles: View,
    positions: View,
    out: View,
    heads: u32,
    head_dim: u32,
    interleaved: u32,
    scatter: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> norm: array<f32>;
@group(0) @binding(3) var<storage, read> angles: array<f32>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let dim = params.head_dim;
    let half = dim / 2u;
    let position = positions[params.positions.offset + place.y];
    let head = params.x.offset + place.y * params.x.stride + place.x * dim;
    var scale = 1.0;
    if params.norm.rows > 0u {
        var squares = 0.0;
        for (var i = local; i < dim; i += 64u) {
            let value = x[head + i];
            squares += value * value;
        }
        partial[local] = squares;
        workgroupBarrier();
        for (var width = 32u; width > 0u; width /= 2u) {
            if local < width {
                partial[local] += partial[local + width];
            }
            workgroupBarrier();
        }
        scale = 1.0 / sqrt(partial[0] / f32(dim) + params.eps);
    }
    let row = select(place.y, position, params.scatter != 0u);
    if row >= params.out.rows {
        return;
    }
    let to = params.out.offset + row * params.out.stride + place.x * dim;
    let angle = params.angles.offset + position * params.angles.stride;
    for (var i = local; i < half; i += 64u) {
        let first = select(i, 2u * i, params.interleaved != 0u);
        let second = select(i + half, 2u * i + 1u, params.interleaved != 0u);
        var a = x[head + first] * scale;
        var b = x[head + second] * scale;
        if params.norm.rows > 0u {
            a *= norm[params.norm.offset + first];
            b *= norm[params.norm.offset + second];
        }
        let c = angles[angle + i];
        let s = angles[angle + half + i];
        out[to + first] = a * c - b * s;
        out[to + second] = a * s + b * c;
    }
}
