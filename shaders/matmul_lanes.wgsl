// out = x * weight^T + bias, or out += where `accumulate`, for subgroups of exactly 8 lanes and no
// workgroup memory: what suits a rasteriser on the CPU, where a barrier is a context switch and
// every load a gather, but a broadcast is one instruction.
//
// A subgroup owns 16 columns and 8 rows, or 16 where WIDE is defined. Each lane sums two columns
// of all rows; each loads one or two rows of x, which the others get by broadcast.
#import inscribe::view::View
#import inscribe::weight::weight_load

struct Params {
    base: vec4<u32>,
    x: View,
    weight: View,
    bias: View,
    out: View,
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#ifdef X_VEC4
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
#else
@group(0) @binding(1) var<storage, read> x: array<f32>;
#endif
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

// Elements `col` to `col + 3` of the row that starts at `row`; zero beyond its end.
fn x_load(row: u32, col: u32) -> vec4<f32> {
#ifdef X_VEC4
    return x[(row + col) / 4u];
#else
    var values = vec4<f32>(x[row + col], 0.0, 0.0, 0.0);
    if col + 1u < params.x.cols { values.y = x[row + col + 1u]; }
    if col + 2u < params.x.cols { values.z = x[row + col + 2u]; }
    if col + 3u < params.x.cols { values.w = x[row + col + 3u]; }
    return values;
#endif
}

// Adds one step along the inner length: `a` is a row's element in each lane, `b` this lane's
// weights.
fn add(sums: ptr<function, array<vec2<f32>, 8>>, a: f32, b: vec2<f32>) {
    (*sums)[0] = fma(vec2<f32>(subgroupBroadcast(a, 0u)), b, (*sums)[0]);
    (*sums)[1] = fma(vec2<f32>(subgroupBroadcast(a, 1u)), b, (*sums)[1]);
    (*sums)[2] = fma(vec2<f32>(subgroupBroadcast(a, 2u)), b, (*sums)[2]);
    (*sums)[3] = fma(vec2<f32>(subgroupBroadcast(a, 3u)), b, (*sums)[3]);
    (*sums)[4] = fma(vec2<f32>(subgroupBroadcast(a, 4u)), b, (*sums)[4]);
    (*sums)[5] = fma(vec2<f32>(subgroupBroadcast(a, 5u)), b, (*sums)[5]);
    (*sums)[6] = fma(vec2<f32>(subgroupBroadcast(a, 6u)), b, (*sums)[6]);
    (*sums)[7] = fma(vec2<f32>(subgroupBroadcast(a, 7u)), b, (*sums)[7]);
}

fn store(row: u32, col: u32, sum: f32) {
    if row >= params.out.rows || col >= params.out.cols {
        return;
    }
    var value = sum;
    if params.bias.rows > 0u {
        value += bias[params.bias.offset + col];
    }
    let at = params.out.offset + row * params.out.stride + col;
    if params.accumulate != 0u {
        value += out[at];
    }
    out[at] = value;
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let place = group + params.base.xyz;
#ifdef WIDE
    let row = place.y * 16u;
#else
    let row = place.y * 8u;
#endif
    let col = place.x * 16u + lane;
    // Beyond the last row or column the last is read again, and its sums are not stored.
    let last_row = params.x.rows - 1u;
    let last_col = params.weight.rows - 1u;
    let row_a = params.x.offset + min(row + lane, last_row) * params.x.stride;
#ifdef WIDE
    let row_b = params.x.offset + min(row + 8u + lane, last_row) * params.x.stride;
    var high = array<vec2<f32>, 8>();
#endif
    let col_a = params.weight.offset + min(col, last_col) * params.weight.stride;
    let col_b = params.weight.offset + min(col + 8u, last_col) * params.weight.stride;
    var low = array<vec2<f32>, 8>();
    for (var k = 0u; k < params.x.cols; k += 4u) {
        let a = x_load(row_a, k);
        let w_a = weight_load(col_a, k);
        let w_b = weight_load(col_b, k);
        add(&low, a.x, vec2<f32>(w_a.x, w_b.x));
        add(&low, a.y, vec2<f32>(w_a.y, w_b.y));
        add(&low, a.z, vec2<f32>(w_a.z, w_b.z));
        add(&low, a.w, vec2<f32>(w_a.w, w_b.w));
#ifdef WIDE
        let b = x_load(row_b, k);
        add(&high, b.x, vec2<f32>(w_a.x, w_b.x));
        add(&high, b.y, vec2<f32>(w_a.y, w_b.y));
        add(&high, b.z, vec2<f32>(w_a.z, w_b.z));
        add(&high, b.w, vec2<f32>(w_a.w, w_b.w));
#endif
    }
    for (var r = 0u; r < 8u; r += 1u) {
        store(row + r, col, low[r].x);
        store(row + r, col + 8u, low[r].y);
#ifdef WIDE
        store(row + 8u + r, col, high[r].x);
        store(row + 8u + r, col + 8u, high[r].y);
#endif
    }
}
