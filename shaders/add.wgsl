// sum += x
#import inscribe::view::View

struct Params {
    base: vec4<u32>,
    sum: View,
    x: View,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> sum: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let col = place.x * 256u + local;
    if col < params.sum.cols {
        let at = params.sum.offset + place.y * params.sum.stride + col;
        sum[at] += x[params.x.offset + place.y * params.x.stride + col];
    }
}
