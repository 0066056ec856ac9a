//! Formulas laid out as in print: fractions, indices, sums with their bounds.

use std::sync::Arc;

use eframe::egui::{
    self, Color32, FontFamily, FontId, Galley, Painter, Pos2, Rect, Role, Sense, Shape, Stroke, Ui,
    WidgetInfo, pos2, text::LayoutJob, text::TextFormat, vec2,
};

use crate::theme::Theme;

/// A formula as a tree.
#[derive(Clone, Debug)]
pub enum Formula {
    /// A variable, in italics.
    Var(String),
    /// Digits, operators, names of functions: upright.
    Upright(String),
    Row(Vec<Formula>),
    Fraction(Box<Formula>, Box<Formula>),
    /// Something with an index below and one above at its right.
    Script {
        base: Box<Formula>,
        low: Option<Box<Formula>>,
        high: Option<Box<Formula>>,
    },
    /// A large sign with bounds under and over it.
    Big {
        sign: &'static str,
        under: Box<Formula>,
    },
    /// An absolute value: something between two upright lines.
    Absolute(Box<Formula>),
    /// Something between parentheses as tall as itself.
    Paren(Box<Formula>),
    /// Something in the colour that it has in the figure.
    Coloured(Tint, Box<Formula>),
    /// Empty room, as a part of the text's size.
    Space(f32),
}

/// Colours that mean the same in a formula as in its figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tint {
    Coverage,
    Utility,
    Accent,
}

pub fn var(name: &str) -> Formula {
    Formula::Var(name.to_owned())
}

pub fn up(text: impl Into<String>) -> Formula {
    Formula::Upright(text.into())
}

pub fn row(parts: impl IntoIterator<Item = Formula>) -> Formula {
    Formula::Row(parts.into_iter().collect())
}

pub fn fraction(over: Formula, under: Formula) -> Formula {
    Formula::Fraction(Box::new(over), Box::new(under))
}

pub fn low(base: Formula, low: Formula) -> Formula {
    Formula::Script {
        base: Box::new(base),
        low: Some(Box::new(low)),
        high: None,
    }
}

pub fn high(base: Formula, high: Formula) -> Formula {
    Formula::Script {
        base: Box::new(base),
        low: None,
        high: Some(Box::new(high)),
    }
}

pub fn sum(under: Formula) -> Formula {
    Formula::Big {
        sign: "∑",
        under: Box::new(under),
    }
}

pub fn absolute(inner: Formula) -> Formula {
    Formula::Absolute(Box::new(inner))
}

pub fn paren(inner: Formula) -> Formula {
    Formula::Paren(Box::new(inner))
}

pub fn tinted(tint: Tint, inner: Formula) -> Formula {
    Formula::Coloured(tint, Box::new(inner))
}

/// An operator with room around it.
pub fn op(sign: &str) -> Formula {
    row([Formula::Space(0.22), up(sign), Formula::Space(0.22)])
}

impl Formula {
    /// The formula in one line of text, for screen readers and tests.
    pub fn spoken(&self) -> String {
        match self {
            Formula::Var(text) | Formula::Upright(text) => text.clone(),
            Formula::Row(parts) => parts.iter().map(Formula::spoken).collect(),
            Formula::Fraction(over, under) => format!("({})/({})", over.spoken(), under.spoken()),
            Formula::Script { base, low, high } => {
                let low = low.as_ref().map(|l| format!("_{}", l.spoken()));
                let high = high.as_ref().map(|h| format!("^{}", h.spoken()));
                format!(
                    "{}{}{}",
                    base.spoken(),
                    low.unwrap_or_default(),
                    high.unwrap_or_default()
                )
            }
            Formula::Big { sign, under } => format!("{sign}_{} ", under.spoken()),
            Formula::Absolute(inner) => format!("|{}|", inner.spoken()),
            Formula::Paren(inner) => format!("({})", inner.spoken()),
            Formula::Coloured(_, inner) => inner.spoken(),
            Formula::Space(_) => " ".to_owned(),
        }
    }

