// out = dy^T * x, or out += where `accumulate`, for subgroups of exactly 8 lanes and no workgroup
// memory: see matmul_lanes.wgsl.
//
// A subgroup owns 8 rows and 32 columns of out. Each lane sums four columns of all rows; each
// loads one column of dy, which the others get by broadcast.
#import inscribe::outer_io::{params, dy_load_one, x_load, store}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let place = group + params.base.xyz;
    let row = place.y * 8u;
    let col = place.x * 32u + lane * 4u;
    var sums = array<vec4<f32>, 8>();
    for (var t = 0u; t < params.x.rows; t += 1u) {
        let a = dy_load_one(t, row + lane);
        let b = x_load(t, col);
        sums[0] = fma(vec4<f32>(subgroupBroadcast(a, 0u)), b, sums[0]);
        sums[1] = fma(vec4<f32>(subgroupBroadcast(a, 1u)), b, sums[1]);
        sums[2] = fma(vec4<f32>(subgroupBroadcast(a, 2u)), b, sums[2]);
        sums[3] = fma(vec4<f32>(subgroupBroadcast(a, 3u)), b, sums[3]);
        sums[4] = fma(vec4<f32>(subgroupBroadcast(a, 4u)), b, sums[4]);
        sums[5] = fma(vec4<f32>(subgroupBroadcast(a, 5u)), b, sums[5]);
        sums[6] = fma(vec4<f32>(subgroupBroadcast(a, 6u)), b, sums[6]);
        sums[7] = fma(vec4<f32>(subgroupBroadcast(a, 7u)), b, sums[7]);
    }
    for (var r = 0u; r < 8u; r += 1u) {
        store(row + r, col, sums[r]);
    }
}
