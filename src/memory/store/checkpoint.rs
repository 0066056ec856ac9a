//! The state of a run, in one file that is replaced as a whole: a mark, the length of a JSON
//! header, the header, and the numbers in little-endian f32.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Result, StoredSegment};
use crate::memory::error::MemoryError;
use crate::memory::fingerprint::hex;

const MARK: &[u8; 8] = b"INSCCKP1";
const LENGTH_BYTES: usize = 4;

/// What a run goes on from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredState {
    /// Number of the segment that is being written, from 0.
    pub segment: usize,
    /// Number of steps taken, over all segments.
    pub step: usize,
    /// Number of steps that the optimiser has counted; it begins at 0 with each segment.
    pub steps: u64,
    pub params: Vec<f32>,
    /// The optimiser's running means of gradients (`m`) and of their squares (`v`); empty where it
    /// has none.
    pub m: Vec<f32>,
    pub v: Vec<f32>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    segment: usize,
    step: usize,
    steps: u64,
    params: usize,
    m: usize,
    v: usize,
    /// SHA-256 of the numbers, in hexadecimal.
    sha256: String,
    /// Bytes of events that belong to this state: those after it happened to a state that is lost.
    pub events_bytes: u64,
    /// The segments that are finished.
    pub segments: Vec<StoredSegment>,
}

pub fn encode(
    path: &Path,
    checkpoint: &StoredState,
    events_bytes: u64,
    segments: &[StoredSegment],
) -> Result<Vec<u8>> {
    let parts = [&checkpoint.params, &checkpoint.m, &checkpoint.v];
    let numbers: Vec<u8> = parts
        .into_iter()
        .flatten()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let header = Header {
        segment: checkpoint.segment,
        step: checkpoint.step,
        steps: checkpoint.steps,
        params: checkpoint.params.len(),
        m: checkpoint.m.len(),
        v: checkpoint.v.len(),
        sha256: hex(&Sha256::digest(&numbers)),
        events_bytes,
        segments: segments.to_vec(),
    };
    let unwritable = || MemoryError::file(path, "the run's state is too large to write");
    let header = serde_json::to_vec(&header).map_err(|_| unwritable())?;
    let length = u32::try_from(header.len()).map_err(|_| unwritable())?;
    Ok([MARK.as_slice(), &length.to_le_bytes(), &header, &numbers].concat())
}

/// The segments that a checkpoint lists; none where there is no checkpoint that can be read.
pub fn segments(path: &Path) -> Vec<StoredSegment> {
    let read = || -> std::io::Result<Header> {
        let mut file = File::open(path)?;
        let mut start = [0; MARK.len() + LENGTH_BYTES];
        file.read_exact(&mut start)?;
        let (mark, length) = start.split_at(MARK.len());
        if mark != MARK {
            return Err(ErrorKind::InvalidData.into());
        }
        let length = length.try_into().map_or(0, u32::from_le_bytes);
        let mut header = Vec::new();
        file.take(length.into()).read_to_end(&mut header)?;
        Ok(serde_json::from_slice(&header)?)
    };
    read().map(|header| header.segments).unwrap_or_default()
}

pub fn decode(path: &Path, bytes: &[u8]) -> Result<(StoredState, Header)> {
    let damaged = |what: &str| {
        let detail = format!("is damaged ({what}); delete its folder to start again");
        MemoryError::file(path, detail)
    };
    let rest = bytes
        .strip_prefix(MARK)
        .ok_or_else(|| damaged("no checkpoint"))?;
    let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(damaged("too short"));
    };
    let length = u32::from_le_bytes(*length) as usize;
    let Some((header, numbers)) = rest.split_at_checked(length) else {
        return Err(damaged("too short"));
    };
    let header: Header = serde_json::from_slice(header).map_err(|_| damaged("its header"))?;
    let (values, odd) = numbers.as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|v| f32::from_le_bytes(*v)).collect();
    let count = header
        .params
        .checked_add(header.m)
        .and_then(|n| n.checked_add(header.v));
    if count != Some(values.len()) || !odd.is_empty() {
        return Err(damaged("its length"));
    }
    if hex(&Sha256::digest(numbers)) != header.sha256 {
        return Err(damaged("its numbers"));
    }
    let (params, rest) = values.split_at(header.params);
    let (m, v) = rest.split_at(header.m);
    let checkpoint = StoredState {
        segment: header.segment,
        step: header.step,
        steps: header.steps,
        params: params.to_vec(),
        m: m.to_vec(),
        v: v.to_vec(),
    };
    Ok((checkpoint, header))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> (StoredState, Vec<StoredSegment>) {
        let checkpoint = StoredState {
            segment: 2,
            step: 31,
            steps: 7,
            params: vec![1.5, -0.0, f32::MIN_POSITIVE],
            m: vec![0.25; 3],
            v: vec![],
        };
        (
            checkpoint,
            vec![StoredSegment::new(0, 0..10), StoredSegment::new(1, 10..30)],
        )
    }

    #[test]
    fn states_come_back_bit_for_bit() {
        let (checkpoint, segments) = sample();
        let bytes = encode(Path::new("c"), &checkpoint, 99, &segments).unwrap();
        let (loaded, header) = decode(Path::new("c"), &bytes).unwrap();
        let bits = |c: &StoredState| c.params.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&loaded), bits(&checkpoint));
        assert_eq!(loaded, checkpoint);
        assert_eq!((header.events_bytes, header.segments), (99, segments));
    }

    proptest! {
        #[test]
        fn damage_is_found(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut: bool) {
            let (checkpoint, segments) = sample();
            let whole = encode(Path::new("c"), &checkpoint, 99, &segments).unwrap();
            let mut bytes = whole.clone();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if cut {
                bytes.truncate(at);
            }
            if let Ok((loaded, _)) = decode(Path::new("c"), &bytes) {
                // Only the header's numbers are not covered by the hash.
                prop_assert_eq!(loaded.params, checkpoint.params);
            }
        }
    }
}
