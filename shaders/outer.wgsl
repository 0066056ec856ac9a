// out = dy^T * x, or out += where `accumulate`: tiles of 64 x 64, 32 of the inner length (rows of
// both factors) at a time. Each of 256 invocations sums 4 x 4 of them.
#import inscribe::outer_io::{params, dy_load, x_load, store}

// Vectors of four columns: 16 for each of 32 steps along the inner length.
var<workgroup> dy_tile: array<vec4<f32>, 512>;
var<workgroup> x_tile: array<vec4<f32>, 512>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let first_col = place.x * 64u;
    let first_row = place.y * 64u;
    let across = local % 16u;
    let down = local / 16u;
    var sum_a = vec4<f32>(0.0);
    var sum_b = vec4<f32>(0.0);
    var sum_c = vec4<f32>(0.0);
    var sum_d = vec4<f32>(0.0);
    for (var inner = 0u; inner < params.x.rows; inner += 32u) {
        let row = inner + down;
        dy_tile[local] = dy_load(row, first_row + across * 4u);
        dy_tile[local + 256u] = dy_load(row + 16u, first_row + across * 4u);
        x_tile[local] = x_load(row, first_col + across * 4u);
        x_tile[local + 256u] = x_load(row + 16u, first_col + across * 4u);
        workgroupBarrier();
        for (var k = 0u; k < 32u; k += 1u) {
            let a = dy_tile[k * 16u + down];
            let b = x_tile[k * 16u + across];
            sum_a = fma(vec4<f32>(a.x), b, sum_a);
            sum_b = fma(vec4<f32>(a.y), b, sum_b);
            sum_c = fma(vec4<f32>(a.z), b, sum_c);
            sum_d = fma(vec4<f32>(a.w), b, sum_d);
        }
        workgroupBarrier();
    }
    let to = first_row + down * 4u;
    let col = first_col + across * 4u;
    store(to, col, sum_a);
    store(to + 1u, col, sum_b);
    store(to + 2u, col, sum_c);
    store(to + 3u, col, sum_d);
}
