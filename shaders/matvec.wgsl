// out = x * weight^T + bias, or out += where `accumulate`, for at most ROWS rows of x. A workgroup
// of 64 invocations walks four rows of the weight together, a pair of vectors at a time.
#import inscribe::view::View
#import inscribe::weight::pair_columns
#import inscribe::weight::pair_load

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

const ROWS: u32 = #{ROWS}u;
const LANES: u32 = 64u;

var<workgroup> partial: array<vec4<f32>, LANES>;

// Elements `col` to `col + 3` of a row of x; zero beyond its end.
fn x_load(row: u32, col: u32) -> vec4<f32> {
    let at = params.x.offset + row * params.x.stride + col;
    var values = vec4<f32>(0.0);
    if col >= params.x.cols {
        return values;
    }
#ifdef X_VEC4
    return x[at / 4u];
#else
    values.x = x[at];
    if col + 1u < params.x.cols { values.y = x[at + 1u]; }
    if col + 2u < params.x.cols { values.z = x[at + 2u]; }
    if col + 3u < params.x.cols { values.w = x[at + 3u]; }
    return values;
#endif
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
#ifdef SUBGROUPS
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
#endif
) {
    let place = group + params.base.xyz;
    // More workgroups than a dispatch has along one axis are folded: as `matvec` in matmul_gpu.rs.
    let blocks = (params.weight.rows + 3u) / 4u;
    let lines = (blocks + 65534u) / 65535u;
    let width = (blocks + lines - 1u) / lines;
    let first = (place.y * width + place.x) * 4u;
    let rows = min(params.x.rows, ROWS);
    let last = params.weight.rows - 1u;
    // Beyond the last row the last is read again, and its sums are not stored.
    let starts = vec4<u32>(params.weight.offset)
        + min(vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last)) * params.weight.stride;
    var sums = array<vec4<f32>, ROWS>();
    let cols = params.x.cols;
    for (var i = local; i * 8u < cols; i += LANES) {
        let at = pair_columns(i);
        let a = pair_load(starts.x, i, cols);
        let b = pair_load(starts.y, i, cols);
        let c = pair_load(starts.z, i, cols);
        let d = pair_load(starts.w, i, cols);
        let first_half = mat4x4<f32>(a[0], b[0], c[0], d[0]);
        let second_half = mat4x4<f32>(a[1], b[1], c[1], d[1]);
        for (var r = 0u; r < ROWS; r += 1u) {
            let row = min(r, rows - 1u);
            sums[r] += x_load(row, at.x) * first_half + x_load(row, at.y) * second_half;
        }
    }
    for (var r = 0u; r < ROWS; r += 1u) {
#ifdef SUBGROUPS
        let sum = subgroupAdd(sums[r]);
        if lane == 0u {
            partial[subgroup] = sum;
        }
        workgroupBarrier();
        var total = partial[0];
        for (var i = 1u; i < subgroups; i += 1u) {
            total += partial[i];
        }
#else
        partial[local] = sums[r];
        workgroupBarrier();
        for (var half = LANES / 2u; half > 0u; half /= 2u) {
            if local < half {
                partial[local] += partial[local + half];
            }
            workgroupBarrier();
        }
        let total = partial[0];
#endif
        if local < 4u && first + local < params.out.cols && r < rows {
            let col = first + local;
            var value = total[local];
            if params.bias.rows > 0u {
                value += bias[params.bias.offset + col];
            }
            let at = params.out.offset + r * params.out.stride + col;
            if params.accumulate != 0u {
                value += out[at];
            }
            out[at] = value;
        }
        workgroupBarrier();
    }
}
