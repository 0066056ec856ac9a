// x = factor * x
#import inscribe::view::View

struct Params {
    base: vec4<u32>,
    x: View,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group + params.base.xyz;
    let col = place.x * 256u + local;
    if col < params.x.cols {
        x[params.x.offset + place.y * params.x.stride + col] *= params.factor;
    }
}
