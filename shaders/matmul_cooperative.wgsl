// out = x * weight^T + bias, or out += where `accumulate`, on cooperative matrices: factors
// rounded to f16, sums in f32. This is the part that reads and writes memory; the other is
// matmul_cooperative_main.wgsl, see `Shaders::compose`.
enable f16;
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

// Elements `col` to `col + 3` of a row of x; zero beyond its end.
fn x_load(row: u32, col: u32) -> vec4<f32> {
    let at = params.x.offset + row * params.x.stride + col;
    var values = vec4<f32>(0.0);
    if row >= params.x.rows || col >= params.x.cols {
        return values;
    }
#ifdef X_VEC4
    values = x[at / 4u];
#else
    values.x = x[at];
    if col + 1u < params.x.cols { values.y = x[at + 1u]; }
    if col + 2u < params.x.cols { values.z = x[at + 2u]; }
    if col + 3u < params.x.cols { values.w = x[at + 3u]; }
#endif
    return values;
}

fn w_load(row: u32, col: u32) -> vec4<f32> {
    if row >= params.weight.rows || col >= params.weight.cols {
        return vec4<f32>(0.0);
    }
    return weight_load(params.weight.offset + row * params.weight.stride, col);
}

// Beyond 65504 values become infinite: a result that is no number is noticed, a wrong one is not.
fn to_half(values: vec4<f32>) -> vec4<f16> {
    return vec4<f16>(values);
}

// Writes a sum to its place in `out`.
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

// Composing keeps only what an entry point uses.
@compute @workgroup_size(1)
fn keep() {
    let product = to_half(x_load(params.base.x, 0u)) * to_half(w_load(0u, 0u));
    store(0u, 0u, f32(product.x));
}
