#define_import_path inscribe::outer_io

// What outer products read and write: out = dy^T * x, or out += where `accumulate`.
#import inscribe::view::View

struct Params {
    base: vec4<u32>,
    dy: View,
    x: View,
    out: View,
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#ifdef VEC4
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
#else
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
#endif
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

// Elements `col` to `col + 3` of a row of dy; zero beyond its end.
fn dy_load(row: u32, col: u32) -> vec4<f32> {
    let at = params.dy.offset + row * params.dy.stride + col;
    var values = vec4<f32>(0.0);
    if row >= params.dy.rows || col >= params.dy.cols {
        return values;
    }
#ifdef VEC4
    values = dy[at / 4u];
#else
    values.x = dy[at];
    if col + 1u < params.dy.cols { values.y = dy[at + 1u]; }
    if col + 2u < params.dy.cols { values.z = dy[at + 2u]; }
    if col + 3u < params.dy.cols { values.w = dy[at + 3u]; }
#endif
    return values;
}

// One element of dy; zero beyond the end of its row.
fn dy_load_one(row: u32, col: u32) -> f32 {
    if row >= params.dy.rows || col >= params.dy.cols {
        return 0.0;
    }
    let at = params.dy.offset + row * params.dy.stride + col;
#ifdef VEC4
    return dy[at / 4u][at % 4u];
#else
    return dy[at];
#endif
}

// As `dy_load`, of x.
fn x_load(row: u32, col: u32) -> vec4<f32> {
    let at = params.x.offset + row * params.x.stride + col;
    var values = vec4<f32>(0.0);
    if row >= params.x.rows || col >= params.x.cols {
        return values;
    }
#ifdef VEC4
    values = x[at / 4u];
#else
    values.x = x[at];
    if col + 1u < params.x.cols { values.y = x[at + 1u]; }
    if col + 2u < params.x.cols { values.z = x[at + 2u]; }
    if col + 3u < params.x.cols { values.w = x[at + 3u]; }
#endif
    return values;
}

fn store_one(row: u32, col: u32, sum: f32) {
    if row >= params.out.rows || col >= params.out.cols {
        return;
    }
    let at = params.out.offset + row * params.out.stride + col;
    var value = sum;
    if params.accumulate != 0u {
        value += out[at];
    }
    out[at] = value;
}

// Writes `values` to the columns `col` to `col + 3` of a row of out that are there.
fn store(row: u32, col: u32, values: vec4<f32>) {
    store_one(row, col, values.x);
    store_one(row, col + 1u, values.y);
    store_one(row, col + 2u, values.z);
    store_one(row, col + 3u, values.w);
}
