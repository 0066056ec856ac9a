//! What stays from one start of the program to the next.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inscribe::engine::select::DeviceChoice;
use inscribe::model::hub;
use inscribe::words;
use inscribe::write::forecast::Speeds;
use inscribe::write::settings::WriteSettings;
use serde::{Deserialize, Serialize};

use super::presets::Preset;

/// The most recent files that are kept.
const RECENT: usize = 12;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThemeChoice {
    /// The theme of the desktop.
    #[default]
    System,
    Light,
    Dark,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prefs {
    pub theme: ThemeChoice,
    /// Scale of the window, as a factor of the desktop's own.
    pub zoom: f32,
    /// The model: a known name, a path or a hub id.
    pub model: String,
    /// The device, as the command line names it.
    pub device: String,
    /// Threads of the processor; one for each core where 0.
    pub threads: usize,
    pub settings: WriteSettings,
    pub preset: Option<Preset>,
    /// Whether to shade by the signed difference instead of its size.
    pub signed: bool,
    pub shading: bool,
    pub controls_open: bool,
    pub recent: Vec<Recent>,
    /// Measured speeds, by model and device.
    pub speeds: BTreeMap<String, Speeds>,
    pub max_tokens: usize,
    /// Folder of memories, if not the program's own.
    pub memories: Option<PathBuf>,
    /// Files that the documents of memories came from, by the memory's folder.
    pub sources: BTreeMap<PathBuf, PathBuf>,
}

impl Default for Prefs {
    fn default() -> Self {
        Prefs {
            theme: ThemeChoice::System,
            zoom: 1.0,
            model: hub::DEFAULT.to_owned(),
            device: "auto".to_owned(),
            threads: 0,
            settings: WriteSettings::default(),
            preset: Some(Preset::Balanced),
            signed: false,
            shading: true,
            controls_open: true,
            recent: Vec::new(),
            speeds: BTreeMap::new(),
            max_tokens: 96,
            memories: None,
            sources: BTreeMap::new(),
        }
    }
}

/// A document or a memory that was open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    pub path: PathBuf,
    pub is_memory: bool,
}

impl Recent {
    pub fn name(&self) -> String {
        let whole = self.path.file_name().unwrap_or(self.path.as_os_str());
        // A memory's ending says no more than the word beside it.
        let is_named = self
            .path
            .extension()
            .is_some_and(|ending| ending == "memory");
        let name = match self.path.file_stem() {
            Some(stem) if self.is_memory && is_named => stem,
            _ => whole,
        };
        words::shown_line(&name.to_string_lossy()).into_owned()
    }
}

impl Prefs {
    /// What was kept; what cannot be understood any more is left out.
    pub fn from_text(text: &str) -> Prefs {
        let mut prefs: Prefs = serde_json::from_str(text).unwrap_or_default();
        if prefs.settings.check().is_err() {
            prefs.settings = WriteSettings::default();
        }
        prefs.zoom = if prefs.zoom.is_finite() {
            prefs.zoom.clamp(0.5, 3.0)
        } else {
            1.0
        };
        prefs
    }

    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub fn device_choice(&self) -> DeviceChoice {
        self.device.parse().unwrap_or_default()
    }

    pub fn remember(&mut self, path: &Path, is_memory: bool) {
        self.recent.retain(|recent| recent.path != path);
        let path = path.to_owned();
        self.recent.insert(0, Recent { path, is_memory });
        self.recent.truncate(RECENT);
    }

    pub fn forget(&mut self, path: &Path) {
        self.recent.retain(|recent| recent.path != path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_nonsense_does_no_harm() {
        let mut prefs = Prefs {
            theme: ThemeChoice::Dark,
            ..Prefs::default()
        };
        for at in 0..20 {
            prefs.remember(Path::new(&format!("notes {at}.md")), false);
        }
        prefs.remember(Path::new("notes 15.md"), false);
        assert_eq!(prefs.recent.len(), RECENT);
        assert_eq!(prefs.recent[0].name(), "notes 15.md");
        assert_eq!(Prefs::from_text(&prefs.to_text()), prefs);
        for broken in ["", "{", "[1]", r#"{"zoom": "wide"}"#] {
            assert_eq!(Prefs::from_text(broken), Prefs::default());
        }
        let wrong = r#"{"settings": {"lr": -3.0}, "theme": "Light"}"#;
        let read = Prefs::from_text(wrong);
        assert_eq!(read.settings, WriteSettings::default());
        assert_eq!(read.theme, ThemeChoice::Light);
    }
}
