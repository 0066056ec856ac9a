// The part of matmul_cooperative.wgsl that uses cooperative matrices. Tiles of 8 x 8 matrices, 32
// of the inner length at a time. Each of 8 subgroups (of exactly 32 lanes) owns 4 x 2 matrices;
// `a` to `d` are its rows, `l` and `r` its columns.

const EDGE: u32 = #{EDGE}u;
const TILE: u32 = 8u * EDGE;
const INNER: u32 = 32u;
// Elements from row to row of a tile: rows stay on 16 bytes, and start on different banks.
const PITCH: u32 = 40u;

var<workgroup> x_tile: array<f16, TILE * PITCH>;
var<workgroup> w_tile: array<f16, TILE * PITCH>;
// A matrix for each subgroup.
var<workgroup> staging: array<f32, 8u * EDGE * EDGE>;

// Writes the subgroup's staged matrix to its place in `out`.
fn write_out(own: u32, lane: u32, first_row: u32, first_col: u32) {
    for (var i = lane; i < EDGE * EDGE; i += 32u) {
        store(first_row + i / EDGE, first_col + i % EDGE, staging[own + i]);
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let place = group + params.base.xyz;
    let first_row = place.y * TILE;
    let first_col = place.x * TILE;
    // The subgroup's matrices inside the tile: two subgroups down, four across.
    let down = subgroup / 4u * 4u * EDGE;
    let across = subgroup % 4u * 2u * EDGE;
    let own = subgroup * EDGE * EDGE;
    for (var i = lane; i < EDGE * EDGE; i += 32u) {
        staging[own + i] = 0.0;
    }
    workgroupBarrier();
    var sum_al = coopLoadT<coop_mat#{EDGE}x#{EDGE}<f32, C>>(&staging[own], EDGE);
    var sum_ar = coopLoadT<coop_mat#{EDGE}x#{EDGE}<f32, C>>(&staging[own], EDGE);
    var sum_bl = coopLoadT<coop_mat#{EDGE}x#{EDGE}<f32, C>>(&staging[own], EDGE);
    var sum_br = coopLoadT<coop_mat#{EDGE}x#{EDGE}<f32, C>>(&staging[own], EDGE);
    var sum_cl = coopLoadT<coop_mat#{EDGE}x#{EDGE}<f32, C>>(&staging[own], EDGE);
    var sum_cr = coopLoadT<coop_mat#{EDGE}x#{EDGE}<f32, C>>(&staging[own], EDGE);
    var sum_dl = coopLoadT<coop_mat#{EDGE}x#{EDGE}<f32, C>>(&staging[own], EDGE);
    var sum_dr = coopLoadT<coop_mat#{EDGE}x#{EDGE}<f32, C>>(&staging[own], EDGE);
    // Every invocation loads four elements of a row, and the rows 32 further on.
    let row = local / 8u;
    let step = local % 8u * 4u;
    for (var inner = 0u; inner < params.x.cols; inner += INNER) {
        for (var r = row; r < TILE; r += 32u) {
            let from_x = to_half(x_load(first_row + r, inner + step));
            let from_w = to_half(w_load(first_col + r, inner + step));
            let to = r * PITCH + step;
            x_tile[to] = from_x.x;
            x_tile[to + 1u] = from_x.y;
            x_tile[to + 2u] = from_x.z;
            x_tile[to + 3u] = from_x.w;
            w_tile[to] = from_w.x;
            w_tile[to + 1u] = from_w.y;
            w_tile[to + 2u] = from_w.z;
            w_tile[to + 3u] = from_w.w;
        }
        workgroupBarrier();
        for (var k = 0u; k < INNER; k += EDGE) {
            let row_a = coopLoadT<coop_mat#{EDGE}x#{EDGE}<f16, A>>(&x_tile[(down) * PITCH + k], PITCH);
            let row_b = coopLoadT<coop_mat#{EDGE}x#{EDGE}<f16, A>>(&x_tile[(down + EDGE) * PITCH + k], PITCH);
            let row_c = coopLoadT<coop_mat#{EDGE}x#{EDGE}<f16, A>>(&x_tile[(down + 2u * EDGE) * PITCH + k], PITCH);
            let row_d = coopLoadT<coop_mat#{EDGE}x#{EDGE}<f16, A>>(&x_tile[(down + 3u * EDGE) * PITCH + k], PITCH);
            let col_l = coopLoad<coop_mat#{EDGE}x#{EDGE}<f16, B>>(&w_tile[(across) * PITCH + k], PITCH);
            let col_r = coopLoad<coop_mat#{EDGE}x#{EDGE}<f16, B>>(&w_tile[(across + EDGE) * PITCH + k], PITCH);
            sum_al = coopMultiplyAdd(row_a, col_l, sum_al);
            sum_ar = coopMultiplyAdd(row_a, col_r, sum_ar);
            sum_bl = coopMultiplyAdd(row_b, col_l, sum_bl);
            sum_br = coopMultiplyAdd(row_b, col_r, sum_br);
            sum_cl = coopMultiplyAdd(row_c, col_l, sum_cl);
            sum_cr = coopMultiplyAdd(row_c, col_r, sum_cr);
            sum_dl = coopMultiplyAdd(row_d, col_l, sum_dl);
            sum_dr = coopMultiplyAdd(row_d, col_r, sum_dr);
        }
        workgroupBarrier();
    }
    let to_row = first_row + down;
    let to_col = first_col + across;
    coopStoreT(sum_al, &staging[own], EDGE);
    workgroupBarrier();
    write_out(own, lane, to_row, to_col);
    workgroupBarrier();
    coopStoreT(sum_ar, &staging[own], EDGE);
    workgroupBarrier();
    write_out(own, lane, to_row, to_col + EDGE);
    workgroupBarrier();
    coopStoreT(sum_bl, &staging[own], EDGE);
    workgroupBarrier();
    write_out(own, lane, to_row + EDGE, to_col);
    workgroupBarrier();
    coopStoreT(sum_br, &staging[own], EDGE);
    workgroupBarrier();
    write_out(own, lane, to_row + EDGE, to_col + EDGE);
    workgroupBarrier();
    coopStoreT(sum_cl, &staging[own], EDGE);
    workgroupBarrier();
    write_out(own, lane, to_row + 2u * EDGE, to_col);
    workgroupBarrier();
    coopStoreT(sum_cr, &staging[own], EDGE);
    workgroupBarrier();
    write_out(own, lane, to_row + 2u * EDGE, to_col + EDGE);
    workgroupBarrier();
    coopStoreT(sum_dl, &staging[own], EDGE);
    workgroupBarrier();
    write_out(own, lane, to_row + 3u * EDGE, to_col);
    workgroupBarrier();
    coopStoreT(sum_dr, &staging[own], EDGE);
    workgroupBarrier();
    write_out(own, lane, to_row + 3u * EDGE, to_col + EDGE);
}
