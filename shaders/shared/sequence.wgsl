#define_import_path inscribe::sequence

// Rows of one launch may be several sequences one after the other. `length` is how many rows each
// has, or 0 where all are one.

// Which rows a workgroup has.
struct Part {
    // The first row of the sequence.
    begin: u32,
    // Rows of the sequence.
    rows: u32,
    // The first of the workgroup's own rows, counted from `begin`.
    first: u32,
}

// Rows of a sequence, of `all`.
fn rows_of(length: u32, all: u32) -> u32 {
    return select(length, all, length == 0u);
}

// The rows of workgroup `group`, where each has `tile` rows of one sequence.
fn part_of(group: u32, tile: u32, length: u32, all: u32) -> Part {
    let rows = rows_of(length, all);
    let tiles = (rows + tile - 1u) / tile;
    let sequence = group / tiles;
    return Part(sequence * rows, rows, (group - sequence * tiles) * tile);
}
