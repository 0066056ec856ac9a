//! Ollama's models: manifests by name, which say by hash which blob is the model.
//!
//! ```text
//! <models>/manifests/<host>/<namespace>/<name>/<tag>      JSON: layers with media type and digest
//! <models>/blobs/sha256-<hash>                            a .gguf file without its ending
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Candidate;
use super::walk::{self, Budget, plainly};
use crate::model::error::printable;

const HOST: &str = "registry.ollama.ai";
const LIBRARY: &str = "library";
const LATEST: &str = "latest";
const MODEL: &str = "application/vnd.ollama.image.model";
const ADAPTER: &str = "application/vnd.ollama.image.adapter";
/// Manifests are a few KiB long.
const MANIFEST_BYTES: u64 = 1 << 20;

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    #[serde(default)]
    digest: String,
}

/// Every manifest below the folder.
pub fn candidates(root: &Path, budget: &mut Budget, notes: &mut Vec<String>) -> Vec<Candidate> {
    // host, namespace and name are folders.
    let manifests = walk::files(&root.join("manifests"), 3, budget, notes);
    let named = manifests.into_iter().filter_map(|(path, file)| {
        let name = shown(&path)?;
        Some(match blob(root, &file) {
            Ok(path) => Candidate {
                name,
                path,
                fault: None,
            },
            Err(fault) => Candidate {
                name,
                path: file,
                fault: Some(fault),
            },
        })
    });
    named.collect()
}

/// The name that Ollama shows for a manifest's path, with the prefix of its models here.
fn shown(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    let [host, space, name, tag] = parts[..] else {
        return None;
    };
    let short = match (host, space) {
        (HOST, LIBRARY) => name.to_owned(),
        (HOST, space) => format!("{space}/{name}"),
        (host, space) => format!("{host}/{space}/{name}"),
    };
    Some(format!("ollama:{}", printable(&format!("{short}:{tag}"))))
}

/// Where the model that Ollama calls by this name lies.
pub fn find(roots: &[PathBuf], name: &str) -> Result<PathBuf, String> {
    let place = place(name).ok_or("that is no name of Ollama's")?;
    let manifests = roots.iter().map(|root| (root, root.join("manifests")));
    for (root, manifests) in manifests {
        let manifest = place.iter().fold(manifests, |path, part| path.join(part));
        if fs::symlink_metadata(&manifest).is_ok() {
            return blob(root, &manifest);
        }
    }
    Err("Ollama has no such model here".to_owned())
}

/// Host, namespace, name and tag of `[[host/]namespace/]name[:tag]`.
fn place(name: &str) -> Option<[&str; 4]> {
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let (path, tag) = match name[slash..].split_once(':') {
        Some((_, tag)) => (&name[..name.len() - tag.len() - 1], tag),
        None => (name, LATEST),
    };
    let parts: Vec<&str> = path.split('/').collect();
    let place = match parts[..] {
        [name] => [HOST, LIBRARY, name, tag],
        [space, name] => [HOST, space, name, tag],
        [host, space, name] => [host, space, name, tag],
        _ => return None,
    };
    let plain = |part: &&str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.contains(['/', '\\'])
            && !part.chars().any(char::is_control)
    };
    // Only a host may have a colon, before its port.
    let colon = place[1..].iter().any(|part| part.contains(':'));
    (place.iter().all(plain) && !colon).then_some(place)
}

/// The blob that a manifest names as the model.
fn blob(root: &Path, manifest: &Path) -> Result<PathBuf, String> {
    let failed =
        |error: std::io::Error| format!("its manifest cannot be read: {}", plainly(&error));
    let meta = fs::metadata(manifest).map_err(failed)?;
    if !meta.is_file() || meta.len() > MANIFEST_BYTES {
        return Err("its manifest is damaged: it is no file of a few KiB".to_owned());
    }
    let text = fs::read(manifest).map_err(failed)?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|_| "its manifest is damaged: it is not the JSON that Ollama writes".to_owned())?;
    if manifest
        .layers
        .iter()
        .any(|layer| layer.media_type == ADAPTER)
    {
        return Err("it has an adapter over its weights, which would be left out".to_owned());
    }
    let layer = manifest
        .layers
        .iter()
        .find(|layer| layer.media_type == MODEL);
    let layer = layer.ok_or("its manifest names no file with a model")?;
    // A digest is from a file that anybody may have written: it is never part of a path unless it
    // is one.
    let hash = layer.digest.strip_prefix("sha256:");
    let is_hash = |hash: &&str| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let hash = hash
        .filter(is_hash)
        .ok_or("its manifest is damaged: the model’s hash is none")?;
    let path = root.join("blobs").join(format!("sha256-{hash}"));
    if path.is_file() {
        Ok(path)
    } else {
        Err("its file is missing from Ollama’s blobs".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_ollama_reads_them() {
        let library = |name, tag| Some([HOST, LIBRARY, name, tag]);
        assert_eq!(place("llama3.2"), library("llama3.2", "latest"));
        assert_eq!(place("llama3.2:1b"), library("llama3.2", "1b"));
        assert_eq!(place("me/own:x"), Some([HOST, "me", "own", "x"]));
        assert_eq!(
            place("hf.co/bartowski/Some-GGUF:Q4_K_M"),
            Some(["hf.co", "bartowski", "Some-GGUF", "Q4_K_M"])
        );
        for odd in [
            "", ":x", "../x", "a/../b", "a/b/c/d", "a:", "a:../x", "/a", "a:b/c", "a\\b",
        ] {
            assert_eq!(place(odd), None, "{odd}");
        }
        for name in ["llama3.2:1b", "me/own:x", "hf.co/org/name:Q8_0"] {
            let path = place(name).unwrap().join("/");
            assert_eq!(shown(&path), Some(format!("ollama:{name}")));
        }
    }
}
