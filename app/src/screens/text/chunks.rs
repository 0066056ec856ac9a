//! Places of the chunks in the text, and the colours of their bands.

use std::ops::Range;

use inscribe::write::record::RunRecord;

use crate::vocabulary::Selection;

#[derive(Default)]
pub struct ChunkMap {
    chunks: Vec<Placed>,
    made_of: Option<u64>,
}

pub struct Placed {
    text: Range<usize>,
    /// Index of the segment, and of the chunk within it.
    pub place: (usize, usize),
    /// Utility in parts of the one that has the strongest colour.
    pub part: Option<f64>,
}

impl ChunkMap {
    pub fn refresh(&mut self, record: &RunRecord, version: u64) {
        if self.made_of == Some(version) {
            return;
        }
        let scale = record.utility_scale();
        self.chunks.clear();
        for (segment, of) in record.segments.iter().enumerate() {
            let placed = of.chunks.iter().enumerate().map(|(chunk, found)| Placed {
                text: found.text.clone(),
                place: (segment, chunk),
                part: found
                    .utility
                    .zip(scale)
                    .map(|(utility, scale)| utility / scale),
            });
            self.chunks.extend(placed);
        }
        self.made_of = Some(version);
    }

    pub fn find(&self, byte: usize) -> Option<&Placed> {
        let at = self.chunks.partition_point(|chunk| chunk.text.end <= byte);
        // White space between two chunks belongs to the next.
        let found = self.chunks.get(at)?;
        (found.text.start <= byte || at > 0).then_some(found)
    }
}

/// The bytes of a chunk.
pub fn bytes_of(record: &RunRecord, segment: usize, chunk: usize) -> Option<Range<usize>> {
    let chunk = record.segments.get(segment)?.chunks.get(chunk)?;
    (!chunk.text.is_empty()).then(|| chunk.text.clone())
}

pub fn selected_bytes(record: &RunRecord, selection: &Selection) -> Option<Range<usize>> {
    bytes_of(record, selection.segment, selection.chunk?)
}
