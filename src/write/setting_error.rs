//! Which setting makes no sense, and why.

use std::ops::RangeInclusive;

use thiserror::Error;

use super::setting::Setting;

/// A setting and what is wrong with it. `Display` says both in words; [`SettingError::named`] says
/// them with other names.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{}", self.named(Setting::name))]
pub struct SettingError {
    /// The setting that is wrong.
    pub setting: Setting,
    /// What is wrong with it.
    pub problem: SettingProblem,
}

/// What is wrong with a setting.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingProblem {
    /// Below the least whole number that is allowed.
    TooSmall {
        /// The least that is allowed.
        least: usize,
    },
    /// Above the largest whole number that is allowed.
    TooLarge {
        /// The value as it was given.
        given: usize,
        /// The most that is allowed.
        most: usize,
    },
    /// Smaller than the least, or not a number.
    NotAtLeast {
        /// The value as it was given.
        given: f64,
        /// The least that is allowed.
        least: f64,
    },
    /// 0 or less, or not a number.
    NotAboveZero {
        /// The value as it was given.
        given: f32,
    },
    /// Outside of a range, or not a number.
    Outside {
        /// The value as it was given.
        given: f64,
        /// The least that is allowed.
        least: f64,
        /// The most that is allowed.
        most: f64,
    },
    /// An empty list of projections.
    NoProjection,
    /// This value goes with one value of another setting only.
    Needs {
        /// The value that was given, by its name.
        value: &'static str,
        /// The other setting.
        other: Setting,
        /// The value that the other setting has to have, by its name.
        wanted: &'static str,
    },
}

impl Setting {
    /// An error that concerns this setting.
    pub fn wrong(self, problem: SettingProblem) -> SettingError {
        SettingError {
            setting: self,
            problem,
        }
    }

    /// Refuses a value outside of the range.
    pub fn between(self, given: usize, range: RangeInclusive<usize>) -> Result<(), SettingError> {
        let (least, most) = (*range.start(), *range.end());
        if given < least {
            Err(self.wrong(SettingProblem::TooSmall { least }))
        } else if given > most {
            Err(self.wrong(SettingProblem::TooLarge { given, most }))
        } else {
            Ok(())
        }
    }

    /// Refuses a value that is smaller, or no number.
    pub fn at_least(self, given: f64, least: f64) -> Result<(), SettingError> {
        if given.is_finite() && given >= least {
            Ok(())
        } else {
            Err(self.wrong(SettingProblem::NotAtLeast { given, least }))
        }
    }
}

impl SettingError {
    /// The error in one sentence that gives settings these names.
    pub fn named(&self, name: impl Fn(Setting) -> &'static str) -> String {
        let setting = name(self.setting);
        match &self.problem {
            SettingProblem::TooSmall { least } => format!("{setting} must be at least {least}"),
            SettingProblem::TooLarge { given, most } => {
                format!("{setting} is {given}; {most} is the most")
            }
            SettingProblem::NotAtLeast { given, least } => {
                format!("{setting} must be a number of at least {least}, not {given}")
            }
            SettingProblem::NotAboveZero { given } => format!(
                "{setting} must be a number above 0, not {given}: it scales what steps learn"
            ),
            SettingProblem::Outside { given, least, most } => {
                format!("{setting} must lie between {least} and {most}, not {given}")
            }
            SettingProblem::NoProjection => format!("{setting} names no projection"),
            SettingProblem::Needs {
                value,
                other,
                wanted,
            } => format!("{setting} {value} needs {} {wanted}", name(*other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_sentence_with_whatever_names() {
        let error = Setting::Rank.between(9, 1..=8).unwrap_err();
        assert_eq!(error.to_string(), "the LoRA rank is 9; 8 is the most");
        assert_eq!(error.named(|_| "r"), "r is 9; 8 is the most");
        assert!(Setting::Rank.between(8, 1..=8).is_ok());
        assert!(Setting::Tau.at_least(f64::NAN, 0.0).is_err());
        let needs = Setting::Allocate.wrong(SettingProblem::Needs {
            value: "whole",
            other: Setting::Method,
            wanted: "gdwm",
        });
        let words = "the allocation whole needs the method gdwm";
        assert_eq!(needs.to_string(), words);
    }
}
