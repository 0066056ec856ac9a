#define_import_path inscribe::matmul_io

// What tiled multiplications read and write: out = x * weight^T + bias, or with BACK
// out = x * weight; out += where `accumulate`.
#import inscribe::view::View
#import inscribe::weight::weight_load

struct Params {
    base: vec4<u32>,
    x: View,
    weight: View,
#ifndef BACK
    bias: View,
#endif
    out: View,
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#ifdef X_VEC4
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
#else
@group(0) @binding(1) var<storage, read> x: array<f32>;
#endif
#ifdef BACK
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
#else
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
#endif

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

fn store(row: u32, col: u32, values: vec4<f32>) {
    if row >= params.out.rows {
        return;
    }
    let count = min(params.out.cols, col + 4u);
    for (var c = col; c < count; c += 1u) {
        var value = values[c - col];
#ifndef BACK
        if params.bias.rows > 0u {
            value += bias[params.bias.offset + c];
        }
#endif
        let at = params.out.offset + row * params.out.stride + c;
        if params.accumulate != 0u {
            value += out[at];
        }
        out[at] = value;
    }
}
