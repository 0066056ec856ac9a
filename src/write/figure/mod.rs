//! Figures of a run: where the document needs distant context, where the gradient steps went, and
//! what they did. One composed figure as SVG or PNG, or a page of its own.

use serde::{Deserialize, Serialize};

use super::record::RunRecord;

mod chunk_rows;
pub mod colour;
mod compose;
mod legend;
mod page;
mod panels;
mod png;
mod svg;
#[cfg(test)]
mod tests;
mod text;
mod view;

pub use colour::Theme;
use compose::Font;
pub use panels::{facts, phase_rows, utility_colour};

/// How a figure is drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct FigureOptions {
    /// Light or dark.
    pub theme: Theme,
    /// Width in pixels; without one, what suits the kind of file.
    pub width: Option<u32>,
}

/// The kinds of file a figure comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FigureKind {
    /// A page with the figure and its numbers in tables, in one file.
    Html,
    /// A vector drawing.
    Svg,
    /// A picture of pixels.
    Png,
}

/// What keeps a figure from being drawn.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// The run has nothing that can be shown yet.
    #[error("nothing to show yet: the run has measured no chunk and taken no step")]
    NothingYet,
    /// The width asked for is out of range.
    #[error("figures are {least} to {most} pixels wide, not {width}")]
    Width {
        /// Pixels asked for.
        width: u32,
        /// The fewest pixels that are drawn.
        least: u32,
        /// The most pixels that are drawn.
        most: u32,
    },
    /// The drawing failed; how, in words.
    #[error("the figure could not be drawn: {0}")]
    Draw(String),
}

/// Widths that figures are drawn in, in pixels.
pub const WIDTHS: std::ops::RangeInclusive<u32> = 320..=8192;

impl FigureKind {
    /// The kind that a file's ending names.
    pub fn of_ending(ending: &str) -> Option<FigureKind> {
        match ending.to_ascii_lowercase().as_str() {
            "html" | "htm" => Some(FigureKind::Html),
            "svg" => Some(FigureKind::Svg),
            "png" => Some(FigureKind::Png),
            _ => None,
        }
    }

    /// The bytes of a file of this kind.
    pub fn draw(self, run: &RunRecord, options: FigureOptions) -> Result<Vec<u8>, FigureError> {
        match self {
            FigureKind::Html => html(run, options).map(String::into_bytes),
            FigureKind::Svg => svg(run, options).map(String::into_bytes),
            FigureKind::Png => png(run, options),
        }
    }
}

/// The composed figure.
pub fn svg(run: &RunRecord, options: FigureOptions) -> Result<String, FigureError> {
    check(run, options)?;
    Ok(compose::figure(
        run,
        options.theme,
        options.width.unwrap_or(1280),
        Font::Inside,
    ))
}

/// The composed figure as a picture, which needs no fonts where it is drawn or shown.
pub fn png(run: &RunRecord, options: FigureOptions) -> Result<Vec<u8>, FigureError> {
    check(run, options)?;
    let figure = compose::figure(
        run,
        options.theme,
        options.width.unwrap_or(1920),
        Font::Outside,
    );
    png::rasterise(&figure)
}

/// A page with all figures and tables, which needs nothing beside it.
pub fn html(run: &RunRecord, options: FigureOptions) -> Result<String, FigureError> {
    check(run, options)?;
    Ok(page::page(
        run,
        options.theme,
        options.width.unwrap_or(1080),
    ))
}

fn check(run: &RunRecord, options: FigureOptions) -> Result<(), FigureError> {
    if let Some(width) = options.width.filter(|w| !WIDTHS.contains(w)) {
        return Err(FigureError::Width {
            width,
            least: *WIDTHS.start(),
            most: *WIDTHS.end(),
        });
    }
    if run.is_empty() {
        Err(FigureError::NothingYet)
    } else {
        Ok(())
    }
}
