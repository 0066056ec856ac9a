//! Mapping model files into memory.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use crate::model::error::ModelError;

/// Maps a whole file, read-only.
pub fn map_file(path: &Path) -> Result<Arc<Mmap>, ModelError> {
    // Asked before opening: opening a pipe would wait for somebody to write into it.
    let meta = std::fs::metadata(path).map_err(|e| ModelError::open(path, &e))?;
    if !meta.is_file() {
        let what = if meta.is_dir() {
            "a folder"
        } else {
            "no regular file"
        };
        return Err(ModelError::file(
            path,
            format!("is {what}; pass a model file"),
        ));
    }
    let file = File::open(path).map_err(|e| ModelError::open(path, &e))?;
    // SAFETY: the map is read-only. A file that another process shortens meanwhile would end this
    // one with a signal, as it would every program that maps its weights; models in the cache are
    // only ever replaced by renaming.
    let map = unsafe { Mmap::map(&file) }
        .map_err(|e| ModelError::file(path, format!("cannot be mapped into memory: {e}")))?;
    Ok(Arc::new(map))
}

/// Bytes as if a file had held them.
#[cfg(test)]
pub(crate) fn map_of(bytes: &[u8]) -> Arc<Mmap> {
    let mut map = memmap2::MmapMut::map_anon(bytes.len()).unwrap();
    map.copy_from_slice(bytes);
    Arc::new(map.make_read_only().unwrap())
}
