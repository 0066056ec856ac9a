#define_import_path inscribe::reduce

// Sums over a workgroup of 256 invocations. Every invocation calls these, in uniform control flow.

#ifdef SUBGROUPS
// One partial sum a subgroup: subgroups have 4 lanes at least.
var<workgroup> partial: array<f32, 64>;

fn sum_all(value: f32, local: u32, lane: u32, subgroup: u32, subgroups: u32) -> f32 {
    let sum = subgroupAdd(value);
    // A caller may still be reading the previous sum.
    workgroupBarrier();
    if lane == 0u {
        partial[subgroup] = sum;
    }
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < subgroups; i += 1u) {
        total += partial[i];
    }
    return total;
}
#else
var<workgroup> partial: array<f32, 256>;

fn sum_all(value: f32, local: u32) -> f32 {
    workgroupBarrier();
    partial[local] = value;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] += partial[local + half];
        }
        workgroupBarrier();
    }
    return partial[0];
}
#endif
