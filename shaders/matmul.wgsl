// out = x * weight^T + bias, or with BACK out = x * weight; out += where `accumulate`. Tiles of
// 64 x 64, 32 of the inner length at a time. Each of 256 invocations sums 4 x 4 of them.
#import inscribe::matmul_io::{params, x_load, w_load, store}

// Vectors of four rows, one for each of 32 steps along the inner length and 16 row blocks: 17 from
// step to step, so that steps start on different banks, or 16 where no more fit.
const PITCH: u32 = #{PITCH}u;
var<workgroup> x_tile: array<vec4<f32>, 32 * PITCH>;
var<workgroup> w_tile: array<vec4<f32>, 32 * PITCH>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let first_col = place.x * 64u;
    let first_row = place.y * 64u;
    // Half of the invocations load blocks of 4 x 4 from x, half from the weight.
    let step = local % 8u;
    let block = local / 8u % 16u;
    var sum_a = vec4<f32>(0.0);
    var sum_b = vec4<f32>(0.0);
    var sum_c = vec4<f32>(0.0);
    var sum_d = vec4<f32>(0.0);
    let across = local % 16u;
    let down = local / 16u;
    for (var inner = 0u; inner < params.x.cols; inner += 32u) {
        let col = inner + step * 4u;
        let to = step * 4u * PITCH + block;
        if local < 128u {
            let row = first_row + block * 4u;
            let t = transpose(mat4x4<f32>(
                x_load(row, col),
                x_load(row + 1u, col),
                x_load(row + 2u, col),
                x_load(row + 3u, col),
            ));
            x_tile[to] = t[0];
            x_tile[to + PITCH] = t[1];
            x_tile[to + 2u * PITCH] = t[2];
            x_tile[to + 3u * PITCH] = t[3];
        } else {
#ifdef BACK
            // Rows of the weight are steps along the inner length: nothing is transposed, and
            // neighbours read neighbouring columns.
            let block = local % 16u;
            let step = local / 16u % 8u * 4u;
            let col = first_col + block * 4u;
            let to = step * PITCH + block;
            w_tile[to] = w_load(inner + step, col);
            w_tile[to + PITCH] = w_load(inner + step + 1u, col);
            w_tile[to + 2u * PITCH] = w_load(inner + step + 2u, col);
            w_tile[to + 3u * PITCH] = w_load(inner + step + 3u, col);
#else
            let row = first_col + block * 4u;
            let t = transpose(mat4x4<f32>(
                w_load(row, col),
                w_load(row + 1u, col),
                w_load(row + 2u, col),
                w_load(row + 3u, col),
            ));
            w_tile[to] = t[0];
            w_tile[to + PITCH] = t[1];
            w_tile[to + 2u * PITCH] = t[2];
            w_tile[to + 3u * PITCH] = t[3];
#endif
        }
        workgroupBarrier();
        for (var k = 0u; k < 32u; k += 1u) {
            let a = x_tile[k * PITCH + down];
            let b = w_tile[k * PITCH + across];
            sum_a += a.x * b;
            sum_b += a.y * b;
            sum_c += a.z * b;
            sum_d += a.w * b;
        }
        workgroupBarrier();
    }
    let row = first_row + down * 4u;
    let col = first_col + across * 4u;
    store(row, col, sum_a);
    store(row + 1u, col, sum_b);
    store(row + 2u, col, sum_c);
    store(row + 3u, col, sum_d);
}
