//! Colours: themes, and maps that people with any colour vision can read.

/// A colour in sRGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rgb(pub u8, pub u8, pub u8);

impl Rgb {
    /// `#` and six hexadecimal digits, as SVG and HTML take it.
    pub fn hex(self) -> String {
        format!("#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }

    /// Relative luminance as WCAG 2 defines it, 0 to 1.
    pub fn luminance(self) -> f64 {
        let linear = |v: u8| {
            let v = f64::from(v) / 255.0;
            if v <= 0.04045 {
                v / 12.92
            } else {
                ((v + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(self.0) + 0.7152 * linear(self.1) + 0.0722 * linear(self.2)
    }

    /// Black or white, whichever reads better on this colour.
    pub fn ink(self) -> &'static str {
        // Contrast with white is 1.05 / (l + 0.05), with black (l + 0.05) / 0.05.
        if self.luminance() > 0.179 {
            "#10131a"
        } else {
            "#ffffff"
        }
    }

    fn mix(self, other: Rgb, at: f64) -> Rgb {
        let channel = |a: u8, b: u8| {
            let (a, b) = (f64::from(a), f64::from(b));
            (a + (b - a) * at).round() as u8
        };
        Rgb(
            channel(self.0, other.0),
            channel(self.1, other.1),
            channel(self.2, other.2),
        )
    }
}

/// Viridis (van der Walt and Smith, 2015), every sixteenth part of it. It is read the same with
/// and without colour vision, and in print without colour.
const VIRIDIS: [Rgb; 17] = [
    Rgb(68, 1, 84),
    Rgb(72, 21, 103),
    Rgb(72, 38, 119),
    Rgb(69, 55, 129),
    Rgb(64, 71, 136),
    Rgb(57, 86, 140),
    Rgb(51, 99, 141),
    Rgb(45, 112, 142),
    Rgb(40, 125, 142),
    Rgb(35, 138, 141),
    Rgb(31, 150, 139),
    Rgb(32, 163, 135),
    Rgb(60, 187, 117),
    Rgb(86, 198, 103),
    Rgb(149, 216, 64),
    Rgb(202, 225, 31),
    Rgb(253, 231, 37),
];

/// From blue over a neutral middle to orange: which every kind of colour vision can distinguish.
const NEGATIVE: Rgb = Rgb(33, 102, 172);
const POSITIVE: Rgb = Rgb(217, 95, 2);

/// The colour of a part from 0 to 1.
pub fn sequential(at: f64) -> Rgb {
    let at = if at.is_finite() {
        at.clamp(0.0, 1.0)
    } else {
        0.5
    };
    let place = at * (VIRIDIS.len() - 1) as f64;
    let low = (place as usize).min(VIRIDIS.len() - 2);
    VIRIDIS[low].mix(VIRIDIS[low + 1], place - low as f64)
}

/// The colour of a value from -1 to 1, zero being `middle`.
pub fn diverging(at: f64, middle: Rgb) -> Rgb {
    let at = if at.is_finite() {
        at.clamp(-1.0, 1.0)
    } else {
        0.0
    };
    let end = if at < 0.0 { NEGATIVE } else { POSITIVE };
    middle.mix(end, at.abs())
}

/// Light for paper and bright rooms, dark for dark ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// Dark ink on a light background.
    #[default]
    Light,
    /// Light ink on a dark background.
    Dark,
}

/// The colours of a figure.
#[derive(Debug)]
pub struct Palette {
    /// Behind everything, as `#rrggbb` like all the others.
    pub background: &'static str,
    /// Text and lines that matter.
    pub ink: &'static str,
    /// Text of less weight.
    pub muted: &'static str,
    /// Grid lines and axes.
    pub grid: &'static str,
    /// Behind bars that fill up, and behind strips.
    pub trough: &'static str,
    /// Steps that every chunk gets.
    pub coverage: &'static str,
    /// Steps that a chunk gets for its utility.
    pub utility: &'static str,
    /// Losses that fell.
    pub better: &'static str,
    /// Losses that rose.
    pub worse: &'static str,
    /// The smoothed loss, and bars of phases.
    pub accent: &'static str,
    /// The middle of the diverging map.
    pub neutral: Rgb,
}

/// Steps and losses wear colours of Okabe and Ito's set, which keeps its hues apart for every
/// colour vision; pale and strong of each pair also differ in lightness, for print.
const LIGHT: Palette = Palette {
    background: "#ffffff",
    ink: "#161a22",
    muted: "#57606f",
    grid: "#e2e6ec",
    trough: "#f0f2f5",
    coverage: "#8fbfe6",
    utility: "#d55e00",
    better: "#0072b2",
    worse: "#c2410c",
    accent: "#0072b2",
    neutral: Rgb(236, 238, 241),
};

const DARK: Palette = Palette {
    background: "#12151c",
    ink: "#e9ecf2",
    muted: "#a0a9b8",
    grid: "#2a303c",
    trough: "#1c212b",
    coverage: "#56b4e9",
    utility: "#f28a2e",
    better: "#56b4e9",
    worse: "#f28a2e",
    accent: "#7cc4f2",
    neutral: Rgb(58, 64, 76),
};

impl Theme {
    /// The colours of the theme.
    pub fn palette(self) -> &'static Palette {
        match self {
            Theme::Light => &LIGHT,
            Theme::Dark => &DARK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(hex: &str) -> Rgb {
        let channel = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        Rgb(channel(1), channel(3), channel(5))
    }

    fn contrast(a: Rgb, b: Rgb) -> f64 {
        let (a, b) = (a.luminance(), b.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn more_is_always_lighter() {
        let steps: Vec<f64> = (0..=64)
            .map(|i| sequential(f64::from(i) / 64.0).luminance())
            .collect();
        assert!(steps.windows(2).all(|w| w[1] > w[0]), "{steps:?}");
        assert_eq!(sequential(f64::NAN), sequential(0.5));
        assert_eq!(sequential(7.0), VIRIDIS[16]);
    }

    #[test]
    fn text_stands_out_in_both_themes() {
        for theme in [Theme::Light, Theme::Dark] {
            let palette = theme.palette();
            let background = parse(palette.background);
            assert!(contrast(parse(palette.ink), background) > 12.0);
            assert!(contrast(parse(palette.muted), background) > 5.0);
            for mark in [palette.utility, palette.better, palette.worse] {
                assert!(contrast(parse(mark), background) > 3.0, "{mark}");
            }
        }
        for i in 0..=32 {
            let colour = sequential(f64::from(i) / 32.0);
            assert!(contrast(parse(colour.ink()), colour) > 4.0);
        }
    }

    #[test]
    fn signs_differ_and_zero_is_neutral() {
        let middle = LIGHT.neutral;
        assert_eq!(diverging(0.0, middle), middle);
        assert_eq!(diverging(-1.0, middle), NEGATIVE);
        assert_eq!(diverging(9.0, middle), POSITIVE);
        assert_eq!(diverging(f64::NAN, middle), middle);
    }
}
