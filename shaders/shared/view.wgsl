#define_import_path inscribe::view

// A matrix inside a binding, in 32-bit words. Row r starts at word `offset + r * stride`.
// Keep in sync with `Bound::view` in src/engine/gpu/program.rs. An absent argument has no rows.
struct View {
    offset: u32,
    stride: u32,
    rows: u32,
    cols: u32,
}
