// out = x * weight^T + bias, or with BACK out = x * weight; out += where `accumulate`. Tiles of
// 128 x 128, 16 of the inner length at a time. Each of 256 invocations sums 8 x 8 of them, in
// registers: two blocks of four rows, 64 apart, by two blocks of four columns, 64 apart, so that
// neighbours read neighbouring vectors of the tiles.
#import inscribe::matmul_io::{params, x_load, w_load, store}

const INNER: u32 = 16u;
// Vectors of four rows from one step along the inner length to the next.
const PITCH: u32 = 33u;
var<workgroup> x_tile: array<vec4<f32>, INNER * PITCH>;
var<workgroup> w_tile: array<vec4<f32>, INNER * PITCH>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let first_col = place.x * 128u;
    let first_row = place.y * 128u;
    // Half of the invocations load blocks of 4 x 4 from x, half from the weight.
    let step = local % 4u;
    let block = local / 4u % 32u;
    let to = step * 4u * PITCH + block;
    let across = local % 16u;
    let down = local / 16u;
    var al = vec4<f32>(0.0);
    var ar = vec4<f32>(0.0);
    var bl = vec4<f32>(0.0);
    var br = vec4<f32>(0.0);
    var cl = vec4<f32>(0.0);
    var cr = vec4<f32>(0.0);
    var dl = vec4<f32>(0.0);
    var dr = vec4<f32>(0.0);
    var el = vec4<f32>(0.0);
    var er = vec4<f32>(0.0);
    var fl = vec4<f32>(0.0);
    var fr = vec4<f32>(0.0);
    var gl = vec4<f32>(0.0);
    var gr = vec4<f32>(0.0);
    var hl = vec4<f32>(0.0);
    var hr = vec4<f32>(0.0);
    for (var inner = 0u; inner < params.x.cols; inner += INNER) {
        let col = inner + step * 4u;
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
            let block = local % 32u;
            let step = local / 32u % 4u * 4u;
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
        for (var k = 0u; k < INNER; k += 1u) {
            let top = x_tile[k * PITCH + down];
            let bottom = x_tile[k * PITCH + down + 16u];
            let left = w_tile[k * PITCH + across];
            let right = w_tile[k * PITCH + across + 16u];
            al = fma(vec4<f32>(top.x), left, al);
            ar = fma(vec4<f32>(top.x), right, ar);
            bl = fma(vec4<f32>(top.y), left, bl);
            br = fma(vec4<f32>(top.y), right, br);
            cl = fma(vec4<f32>(top.z), left, cl);
            cr = fma(vec4<f32>(top.z), right, cr);
            dl = fma(vec4<f32>(top.w), left, dl);
            dr = fma(vec4<f32>(top.w), right, dr);
            el = fma(vec4<f32>(bottom.x), left, el);
            er = fma(vec4<f32>(bottom.x), right, er);
            fl = fma(vec4<f32>(bottom.y), left, fl);
            fr = fma(vec4<f32>(bottom.y), right, fr);
            gl = fma(vec4<f32>(bottom.z), left, gl);
            gr = fma(vec4<f32>(bottom.z), right, gr);
            hl = fma(vec4<f32>(bottom.w), left, hl);
            hr = fma(vec4<f32>(bottom.w), right, hr);
        }
        workgroupBarrier();
    }
    let row = first_row + down * 4u;
    let col = first_col + across * 4u;
    store(row, col, al);
    store(row, col + 64u, ar);
    store(row + 1u, col, bl);
    store(row + 1u, col + 64u, br);
    store(row + 2u, col, cl);
    store(row + 2u, col + 64u, cr);
    store(row + 3u, col, dl);
    store(row + 3u, col + 64u, dr);
    store(row + 64u, col, el);
    store(row + 64u, col + 64u, er);
    store(row + 65u, col, fl);
    store(row + 65u, col + 64u, fr);
    store(row + 66u, col, gl);
    store(row + 66u, col + 64u, gr);
    store(row + 67u, col, hl);
    store(row + 67u, col + 64u, hr);
}
