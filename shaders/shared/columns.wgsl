#define_import_path inscribe::columns

// A workgroup of 256 invocations sums 64 columns: invocation i takes every fourth term of column
// i % COLUMNS, from term i / COLUMNS on.
const COLUMNS: u32 = 64u;
const SLICES: u32 = 4u;

var<workgroup> partial: array<f32, 256>;

// The whole sum of an invocation's column, always in the same order. Every invocation calls it
// once, in uniform control flow.
fn sum_slices(sum: f32, local: u32) -> f32 {
    partial[local] = sum;
    workgroupBarrier();
    var total = 0.0;
    for (var i = local % COLUMNS; i < COLUMNS * SLICES; i += COLUMNS) {
        total += partial[i];
    }
    return total;
}
