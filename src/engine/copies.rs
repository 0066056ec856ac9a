//! Second copies of weights, in the layouts that the kernels reading them most want.
//!
//! A copy is made where it is first wanted and lives as long as its weight. All copies of a device
//! lie in a few large pieces of memory, so that the system can back them with large pages.

use std::cell::UnsafeCell;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use memmap2::MmapMut;

/// Bytes reserved at a time; the system gives memory only where it is touched.
const PIECE_BYTES: usize = 64 << 20;
/// Of a large page: where pieces start.
const LARGE_PAGE: usize = 2 << 20;
/// Copies start on a cache line.
const ALIGN: usize = 64;

/// Where the copy of one weight is kept: `None` once there was no room for it.
pub type Slot = OnceLock<Option<Region>>;

/// The copies of one device.
pub struct Copies {
    state: Mutex<State>,
    /// Bytes all copies may take together.
    limit: u64,
}

#[derive(Default)]
struct State {
    piece: Option<Arc<Piece>>,
    /// Bytes of `piece` that are given out.
    used: usize,
    /// Bytes of every copy made so far.
    made: u64,
}

struct Piece {
    map: UnsafeCell<MmapMut>,
    /// The first byte on a large page.
    start: usize,
    len: usize,
}

// SAFETY: regions of a piece are disjoint; each is written only before it is shared.
unsafe impl Send for Piece {}
// SAFETY: as above.
unsafe impl Sync for Piece {}

impl Piece {
    fn new(len: usize) -> Option<Piece> {
        let map = MmapMut::map_anon(len.checked_add(LARGE_PAGE)?).ok()?;
        #[cfg(target_os = "linux")]
        {
            // Without large pages everything works, only slower.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        let start = map.as_ptr().align_offset(LARGE_PAGE).min(LARGE_PAGE);
        Some(Piece {
            map: UnsafeCell::new(map),
            start,
            len,
        })
    }

    fn pointer(&self) -> *mut u8 {
        // SAFETY: the map itself is never changed, so reading its pointer races with nothing;
        // `start` lies inside it.
        unsafe { (*self.map.get()).as_mut_ptr().add(self.start) }
    }
}

/// Memory of one copy.
pub struct Region {
    piece: Arc<Piece>,
    range: Range<usize>,
}

impl Region {
    /// The copy's bytes, in the layout that the kernel chose when it made it.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: inside the piece; written only before the region was handed out.
        unsafe {
            let first = self.piece.pointer().add(self.range.start);
            std::slice::from_raw_parts(first, self.range.len())
        }
    }
}

impl Copies {
    /// No copies yet; `limit` is the most bytes that all of them together may take.
    pub fn new(limit: u64) -> Copies {
        Copies {
            state: Mutex::default(),
            limit,
        }
    }

    /// A copy of `bytes` bytes as `fill` writes it into zeroed memory; `None` where that would be
    /// over the limit, or where `available` says that the system has no memory to spare.
    pub fn make(
        &self,
        bytes: usize,
        available: impl Fn() -> u64,
        fill: impl FnOnce(&mut [u8]),
    ) -> Option<Region> {
        let region = self.reserve(bytes, available)?;
        // SAFETY: nobody else knows of the region yet, and regions are disjoint.
        let memory = unsafe {
            let first = region.piece.pointer().add(region.range.start);
            std::slice::from_raw_parts_mut(first, region.range.len())
        };
        fill(memory);
        Some(region)
    }

    fn reserve(&self, bytes: usize, available: impl Fn() -> u64) -> Option<Region> {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let made = state.made.checked_add(bytes as u64)?;
        if made > self.limit {
            return None;
        }
        let fits = |piece: &Arc<Piece>| piece.len - state.used >= bytes;
        let piece = match state.piece.clone().filter(fits) {
            Some(piece) => piece,
            None => {
                let len = PIECE_BYTES.max(bytes.checked_next_multiple_of(LARGE_PAGE)?);
                if available() < 4 * len as u64 {
                    return None;
                }
                let piece = Arc::new(Piece::new(len)?);
                state.piece = Some(piece.clone());
                state.used = 0;
                piece
            }
        };
        let start = state.used;
        state.used = (start + bytes).next_multiple_of(ALIGN).min(piece.len);
        state.made = made;
        Some(Region {
            piece,
            range: start..start + bytes,
        })
    }
}

/// What a kernel needs to find or make the copy of a weight of which it is given some rows.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// All copies of the device, where a new one is made.
    pub copies: &'a Copies,
    /// Where this weight's copy is kept.
    pub slot: &'a Slot,
    /// The whole weight as the file holds it.
    pub data: &'a [u8],
    /// The first of the given rows.
    pub first_row: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_apart_and_stop_at_the_limit() {
        let copies = Copies::new(1000);
        let plenty = || u64::MAX;
        let a = copies.make(100, plenty, |memory| memory.fill(1)).unwrap();
        let b = copies.make(900, plenty, |memory| memory.fill(2)).unwrap();
        assert!(a.bytes().iter().all(|&v| v == 1) && b.bytes().iter().all(|&v| v == 2));
        assert_eq!((a.bytes().len(), b.bytes().len()), (100, 900));
        assert_eq!(b.bytes().as_ptr() as usize % ALIGN, 0);
        assert!(copies.make(1, plenty, |_| ()).is_none());
        assert!(Copies::new(1000).make(1, || 1, |_| ()).is_none());
    }

    #[test]
    fn a_copy_larger_than_a_piece_has_a_piece_of_its_own() {
        let copies = Copies::new(u64::MAX);
        let small = copies.make(64, || u64::MAX, |_| ()).unwrap();
        let large = copies.make(PIECE_BYTES + 1, || u64::MAX, |_| ()).unwrap();
        assert!(!Arc::ptr_eq(&small.piece, &large.piece));
        assert_eq!(large.bytes().as_ptr() as usize % LARGE_PAGE, 0);
    }
}
