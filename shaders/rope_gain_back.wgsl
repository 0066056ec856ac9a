// out[b] = the sum over the b-th `block` heads, counted through the rows, of dy turned back by the
// angles of the row's position, times x, times the head's scale.
#import inscribe::view::View
#import inscribe::columns::{COLUMNS, SLICES, sum_slices}

struct Params {
    base: vec4<u32>,
    x: View,
    scales: View,
    angles: View,
    positions: View,
    dy: View,
    out: View,
    heads: u32,
    head_dim: u32,
    interleaved: u32,
    block: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read> angles: array<f32>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

// A column's pair: its angle's index, the other column, and the sign of the sine that goes with it.
struct Pair {
    angle: u32,
    other: u32,
    sign: f32,
}

fn pair_of(col: u32) -> Pair {
    let half = params.head_dim / 2u;
    if params.interleaved != 0u {
        return Pair(col / 2u, col ^ 1u, select(1.0, -1.0, (col & 1u) != 0u));
    }
    if col < half {
        return Pair(col, col + half, 1.0);
    }
    return Pair(col - half, col - half, -1.0);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let dim = params.head_dim;
    let col = place.x * COLUMNS + local % COLUMNS;
    let first = place.y * params.block;
    let end = min(first + params.block, params.x.rows * params.heads);
    let pair = pair_of(col);
    var sum = 0.0;
    if col < dim {
        for (var i = first + local / COLUMNS; i < end; i += SLICES) {
            let row = i / params.heads;
            let head = i % params.heads;
            let position = positions[params.positions.offset + row];
            let angle = params.angles.offset + position * params.angles.stride + pair.angle;
            let from_dy = params.dy.offset + row * params.dy.stride + head * dim;
            let turned = dy[from_dy + col] * angles[angle]
                + pair.sign * dy[from_dy + pair.other] * angles[angle + dim / 2u];
            sum += turned * x[params.x.offset + row * params.x.stride + head * dim + col]
                * scales[params.scales.offset + row * params.scales.stride + head];
        }
    }
    let total = sum_slices(sum, local);
    if local < COLUMNS && col < dim {
        out[params.out.offset + place.y * params.out.stride + col] = total;
    }
}
