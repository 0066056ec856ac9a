// order[0] = the places of ids in their order, equal ones as they come; order[1] = where equal ids
// begin, how many there are, else 0. An invocation counts what comes before one id.
#import inscribe::view::View

struct Params {
    base: vec4<u32>,
    ids: View,
    order: View,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> order: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let own = (group.x + params.base.x) * 64u + local;
    let count = params.ids.cols;
    if own >= count {
        return;
    }
    let id = ids[params.ids.offset + own];
    var less = 0u;
    var same_before = 0u;
    var same = 0u;
    for (var i = 0u; i < count; i += 1u) {
        let other = ids[params.ids.offset + i];
        less += select(0u, 1u, other < id);
        same_before += select(0u, 1u, other == id && i < own);
        same += select(0u, 1u, other == id);
    }
    let to = params.order.offset + less + same_before;
    order[to] = own;
    order[to + params.order.stride] = select(same, 0u, same_before > 0u);
}
