// out = dy^T * x, or out += where `accumulate`, where one side is narrow, as adapters are. There
// are too few tiles to keep a GPU busy, so 32 slices of a workgroup each take every 32nd row of
// the factors and their sums are added up, in order, at the end.
//
// A workgroup owns 32 columns of the wider factor and 16 of the narrower: x is the wider one, or
// with TURNED dy. Each invocation sums four columns by all 16.
#import inscribe::outer_io::{params, dy_load, x_load, store, store_one}

const SLICES: u32 = 32u;
// For each slice: four narrow columns by eight vectors of wide ones.
var<workgroup> partial: array<vec4<f32>, 1024>;

fn add(sums: ptr<function, array<vec4<f32>, 4>>, narrow: vec4<f32>, wide: vec4<f32>) {
    (*sums)[0] = fma(vec4<f32>(narrow.x), wide, (*sums)[0]);
    (*sums)[1] = fma(vec4<f32>(narrow.y), wide, (*sums)[1]);
    (*sums)[2] = fma(vec4<f32>(narrow.z), wide, (*sums)[2]);
    (*sums)[3] = fma(vec4<f32>(narrow.w), wide, (*sums)[3]);
}

fn wide_load(row: u32, col: u32) -> vec4<f32> {
#ifdef TURNED
    return dy_load(row, col);
#else
    return x_load(row, col);
#endif
}

fn narrow_load(row: u32, col: u32) -> vec4<f32> {
#ifdef TURNED
    return x_load(row, col);
#else
    return dy_load(row, col);
#endif
}

// Adds up the slices' sums of four narrow columns from `narrow` on, and writes them.
fn finish(local: u32, narrow: u32, first_wide: u32, sums: array<vec4<f32>, 4>) {
    let slice = local / 8u;
    let block = local % 8u;
    partial[slice * 32u + block] = sums[0];
    partial[slice * 32u + 8u + block] = sums[1];
    partial[slice * 32u + 16u + block] = sums[2];
    partial[slice * 32u + 24u + block] = sums[3];
    workgroupBarrier();
    if local < 32u {
        var sum = partial[local];
        for (var s = 1u; s < SLICES; s += 1u) {
            sum += partial[s * 32u + local];
        }
        let wide = first_wide + block * 4u;
#ifdef TURNED
        store_turned(wide, narrow + slice, sum);
#else
        store(narrow + slice, wide, sum);
#endif
    }
    workgroupBarrier();
}

#ifdef TURNED
// Writes `values` to the rows `row` to `row + 3` of a column of out.
fn store_turned(row: u32, col: u32, values: vec4<f32>) {
    store_one(row, col, values.x);
    store_one(row + 1u, col, values.y);
    store_one(row + 2u, col, values.z);
    store_one(row + 3u, col, values.w);
}
#endif

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let first_wide = place.x * 32u;
    let wide = first_wide + local % 8u * 4u;
    let narrow = place.y * 16u;
    var sum_a = array<vec4<f32>, 4>();
    var sum_b = array<vec4<f32>, 4>();
    var sum_c = array<vec4<f32>, 4>();
    var sum_d = array<vec4<f32>, 4>();
    for (var t = local / 8u; t < params.x.rows; t += SLICES) {
        let values = wide_load(t, wide);
        add(&sum_a, narrow_load(t, narrow), values);
        add(&sum_b, narrow_load(t, narrow + 4u), values);
        add(&sum_c, narrow_load(t, narrow + 8u), values);
        add(&sum_d, narrow_load(t, narrow + 12u), values);
    }
    finish(local, narrow, first_wide, sum_a);
    finish(local, narrow + 4u, first_wide, sum_b);
    finish(local, narrow + 8u, first_wide, sum_c);
    finish(local, narrow + 12u, first_wide, sum_d);
}
