//! Settings by one word.

use inscribe::write::method::Method;
use inscribe::write::settings::{Allocate, WriteSettings};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preset {
    Fast,
    Balanced,
    Thorough,
}

impl Preset {
    pub const ALL: [Preset; 3] = [Preset::Fast, Preset::Balanced, Preset::Thorough];

    pub fn name(self) -> &'static str {
        match self {
            Preset::Fast => "Fast",
            Preset::Balanced => "Balanced",
            Preset::Thorough => "Thorough",
        }
    }

    pub fn explanation(self) -> &'static str {
        match self {
            Preset::Fast => "16 steps are taken.",
            Preset::Balanced => "32 steps are taken.",
            Preset::Thorough => "96 steps are taken, two at least for every chunk.",
        }
    }

    /// These settings by this preset: the method and the baseline stay.
    pub fn apply(self, settings: &WriteSettings) -> WriteSettings {
        let base = WriteSettings::for_method(settings.method);
        let base = WriteSettings {
            allocate: settings.allocate,
            ..base
        };
        match self {
            Preset::Fast => WriteSettings { budget: 16, ..base },
            Preset::Balanced => base,
            Preset::Thorough => WriteSettings {
                budget: 96,
                k_min: 2,
                ..base
            },
        }
    }

    /// The preset that these settings are, if they are one.
    pub fn of(settings: &WriteSettings) -> Option<Preset> {
        let same = |preset: &Preset| preset.apply(settings) == *settings;
        Preset::ALL.into_iter().find(same)
    }
}

/// These settings with another method: what suited the old one alone is set again.
pub fn with_method(settings: &WriteSettings, method: Method) -> WriteSettings {
    let (old, new) = (
        WriteSettings::for_method(settings.method),
        WriteSettings::for_method(method),
    );
    let keep = |value: f32, old: f32, new: f32| if value == old { new } else { value };
    let allocate = match settings.allocate {
        Allocate::Whole if !method.reads_document() => Allocate::Utility,
        allocate => allocate,
    };
    WriteSettings {
        method,
        allocate,
        lr: keep(settings.lr, old.lr, new.lr),
        weight_decay: keep(settings.weight_decay, old.weight_decay, new.weight_decay),
        ..settings.clone()
    }
}

#[cfg(test)]
mod tests {
    use inscribe::write::method;

    use super::*;

    #[test]
    fn presets_are_found_again_for_every_method() {
        for method in method::all() {
            for preset in Preset::ALL {
                let settings = preset.apply(&WriteSettings::for_method(method));
                assert!(settings.check().is_ok());
                assert_eq!(Preset::of(&settings), Some(preset));
                let other = WriteSettings {
                    seed: 7,
                    ..settings
                };
                assert_eq!(Preset::of(&other), None);
            }
        }
    }

    #[test]
    fn another_method_takes_its_own_rate_but_keeps_one_that_was_chosen() {
        let settings = WriteSettings::default();
        let gradmem = with_method(&settings, Method::GRADMEM);
        assert_eq!(gradmem.lr, 0.05);
        assert_eq!(with_method(&gradmem, Method::GDWM), settings);
        let chosen = WriteSettings {
            lr: 0.5,
            allocate: Allocate::Whole,
            ..settings
        };
        let lora = with_method(&chosen, Method::LORA);
        assert_eq!(lora.lr, 0.5);
        assert!(lora.check().is_ok());
    }
}
