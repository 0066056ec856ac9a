//! Cutting one dispatch into several.

/// Walks a grid in boxes.
pub(super) struct Parts {
    grid: [u32; 3],
    next: [u32; 3],
    /// Size of the current row of boxes along y and z.
    depth: [u32; 2],
}

impl Parts {
    pub fn new(grid: [u32; 3]) -> Parts {
        let next = if grid.contains(&0) { grid } else { [0; 3] };
        Parts {
            grid,
            next,
            depth: [1, 1],
        }
    }

    pub fn finished(&self) -> bool {
        self.next[2] >= self.grid[2]
    }

    /// Base and size of the next box, of about `count` workgroups and no edge above `most`.
    pub fn next(&mut self, count: u32, most: u32) -> ([u32; 3], [u32; 3]) {
        let [gx, gy, gz] = self.grid;
        let base = self.next;
        if base[0] == 0 {
            let rows = (count / gx.max(1)).max(1);
            let whole_rows = gx <= most;
            if base[1] == 0 {
                let planes = if whole_rows && gy <= most {
                    (rows / gy).max(1)
                } else {
                    1
                };
                self.depth[1] = planes.min(gz - base[2]).min(most);
            }
            let rows = if whole_rows { rows } else { 1 };
            self.depth[0] = rows.min(gy - base[1]).min(most);
            if self.depth[1] > 1 {
                self.depth[0] = gy;
            }
        }
        let per_column = self.depth[0] * self.depth[1];
        let width = (count / per_column).clamp(1, most).min(gx - base[0]);
        let size = [width, self.depth[0], self.depth[1]];
        self.next[0] += width;
        if self.next[0] >= gx {
            self.next[0] = 0;
            self.next[1] += self.depth[0];
            if self.next[1] >= gy {
                self.next[1] = 0;
                self.next[2] += self.depth[1];
            }
        }
        (base, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The boxes of a grid cover each workgroup once and keep to the limit.
        #[test]
        fn parts_cover_the_grid(
            grid in prop::array::uniform3(0u32..12),
            counts in prop::collection::vec(1u32..200, 1..4),
            most in 1u32..14,
        ) {
            let mut seen = std::collections::BTreeSet::new();
            let mut parts = Parts::new(grid);
            for i in 0.. {
                if parts.finished() {
                    break;
                }
                let (base, size) = parts.next(counts[i % counts.len()], most);
                prop_assert!(size.iter().all(|&s| s >= 1 && s <= most));
                for z in 0..size[2] {
                    for y in 0..size[1] {
                        for x in 0..size[0] {
                            prop_assert!(seen.insert([base[0] + x, base[1] + y, base[2] + z]));
                        }
                    }
                }
            }
            prop_assert_eq!(seen.len() as u32, grid.iter().product::<u32>());
            prop_assert!(seen.iter().all(|p| p.iter().zip(grid).all(|(&a, b)| a < b)));
        }
    }
}
