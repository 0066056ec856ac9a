// Where SQUARES is defined, out[i] is the sum of the squares of the i-th 8192 elements of x, a
// workgroup each; elsewhere out[0] is the sum of x.
#import inscribe::view::View
#import inscribe::reduce::sum_all

struct Params {
    base: vec4<u32>,
    x: View,
    out: View,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

// Keep in sync with `PARTIAL` in src/kernels/optimizer.rs.
const PARTIAL: u32 = 8192u;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group.x + params.base.x;
    var sum = 0.0;
#ifdef SQUARES
    let end = min((place + 1u) * PARTIAL, params.x.cols);
    for (var i = place * PARTIAL + local; i < end; i += 256u) {
        let value = x[params.x.offset + i];
        sum += value * value;
    }
#else
    for (var i = local; i < params.x.cols; i += 256u) {
        sum += x[params.x.offset + i];
    }
#endif
    let total = sum_all(sum, local);
    if local == 0u {
        out[params.out.offset + place] = total;
    }
}
