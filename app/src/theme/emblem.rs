//! The program's picture in title bars and lists of windows: steps of five heights on a dark
//! ground, as the chunks of a document get them.

use eframe::egui::{Color32, IconData};

use super::palette;

const SIZE: u32 = 64;
/// Samples of each pixel and direction, for smooth edges.
const FINE: u32 = 4;

pub fn window_icon() -> IconData {
    let mut rgba = Vec::with_capacity((SIZE * SIZE * 4) as usize);
    for y in 0..SIZE {
        for x in 0..SIZE {
            rgba.extend(pixel(x, y).to_srgba_unmultiplied());
        }
    }
    IconData {
        rgba,
        width: SIZE,
        height: SIZE,
    }
}

fn pixel(x: u32, y: u32) -> Color32 {
    let mut sum = [0u32; 4];
    for dy in 0..FINE {
        for dx in 0..FINE {
            let at = |whole: u32, part: u32| {
                (whole as f32 + (part as f32 + 0.5) / FINE as f32) / SIZE as f32
            };
            let [r, g, b, a] = colour_at(at(x, dx), at(y, dy)).to_array();
            for (sum, value) in sum.iter_mut().zip([r, g, b, a]) {
                *sum += u32::from(value);
            }
        }
    }
    let [r, g, b, a] = sum.map(|sum| (sum / (FINE * FINE)) as u8);
    Color32::from_rgba_premultiplied(r, g, b, a)
}

/// The colour at a place from 0 to 1 in both directions.
fn colour_at(x: f32, y: f32) -> Color32 {
    const ROUND: f32 = 0.2;
    let beyond = |at: f32| ((at - 0.5).abs() - (0.5 - ROUND)).max(0.0);
    if beyond(x).hypot(beyond(y)) > ROUND {
        return Color32::TRANSPARENT;
    }
    const HEIGHTS: [f32; 5] = [0.22, 0.42, 0.3, 0.6, 0.36];
    const LEFT: f32 = 0.16;
    const STEP: f32 = (1.0 - 2.0 * LEFT) / HEIGHTS.len() as f32;
    let along = (x - LEFT) / STEP;
    let bar = HEIGHTS.get(along.floor() as usize).filter(|_| along >= 0.0);
    let within = along.fract() < 0.72;
    match bar {
        Some(height) if within && (0.8 - height..0.8).contains(&y) => {
            if *height > 0.5 {
                palette::DARK.utility
            } else {
                palette::DARK.coverage
            }
        }
        _ => palette::DARK.surface,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_icon_has_its_colours_and_clear_corners() {
        let icon = window_icon();
        assert_eq!(icon.rgba.len() as u32, icon.width * icon.height * 4);
        let seen = |colour: Color32| {
            let mut pixels = icon.rgba.chunks_exact(4);
            pixels.any(|pixel| pixel == colour.to_array())
        };
        for colour in [palette::DARK.utility, palette::DARK.coverage] {
            assert!(seen(colour), "{colour:?}");
        }
        assert_eq!(icon.rgba[3], 0, "the corner");
    }
}
