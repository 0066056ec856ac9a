//! Where other programs keep their models.

use std::env;
use std::path::{Path, PathBuf};

use super::Program;

/// The folders that other programs keep models in; those that are not there cost nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    pub hugging_face: Vec<PathBuf>,
    pub lm_studio: Vec<PathBuf>,
    pub llama_cpp: Vec<PathBuf>,
    pub ollama: Vec<PathBuf>,
}

impl Places {
    /// Where the programs keep them on this computer, by their own variables where they are set.
    pub fn from_env() -> Places {
        let home = etcetera::home_dir().ok();
        let in_home = |path: &str| home.as_ref().map(|home| home.join(path));
        let ollama = match variable("OLLAMA_MODELS") {
            Some(folder) => vec![folder],
            None => in_home(".ollama/models")
                .into_iter()
                // Where its Linux installer's service, which has a user of its own, keeps them.
                .chain(cfg!(unix).then(|| "/usr/share/ollama/.ollama/models".into()))
                .collect(),
        };
        let lm_studio = [".lmstudio/models", ".cache/lm-studio/models"];
        Places {
            hugging_face: hugging_face_cache().into_iter().collect(),
            lm_studio: lm_studio.into_iter().filter_map(in_home).collect(),
            llama_cpp: llama_cpp_cache(home.as_deref()).into_iter().collect(),
            ollama,
        }
    }

    pub fn of(&self, program: Program) -> &[PathBuf] {
        match program {
            Program::HuggingFace => &self.hugging_face,
            Program::LmStudio => &self.lm_studio,
            Program::LlamaCpp => &self.llama_cpp,
            Program::Ollama => &self.ollama,
        }
    }
}

/// The folder of the Hugging Face tools' repositories.
pub fn hugging_face_cache() -> Option<PathBuf> {
    if let Some(folder) = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE")) {
        return Some(folder);
    }
    if let Some(home) = variable("HF_HOME") {
        return Some(home.join("hub"));
    }
    Some(plain_cache()?.join("huggingface/hub"))
}

/// `XDG_CACHE_HOME` or `~/.cache`, which these programs take on every platform.
fn plain_cache() -> Option<PathBuf> {
    variable("XDG_CACHE_HOME").or_else(|| Some(etcetera::home_dir().ok()?.join(".cache")))
}

fn llama_cpp_cache(home: Option<&Path>) -> Option<PathBuf> {
    if let Some(folder) = variable("LLAMA_CACHE") {
        return Some(folder);
    }
    let caches = if cfg!(target_os = "macos") {
        home?.join("Library/Caches")
    } else if cfg!(windows) {
        variable("LOCALAPPDATA")?
    } else {
        plain_cache()?
    };
    Some(caches.join("llama.cpp"))
}

fn variable(name: &str) -> Option<PathBuf> {
    let value = env::var_os(name).filter(|value| !value.is_empty())?;
    let path = PathBuf::from(value);
    // As these programs read it.
    match path.strip_prefix("~") {
        Ok(rest) => Some(etcetera::home_dir().ok()?.join(rest)),
        Err(_) => Some(path),
    }
}
