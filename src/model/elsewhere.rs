//! Models that other programs have put on this computer: read where they lie, never written to.
//!
//! A name says whose they are, and takes the place of a model's path wherever one is named:
//!
//! ```text
//! ollama:llama3.2:1b                        as `ollama run` is given it
//! lmstudio:publisher/repo/file.gguf         the path in LM Studio's folder of models
//! llama.cpp:file.gguf                       the file in llama.cpp's cache
//! org/name[@revision][:file.gguf]           a hub id, where the Hugging Face cache has it
//! ```

mod header;
mod hugging_face;
mod ollama;
mod places;
pub(crate) mod walk;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::model::config::ModelConfig;
use crate::model::gguf::part_of;
use crate::model::hub::safe_path;

pub(super) use hugging_face::find as find_in_hugging_face_cache;
pub use places::{Places, hugging_face_cache};

use header::Look;
use walk::Budget;

/// A program whose models can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Program {
    HuggingFace,
    LmStudio,
    LlamaCpp,
    Ollama,
}

impl Program {
    pub const ALL: [Program; 4] = [
        Program::HuggingFace,
        Program::LmStudio,
        Program::LlamaCpp,
        Program::Ollama,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Program::HuggingFace => "Hugging Face",
            Program::LmStudio => "LM Studio",
            Program::LlamaCpp => "llama.cpp",
            Program::Ollama => "Ollama",
        }
    }

    /// What the names of its models begin with; nothing where they are hub ids.
    pub fn prefix(self) -> &'static str {
        match self {
            Program::HuggingFace => "",
            Program::LmStudio => "lmstudio:",
            Program::LlamaCpp => "llama.cpp:",
            Program::Ollama => "ollama:",
        }
    }
}

/// A model that another program has.
#[derive(Clone, Debug)]
pub struct Found {
    /// The name that a model is asked for by.
    pub name: String,
    pub program: Program,
    /// The file or folder to open.
    pub path: PathBuf,
    pub bytes: u64,
    /// As the file gives it, whether it can be run or not.
    pub architecture: Option<String>,
    /// The type that most of the weights are in.
    pub quantisation: Option<String>,
    /// The model's sizes, where they could be read.
    pub config: Option<ModelConfig>,
    /// Whether it was made to answer, and without thinking first: as its chat template tells.
    pub answers_at_once: bool,
    /// Why it cannot be opened, in words.
    pub fault: Option<String>,
}

/// What a look at the other programs' folders has brought.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// By program, then by name.
    pub found: Vec<Found>,
    /// What could not be looked at, a line each.
    pub notes: Vec<String>,
}

/// How much is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub time: Duration,
    /// Files and folders.
    pub entries: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            time: Duration::from_secs(4),
            entries: 50_000,
        }
    }
}

/// What was seen in files, so that one that has not changed is not read again.
#[derive(Default)]
pub struct Looks {
    seen: HashMap<PathBuf, (Stamp, Look)>,
}

type Stamp = (u64, Option<SystemTime>);

impl Looks {
    fn at(&mut self, path: &Path) -> Look {
        let meta = fs::metadata(path);
        let stamp = meta.map(|meta| (meta.len(), meta.modified().ok()));
        let Ok(stamp) = stamp else {
            return header::look(path);
        };
        match self.seen.get(path) {
            Some((then, look)) if *then == stamp => look.clone(),
            _ => {
                let look = header::look(path);
                self.seen.insert(path.to_owned(), (stamp, look.clone()));
                look
            }
        }
    }
}

/// A model by its name, before its file is looked at.
struct Candidate {
    name: String,
    /// Where it lies, or should lie.
    path: PathBuf,
    /// What is wrong without the file having been looked at.
    fault: Option<String>,
}

impl Places {
    /// The models in these places.
    pub fn survey(&self, limits: Limits, looks: &mut Looks) -> Survey {
        let mut survey = Survey::default();
        for program in Program::ALL {
            let mut budget = Budget::new(limits.time / 4, limits.entries);
            for root in self.of(program) {
                let candidates = candidates(program, root, &mut budget, &mut survey.notes);
                for candidate in candidates {
                    if !budget.is_in_time() {
                        break;
                    }
                    survey.found.push(found(program, candidate, looks));
                }
            }
            if budget.is_spent() {
                survey.notes.push(format!(
                    "{} has more than was looked at: there are too many files, or they take too \
                     long to read; any of them can be named all the same",
                    program.name()
                ));
            }
        }
        survey
            .found
            .sort_by_key(|found| (found.program, found.name.clone(), found.fault.is_some()));
        survey
            .found
            .dedup_by(|a, b| (a.program, &a.name) == (b.program, &b.name));
        survey
    }

