//! How the window looks: colours for light and dark, text sizes, spacing, and the small widgets
//! that every screen shares (cards, numbers, keys, colour legends).
//!
//! Nothing else names a colour or a font size.

mod emblem;
mod icons;
mod legend;
mod palette;
mod style;
mod widgets;

use eframe::egui::{self, Color32, RichText, TextStyle};
use inscribe::write::figure::colour;

pub use emblem::window_icon;
pub use icons::{Icon, icon_button};
pub use legend::{ColourScale, Map, Mark, draw_mark, hatch, keys, keys_at, legend, legend_width};
pub use palette::Palette;
pub use style::install;
pub use widgets::{
    card, centred_row, column, empty, number, number_width, primary_button, right_row, section,
    segmented, segmented_explained,
};

/// Distances in points. Everything is placed at multiples of four.
pub mod space {
    pub const XS: f32 = 4.0;
    pub const S: f32 = 8.0;
    pub const M: f32 = 12.0;
    pub const L: f32 = 16.0;
    pub const XL: f32 = 24.0;
    pub const XXL: f32 = 40.0;
    /// Rounding of cards (`RADIUS`), and of what is in them (`RADIUS_S`).
    pub const RADIUS: f32 = 10.0;
    pub const RADIUS_S: f32 = 6.0;
    /// Lines of prose are no longer than this.
    pub const PROSE: f32 = 680.0;
}

/// The colours in use; cheap to copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Theme {
    pub dark: bool,
    pub palette: Palette,
}

impl Theme {
    pub const LIGHT: Theme = Theme {
        dark: false,
        palette: palette::LIGHT,
    };
    pub const DARK: Theme = Theme {
        dark: true,
        palette: palette::DARK,
    };

    /// The theme that this part of the window is drawn in.
    pub fn of(ui: &egui::Ui) -> Theme {
        Theme::from_dark(ui.visuals().dark_mode)
    }

    pub fn from_dark(dark: bool) -> Theme {
        if dark { Theme::DARK } else { Theme::LIGHT }
    }

    /// The colour of a part from 0 to 1: viridis, read alike by every colour vision.
    pub fn sequential(&self, part: f64) -> Color32 {
        rgb(colour::sequential(part))
    }

    /// The colour of a value from -1 (blue) over 0 (neutral) to 1 (orange).
    pub fn diverging(&self, value: f64) -> Color32 {
        let [r, g, b, _] = self.palette.neutral.to_array();
        rgb(colour::diverging(value, colour::Rgb(r, g, b)))
    }

    /// Black or white, whichever reads better on a colour.
    pub fn ink_on(&self, fill: Color32) -> Color32 {
        // Contrast with white is 1.05 / (l + 0.05), with black (l + 0.05) / 0.05.
        let colour = colour::Rgb(fill.r(), fill.g(), fill.b());
        if colour.luminance() > 0.179 {
            Color32::from_rgb(0x10, 0x13, 0x1a)
        } else {
            Color32::WHITE
        }
    }
}

fn rgb(colour: colour::Rgb) -> Color32 {
    Color32::from_rgb(colour.0, colour.1, colour.2)
}

/// Sizes of text beside egui's own styles (body 14, small 12, monospace 13).
pub mod text {
    use super::*;

    const DISPLAY: &str = "display";
    const TITLE: &str = "title";
    const STRONG: &str = "strong";
    const STRONG_SMALL: &str = "strong small";
    const NUMBER: &str = "number";

    /// The one sentence of a screen.
    pub fn display_style() -> TextStyle {
        TextStyle::Name(DISPLAY.into())
    }

    /// The name of a screen.
    pub fn title_style() -> TextStyle {
        TextStyle::Name(TITLE.into())
    }

    /// A word of weight within text.
    pub fn strong_style() -> TextStyle {
        TextStyle::Name(STRONG.into())
    }

    pub fn strong_small_style() -> TextStyle {
        TextStyle::Name(STRONG_SMALL.into())
    }

    /// A figure that is looked at by itself.
    pub fn number_style() -> TextStyle {
        TextStyle::Name(NUMBER.into())
    }

    pub fn display(text: impl Into<String>) -> RichText {
        RichText::new(text).text_style(display_style())
    }

    pub fn title(text: impl Into<String>) -> RichText {
        RichText::new(text).text_style(title_style())
    }

    pub fn heading(text: impl Into<String>) -> RichText {
        RichText::new(text).text_style(TextStyle::Heading)
    }

    pub fn strong(text: impl Into<String>) -> RichText {
        RichText::new(text).text_style(strong_style())
    }

    pub fn strong_small(text: impl Into<String>) -> RichText {
        RichText::new(text).text_style(strong_small_style())
    }

    /// Text that explains and does not ask to be read first.
    pub fn muted(text: impl Into<String>) -> RichText {
        RichText::new(text).weak()
    }

    pub fn caption(text: impl Into<String>) -> RichText {
        RichText::new(text).weak().text_style(TextStyle::Small)
    }

    pub fn number(text: impl Into<String>) -> RichText {
        RichText::new(text).text_style(number_style())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contrast(a: Color32, b: Color32) -> f64 {
        let luminance = |c: Color32| colour::Rgb(c.r(), c.g(), c.b()).luminance();
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_and_marks_stand_out_on_every_ground() {
        for theme in [Theme::LIGHT, Theme::DARK] {
            let p = theme.palette;
            for ground in [p.background, p.surface, p.raised, p.trough] {
                assert!(contrast(p.ink, ground) > 9.0, "ink, dark: {}", theme.dark);
                let muted = contrast(p.muted, ground);
                assert!(muted > 4.5, "muted {muted}, dark: {}", theme.dark);
            }
            for mark in [p.coverage, p.utility, p.better, p.worse, p.accent] {
                let seen = contrast(mark, p.surface);
                assert!(seen > 3.0, "{mark:?}: {seen}, dark: {}", theme.dark);
            }
            for words in [p.danger, p.warning, p.good, p.accent] {
                let seen = contrast(words, p.surface);
                assert!(seen > 4.5, "{words:?}: {seen}, dark: {}", theme.dark);
            }
            assert!(contrast(p.on_accent, p.accent) > 4.5);
        }
    }

    #[test]
    fn ink_reads_on_every_colour_of_the_maps() {
        for theme in [Theme::LIGHT, Theme::DARK] {
            for i in -32..=32 {
                let at = f64::from(i) / 32.0;
                for fill in [theme.sequential(at), theme.diverging(at)] {
                    assert!(contrast(theme.ink_on(fill), fill) > 4.0, "{at} {fill:?}");
                }
            }
            assert_eq!(theme.diverging(0.0), theme.palette.neutral);
        }
    }
}
