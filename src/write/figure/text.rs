//! How wide text is, in the font that figures are drawn with.

use std::collections::HashMap;
use std::sync::OnceLock;

use base64::Engine;
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

/// Inter (SIL Open Font License, assets/fonts/LICENSE-Inter.txt), without its layout tables, so
/// that a line is as wide as its characters: Latin, Greek, Cyrillic.
pub const REGULAR: &[u8] = include_bytes!("../../../assets/fonts/Inter-Regular.ttf");
pub const SEMI_BOLD: &[u8] = include_bytes!("../../../assets/fonts/Inter-SemiBold.ttf");

/// The same, packed for browsers.
const PACKED: [(u16, &[u8]); 2] = [
    (
        400,
        include_bytes!("../../../assets/fonts/Inter-Regular.woff2"),
    ),
    (
        600,
        include_bytes!("../../../assets/fonts/Inter-SemiBold.woff2"),
    ),
];

/// Families tried in turn where a program shows the figure without its font: none is wider than
/// Inter by much.
pub const FAMILIES: &str = "Inter, 'Segoe UI', 'Helvetica Neue', Roboto, Arial, sans-serif";

/// The font as a style sheet, so that a figure needs none where it is shown and its labels have
/// the room they were given.
pub fn style_sheet() -> String {
    let faces = PACKED.iter().map(|(weight, font)| {
        let font = base64::engine::general_purpose::STANDARD.encode(font);
        format!(
            "@font-face {{ font-family: Inter; font-weight: {weight}; \
             src: url(data:font/woff2;base64,{font}) format('woff2'); }}\n"
        )
    });
    faces.collect()
}

/// A character that Inter lacks is counted as this wide: that of the widest scripts.
const UNKNOWN_EM: f64 = 1.05;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weight {
    #[default]
    Regular,
    SemiBold,
}

/// Widths of all characters of a font, in parts of its size.
struct Widths(HashMap<char, f64>);

impl Widths {
    fn of(font: &[u8]) -> Widths {
        let Ok(font) = FontRef::new(font) else {
            return Widths(HashMap::new());
        };
        let metrics = font.glyph_metrics(Size::unscaled(), LocationRef::default());
        let em = f64::from(
            font.metrics(Size::unscaled(), LocationRef::default())
                .units_per_em,
        );
        let widths = font.charmap().mappings().filter_map(|(code, glyph)| {
            let width = metrics.advance_width(glyph)?;
            Some((char::from_u32(code)?, f64::from(width) / em))
        });
        Widths(widths.collect())
    }
}

fn widths(weight: Weight) -> &'static Widths {
    static REGULAR_WIDTHS: OnceLock<Widths> = OnceLock::new();
    static SEMI_BOLD_WIDTHS: OnceLock<Widths> = OnceLock::new();
    match weight {
        Weight::Regular => REGULAR_WIDTHS.get_or_init(|| Widths::of(REGULAR)),
        Weight::SemiBold => SEMI_BOLD_WIDTHS.get_or_init(|| Widths::of(SEMI_BOLD)),
    }
}

/// Whether the font has every character of `text`.
pub fn covers(text: &str) -> bool {
    let known = &widths(Weight::Regular).0;
    text.chars()
        .all(|c| c.is_whitespace() || known.contains_key(&c))
}

/// How wide a line of `text` is at `size`.
pub fn width(text: &str, size: f64, weight: Weight) -> f64 {
    let known = &widths(weight).0;
    let of = |c: char| known.get(&c).copied().unwrap_or(UNKNOWN_EM);
    text.chars().map(of).sum::<f64>() * size
}

/// `text` on one line, cut with an ellipsis where it is wider than `room`; empty where not even
/// three characters have room.
pub fn fit(text: &str, size: f64, weight: Weight, room: f64) -> String {
    let text = one_line(text);
    if width(&text, size, weight) <= room {
        return text;
    }
    let mut used = width("…", size, weight);
    let mut cut = String::new();
    for c in text.chars() {
        used += width(c.encode_utf8(&mut [0; 4]), size, weight);
        if used > room {
            break;
        }
        cut.push(c);
    }
    match cut.chars().count() {
        0..3 => String::new(),
        _ => cut.trim_end().to_owned() + "…",
    }
}

/// `text` in lines no wider than `room`, where its words allow.
pub fn wrap(text: &str, size: f64, weight: Weight, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size, weight) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(fit(word, size, weight, room)),
        }
    }
    lines
}

/// Without control characters and with single spaces.
pub fn one_line(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .filter(|c| !matches!(*c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'))
        .collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_come_from_the_font() {
        let narrow = width("iiii", 10.0, Weight::Regular);
        let wide = width("mmmm", 10.0, Weight::Regular);
        assert!(wide > 2.5 * narrow && narrow > 0.0, "{narrow} {wide}");
        assert!(width("bold", 10.0, Weight::SemiBold) > width("bold", 10.0, Weight::Regular));
        assert!(covers("Größe, Ελλάδα, Отчёт − 1.5 · ↓") && !covers("潮汐"));
    }

    #[test]
    fn long_text_is_cut_to_its_room() {
        let text = "Everything that went wrong\nbetween\tMarch and September";
        for room in [20.0, 60.0, 200.0, 900.0] {
            let cut = fit(text, 14.0, Weight::Regular, room);
            assert!(width(&cut, 14.0, Weight::Regular) <= room, "{cut}");
            assert!(!cut.contains(char::is_control));
        }
        assert!(fit(text, 14.0, Weight::Regular, 60.0).ends_with('…'));
        assert_eq!(fit(text, 14.0, Weight::Regular, 5.0), "");
    }

    #[test]
    fn wrapping_keeps_every_word() {
        let text = "one two three four five six seven eight";
        let lines = wrap(text, 12.0, Weight::Regular, 70.0);
        assert!(lines.len() > 2);
        assert_eq!(lines.join(" "), text);
    }
}