    /// Draws it from the left edge; a formula too wide for its place is drawn smaller.
    pub fn show(&self, ui: &mut Ui, size: f32) {
        let theme = Theme::of(ui);
        let room = ui.available_width();
        let mut laid = self.lay(ui.painter(), theme, size, theme.palette.ink);
        if laid.width > room {
            let smaller = (size * room / laid.width).max(10.0);
            laid = self.lay(ui.painter(), theme, smaller, theme.palette.ink);
        }
        let height = laid.ascent + laid.descent;
        let (rect, response) = ui.allocate_exact_size(vec2(laid.width, height), Sense::hover());
        let spoken = self.spoken();
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, spoken.as_str()));
        laid.draw(ui.painter(), pos2(rect.left(), rect.top() + laid.ascent));
    }

    fn lay(&self, painter: &Painter, theme: Theme, size: f32, ink: Color32) -> Laid {
        let again = |part: &Formula, size: f32| part.lay(painter, theme, size, ink);
        match self {
            Formula::Var(text) => Laid::text(painter, text, size, ink, true),
            Formula::Upright(text) => Laid::text(painter, text, size, ink, false),
            Formula::Space(part) => Laid {
                width: part * size,
                ..Laid::default()
            },
            Formula::Row(parts) => {
                let mut whole = Laid::default();
                for part in parts {
                    let x = whole.width;
                    whole.place(again(part, size), x, 0.0);
                }
                whole
            }
            Formula::Fraction(over, under) => {
                let (over, under) = (again(over, size * 0.88), again(under, size * 0.88));
                let pad = size * 0.12;
                let width = over.width.max(under.width) + 2.0 * pad;
                // The line is as high as the middle of a minus sign.
                let line = -0.27 * size;
                let mut whole = Laid {
                    width,
                    ..Laid::default()
                };
                let (x_over, x_under) = ((width - over.width) / 2.0, (width - under.width) / 2.0);
                let y_over = line - pad - over.descent;
                let y_under = line + pad + under.ascent;
                whole.place(over, x_over, y_over);
                whole.place(under, x_under, y_under);
                whole.width = width;
                whole.items.push((
                    vec2(0.0, line),
                    Item::Line(vec2(width, 0.0), ink, size * 0.06),
                ));
                whole
            }
            Formula::Script { base, low, high } => {
                let mut whole = again(base, size);
                let x = whole.width + size * 0.04;
                let (up, down) = (size * 0.42, size * 0.24);
                let mut width = x;
                for (part, y) in [(high, -up), (low, down)] {
                    if let Some(part) = part {
                        let laid = again(part, size * 0.68);
                        width = width.max(x + laid.width);
                        whole.place(laid, x, y);
                    }
                }
                whole.width = width + size * 0.03;
                whole
            }
            Formula::Big { sign, under } => {
                let sign = Laid::text(painter, sign, size * 1.5, ink, false);
                let under = again(under, size * 0.62);
                let width = sign.width.max(under.width) + size * 0.12;
                let mut whole = Laid::default();
                let (x_sign, x_under) = ((width - sign.width) / 2.0, (width - under.width) / 2.0);
                whole.place(sign, x_sign, size * 0.22);
                let below = size * 0.52 + under.ascent;
                whole.place(under, x_under, below);
                whole.width = width;
                whole
            }
            Formula::Absolute(inner) => {
                let inner = again(inner, size);
                let pad = size * 0.16;
                let (top, bottom) = (-inner.ascent, inner.descent);
                let width = inner.width + 2.0 * pad;
                let mut whole = Laid::default();
                whole.place(inner, pad, 0.0);
                for x in [pad * 0.4, width - pad * 0.4] {
                    let line = Item::Line(vec2(0.0, bottom - top), ink, size * 0.07);
                    whole.items.push((vec2(x, top), line));
                }
                whole.width = width;
                whole
            }
            Formula::Paren(inner) => {
                let inner = again(inner, size);
                let pad = size * 0.32;
                let (top, bottom) = (-inner.ascent, inner.descent);
                let width = inner.width + 2.0 * pad;
                let mut whole = Laid::default();
                whole.place(inner, pad, 0.0);
                let bow = Item::Bow {
                    height: bottom - top,
                    depth: pad * 0.55,
                    ink,
                    width: size * 0.07,
                };
                whole.items.push((vec2(pad * 0.75, top), bow));
                let bow = Item::Bow {
                    height: bottom - top,
                    depth: -pad * 0.55,
                    ink,
                    width: size * 0.07,
                };
                whole.items.push((vec2(width - pad * 0.75, top), bow));
                whole.width = width;
                whole
            }
            Formula::Coloured(tint, inner) => {
                let p = theme.palette;
                let ink = match tint {
                    Tint::Coverage => p.accent,
                    Tint::Utility => p.utility,
                    Tint::Accent => p.good,
                };
                inner.lay(painter, theme, size, ink)
            }
        }
    }
}