    /// Where the model of this name lies; none if the name is not one of another program's, or is a
    /// hub's id.
    pub fn find(&self, name: &str) -> Option<Result<PathBuf, String>> {
        let (program, rest) = Program::ALL.into_iter().find_map(|program| {
            let prefix = program.prefix();
            let begins = name.get(..prefix.len())?.eq_ignore_ascii_case(prefix);
            (begins && !prefix.is_empty()).then(|| (program, &name[prefix.len()..]))
        })?;
        Some(self.find_of(program, rest))
    }

    fn find_of(&self, program: Program, name: &str) -> Result<PathBuf, String> {
        let roots = self.of(program);
        if program == Program::Ollama {
            return ollama::find(roots, name);
        }
        if !safe_path(name) {
            return Err(format!("that is no path in {}’s folder", program.name()));
        }
        let mut paths = roots.iter().map(|root| root.join(name));
        paths
            .find(|path| path.exists())
            .ok_or_else(|| format!("{} has no such model here", program.name()))
    }
}

fn candidates(
    program: Program,
    root: &Path,
    budget: &mut Budget,
    notes: &mut Vec<String>,
) -> Vec<Candidate> {
    match program {
        Program::HuggingFace => hugging_face::candidates(root, budget, notes),
        Program::Ollama => ollama::candidates(root, budget, notes),
        // publisher/repo/file.gguf, or a folder deeper.
        Program::LmStudio => files_and_folders(program, root, 4, budget, notes),
        Program::LlamaCpp => files_and_folders(program, root, 2, budget, notes),
    }
}

/// The `.gguf` files below a folder, and the folders with `config.json` and `.safetensors`, named by
/// their paths from there.
fn files_and_folders(
    program: Program,
    root: &Path,
    depth: usize,
    budget: &mut Budget,
    notes: &mut Vec<String>,
) -> Vec<Candidate> {
    models_among(walk::files(root, depth, budget, notes))
        .into_iter()
        .map(|(name, path)| Candidate {
            name: format!("{}{name}", program.prefix()),
            path,
            fault: None,
        })
        .collect()
}

/// Of the files below a folder, with their paths from there, what is a model: each `.gguf` file that
/// is whole or the first of its parts, and each folder with a config and weights. The folder itself
/// has no name.
fn models_among(files: Vec<(String, PathBuf)>) -> Vec<(String, PathBuf)> {
    let mut models = Vec::new();
    for (name, path) in &files {
        let lower = name.to_ascii_lowercase();
        if lower.ends_with(".gguf") {
            if part_of(name).is_none_or(|(part, _)| part == 1) {
                models.push((name.clone(), path.clone()));
            }
            continue;
        }
        let Some(folder) = name.strip_suffix("config.json") else {
            continue;
        };
        let is_beside = |other: &str| {
            let rest = other.strip_prefix(folder);
            rest.is_some_and(|rest| !rest.contains('/') && rest.ends_with(".safetensors"))
        };
        let named = folder.is_empty() || folder.ends_with('/');
        if named && files.iter().any(|(other, _)| is_beside(other)) {
            let of = path.parent().unwrap_or(path).to_owned();
            models.push((folder.trim_end_matches('/').to_owned(), of));
        }
    }
    models
}

fn found(program: Program, candidate: Candidate, looks: &mut Looks) -> Found {
    let Candidate { name, path, fault } = candidate;
    let look = match fault {
        Some(fault) => Look::failed(fault),
        None => looks.at(&path),
    };
    Found {
        name,
        program,
        path,
        bytes: look.bytes,
        architecture: look.architecture,
        quantisation: look.quantisation,
        config: look.config,
        answers_at_once: look.answers_at_once,
        fault: look.fault,
    }
}

#[cfg(test)]
mod tests;
