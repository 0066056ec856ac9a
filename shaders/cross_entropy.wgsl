// Folds one tile of logits into each row's state: largest logit, sum of exp(logit - largest), the
// target's logit, the most likely token. A workgroup a row.
#import inscribe::view::View

struct Params {
    base: vec4<u32>,
    logits: View,
    targets: View,
    state: View,
    first_token: u32,
    first_tile: u32,
}

const NEGATIVE_INFINITY: u32 = 0xff800000u;
const NOT_A_NUMBER: u32 = 0x7fc00000u;
const LOWEST: f32 = -3.4028234e38;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
// Bits of floats: WGSL does not promise what becomes of infinities and NaN held as floats.
@group(0) @binding(3) var<storage, read_write> state: array<u32>;

var<workgroup> largest: array<f32, 256>;
var<workgroup> index: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = group.y + params.base.y;
    let from_logits = params.logits.offset + row * params.logits.stride;
    let to = params.state.offset + row * params.state.stride;
    let cols = params.logits.cols;
    var best = LOWEST;
    var best_index = 0u;
    for (var i = local; i < cols; i += 256u) {
        let logit = logits[from_logits + i];
        if logit > best {
            best = logit;
            best_index = i;
        }
    }
    largest[local] = best;
    index[local] = best_index;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if local < half {
            let other = largest[local + half];
            let other_index = index[local + half];
            let mine = largest[local];
            // The first of equals, as the twin takes it.
            if other > mine || (other == mine && other_index < index[local]) {
                largest[local] = other;
                index[local] = other_index;
            }
        }
        workgroupBarrier();
    }
    let tile_largest = largest[0];
    let tile_index = index[0];
    let fresh = params.first_tile != 0u || state[to] == NEGATIVE_INFINITY;
    var before = LOWEST;
    var total = 0.0;
    if !fresh {
        before = bitcast<f32>(state[to]);
        total = bitcast<f32>(state[to + 1u]);
    }
    let now = max(before, tile_largest);
    var sum = 0.0;
    for (var i = local; i < cols; i += 256u) {
        sum += exp(logits[from_logits + i] - now);
    }
    workgroupBarrier();
    largest[local] = sum;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if local < half {
            largest[local] += largest[local + half];
        }
        workgroupBarrier();
    }
    if local == 0u {
        if !fresh {
            total *= exp(before - now);
        }
        if fresh || tile_largest > before {
            state[to + 3u] = bitcast<u32>(f32(params.first_token + tile_index));
        }
        state[to] = bitcast<u32>(now);
        state[to + 1u] = bitcast<u32>(total + largest[0]);
        let target_column = targets[params.targets.offset + row] - params.first_token;
        if target_column < cols {
            state[to + 2u] = bitcast<u32>(logits[from_logits + target_column]);
        } else if params.first_tile != 0u {
            state[to + 2u] = NOT_A_NUMBER;
        }
    }
}