/// A part laid out, its origin at the left end of its baseline.
#[derive(Default)]
struct Laid {
    width: f32,
    ascent: f32,
    descent: f32,
    items: Vec<(egui::Vec2, Item)>,
}

enum Item {
    Text(Arc<Galley>, Color32),
    /// Moves the part by so much.
    Line(egui::Vec2, Color32, f32),
    Bow {
        height: f32,
        depth: f32,
        ink: Color32,
        width: f32,
    },
}

impl Laid {
    fn text(painter: &Painter, text: &str, size: f32, ink: Color32, italics: bool) -> Laid {
        let format = TextFormat {
            font_id: FontId::new(size, FontFamily::Proportional),
            color: ink,
            italics,
            ..TextFormat::default()
        };
        let galley = painter.layout_job(LayoutJob::single_section(text.to_owned(), format));
        let baseline = match galley
            .rows
            .first()
            .and_then(|row| Some((row, row.glyphs.first()?)))
        {
            Some((row, glyph)) => row.pos.y + glyph.pos.y,
            None => galley.size().y * 0.78,
        };
        // Slanted letters lean over their right edge.
        let lean = if italics { size * 0.06 } else { 0.0 };
        Laid {
            width: galley.size().x + lean,
            ascent: size * 0.78,
            descent: size * 0.24,
            items: vec![(vec2(0.0, -baseline), Item::Text(galley, ink))],
        }
    }

    /// Puts a part with its origin at a place, `y` growing downwards.
    fn place(&mut self, part: Laid, x: f32, y: f32) {
        self.width = self.width.max(x + part.width);
        self.ascent = self.ascent.max(part.ascent - y);
        self.descent = self.descent.max(part.descent + y);
        let moved = part
            .items
            .into_iter()
            .map(|(at, item)| (at + vec2(x, y), item));
        self.items.extend(moved);
    }

    fn draw(&self, painter: &Painter, origin: Pos2) {
        for (at, item) in &self.items {
            let at = origin + *at;
            match item {
                Item::Text(galley, ink) => {
                    painter.galley(at, galley.clone(), *ink);
                }
                Item::Line(by, ink, width) => {
                    painter.line_segment([at, at + *by], Stroke::new(width.max(1.0), *ink));
                }
                Item::Bow {
                    height,
                    depth,
                    ink,
                    width,
                } => {
                    painter.add(bow(at, *height, *depth, Stroke::new(width.max(1.0), *ink)));
                }
            }
        }
    }
}

/// Half of a pair of parentheses, open to the right where `depth` is positive.
fn bow(top: Pos2, height: f32, depth: f32, stroke: Stroke) -> Shape {
    let rect = Rect::from_min_size(top, vec2(0.0, height));
    let points = [
        rect.left_top() + vec2(depth * 0.6, 0.0),
        rect.left_top() + vec2(-depth, height * 0.3),
        rect.left_top() + vec2(-depth, height * 0.7),
        rect.left_top() + vec2(depth * 0.6, height),
    ];
    Shape::CubicBezier(egui::epaint::CubicBezierShape::from_points_stroke(
        points,
        false,
        Color32::TRANSPARENT,
        stroke,
    ))
}
