// out = x * weight, or out += where `accumulate`, for subgroups of exactly 8 lanes and no
// workgroup memory: see matmul_lanes.wgsl.
//
// A subgroup owns 32 columns and 8 rows, or 16 where WIDE is defined. Each lane sums four columns
// of all rows; each loads one or two rows of x, which the others get by broadcast.
#import inscribe::matmul_io::{params, x_load, w_load, store}

// Adds one step along the inner length: `a` is a row's element in each lane, `b` this lane's
// weights.
fn add(sums: ptr<function, array<vec4<f32>, 8>>, a: f32, b: vec4<f32>) {
    (*sums)[0] = fma(vec4<f32>(subgroupBroadcast(a, 0u)), b, (*sums)[0]);
    (*sums)[1] = fma(vec4<f32>(subgroupBroadcast(a, 1u)), b, (*sums)[1]);
    (*sums)[2] = fma(vec4<f32>(subgroupBroadcast(a, 2u)), b, (*sums)[2]);
    (*sums)[3] = fma(vec4<f32>(subgroupBroadcast(a, 3u)), b, (*sums)[3]);
    (*sums)[4] = fma(vec4<f32>(subgroupBroadcast(a, 4u)), b, (*sums)[4]);
    (*sums)[5] = fma(vec4<f32>(subgroupBroadcast(a, 5u)), b, (*sums)[5]);
    (*sums)[6] = fma(vec4<f32>(subgroupBroadcast(a, 6u)), b, (*sums)[6]);
    (*sums)[7] = fma(vec4<f32>(subgroupBroadcast(a, 7u)), b, (*sums)[7]);
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let place = group + params.base.xyz;
#ifdef WIDE
    let row = place.y * 16u;
    var high = array<vec4<f32>, 8>();
#else
    let row = place.y * 8u;
#endif
    let col = place.x * 32u + lane * 4u;
    var low = array<vec4<f32>, 8>();
    for (var k = 0u; k < params.x.cols; k += 4u) {
        let w_a = w_load(k, col);
        let w_b = w_load(k + 1u, col);
        let w_c = w_load(k + 2u, col);
        let w_d = w_load(k + 3u, col);
        let a = x_load(row + lane, k);
        add(&low, a.x, w_a);
        add(&low, a.y, w_b);
        add(&low, a.z, w_c);
        add(&low, a.w, w_d);
#ifdef WIDE
        let b = x_load(row + 8u + lane, k);
        add(&high, b.x, w_a);
        add(&high, b.y, w_b);
        add(&high, b.z, w_c);
        add(&high, b.w, w_d);
#endif
    }
    for (var r = 0u; r < 8u; r += 1u) {
        store(row + r, col, low[r]);
#ifdef WIDE
        store(row + 8u + r, col, high[r]);
#endif
    }
}
