//! The colours of both themes.

use eframe::egui::Color32;
use inscribe::write::event::Phase;

/// The colours of the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Palette {
    /// The ground behind everything.
    pub background: Color32,
    /// The ground of cards and panels.
    pub surface: Color32,
    /// The ground of what is on a card: buttons, menus, hovered rows.
    pub raised: Color32,
    /// The ground of bars that fill up, of strips and of text fields.
    pub trough: Color32,
    /// Edges of cards and fields.
    pub border: Color32,
    pub grid: Color32,
    pub ink: Color32,
    /// Text of less weight.
    pub muted: Color32,
    /// Ticks and other marks that are no text.
    pub faint: Color32,
    pub accent: Color32,
    /// Text on the accent.
    pub on_accent: Color32,
    /// The ground of what is selected.
    pub selected: Color32,
    pub coverage: Color32,
    pub utility: Color32,
    pub better: Color32,
    pub worse: Color32,
    /// The phases of a run, in the order of [`Phase::ALL`].
    phases: [Color32; 5],
    pub good: Color32,
    pub warning: Color32,
    pub danger: Color32,
    /// The ground of a message of trouble.
    pub danger_soft: Color32,
    /// The middle of the diverging map.
    pub neutral: Color32,
    pub shadow: Color32,
}

impl Palette {
    /// The colour of a phase of a run.
    pub fn phase(&self, phase: Phase) -> Color32 {
        let colours = Phase::ALL.iter().zip(self.phases);
        let found = colours.into_iter().find(|(of, _)| **of == phase);
        found.map_or(self.faint, |(_, colour)| colour)
    }
}

const fn hex(rgb: u32) -> Color32 {
    Color32::from_rgb((rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8)
}

/// Steps and losses wear colours of Okabe and Ito's set, which keeps its hues apart for every
/// colour vision. Marks of two kinds also differ in shape.
pub const LIGHT: Palette = Palette {
    background: hex(0xf4f6f9),
    surface: hex(0xffffff),
    raised: hex(0xf4f6f9),
    trough: hex(0xeef1f5),
    border: hex(0xdde2e9),
    grid: hex(0xe7ebf0),
    ink: hex(0x161a22),
    muted: hex(0x566070),
    faint: hex(0xa3adba),
    accent: hex(0x0b66ae),
    on_accent: hex(0xffffff),
    selected: hex(0xdcebf8),
    coverage: hex(0x3f93cf),
    utility: hex(0xd55e00),
    better: hex(0x0072b2),
    worse: hex(0xc2410c),
    phases: [
        hex(0x0072b2),
        hex(0x56a9dd),
        hex(0xd55e00),
        hex(0x009e73),
        hex(0xaa6f95),
    ],
    good: hex(0x0f7a52),
    warning: hex(0x96590a),
    danger: hex(0xb3261e),
    danger_soft: hex(0xfdeceb),
    neutral: hex(0xeceef1),
    shadow: Color32::from_black_alpha(28),
};

pub const DARK: Palette = Palette {
    background: hex(0x0e1117),
    surface: hex(0x161a22),
    raised: hex(0x202632),
    trough: hex(0x202632),
    border: hex(0x2b3240),
    grid: hex(0x262d39),
    ink: hex(0xe9ecf2),
    muted: hex(0xa0a9b8),
    faint: hex(0x5c6675),
    accent: hex(0x7cc4f2),
    on_accent: hex(0x0b1a26),
    selected: hex(0x1d3a52),
    coverage: hex(0x56b4e9),
    utility: hex(0xf28a2e),
    better: hex(0x56b4e9),
    worse: hex(0xf28a2e),
    phases: [
        hex(0x4a9ede),
        hex(0x8fd0f5),
        hex(0xf28a2e),
        hex(0x2fbf8f),
        hex(0xd59ac0),
    ],
    good: hex(0x4fc294),
    warning: hex(0xe6b04c),
    danger: hex(0xff8a80),
    danger_soft: hex(0x3a1f1f),
    neutral: hex(0x3a404c),
    shadow: Color32::from_black_alpha(120),
};
