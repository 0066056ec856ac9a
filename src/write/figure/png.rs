//! A figure as a picture.

use std::sync::Arc;

use resvg::{tiny_skia, usvg};

use super::FigureError;
use super::text;

/// Draws `svg`, as large as it says it is. Text is drawn in the font that the program carries;
/// fonts of the machine are looked for only where that one lacks a character.
pub fn rasterise(svg: &str) -> Result<Vec<u8>, FigureError> {
    let draw = |error: &dyn std::fmt::Display| FigureError::Draw(error.to_string());
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(text::REGULAR.to_vec());
    fonts.load_font_data(text::SEMI_BOLD.to_vec());
    if !text::covers(svg) {
        fonts.load_system_fonts();
    }
    fonts.set_sans_serif_family("Inter");
    let options = usvg::Options {
        fontdb: Arc::new(fonts),
        font_family: "Inter".to_owned(),
        ..usvg::Options::default()
    };
    let tree = usvg::Tree::from_str(svg, &options).map_err(|e| draw(&e))?;
    let size = tree.size().to_int_size();
    let mut picture = tiny_skia::Pixmap::new(size.width(), size.height())
        .ok_or_else(|| FigureError::Draw("it has no room in memory".to_owned()))?;
    resvg::render(
        &tree,
        tiny_skia::Transform::identity(),
        &mut picture.as_mut(),
    );
    picture.encode_png().map_err(|e| draw(&e))
}
