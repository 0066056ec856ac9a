//! A panel's heading: what it shows, and what its marks mean.

use super::colour::Rgb;
use super::svg::{Anchor, Area, Canvas, Type};
use super::view::View;

pub const TITLE_SIZE: f64 = 18.0;
pub const LABEL_SIZE: f64 = 14.0;
const LINE: f64 = 24.0;
const BELOW: f64 = 8.0;
const BETWEEN: f64 = 18.0;
const RAMP: f64 = 110.0;

/// A mark and its meaning.
pub enum Key {
    Swatch(&'static str, String),
    Hollow(&'static str, String),
    Ring(&'static str, String),
    Dots([Rgb; 3], String),
    Down(&'static str, String),
    Up(&'static str, String),
    Line(&'static str, String),
    /// Colours from the lowest to the highest value.
    Ramp {
        id: &'static str,
        low: String,
        high: String,
        colour: Box<dyn Fn(f64) -> Rgb>,
    },
    Note(String),
}

impl Key {
    fn label(&self) -> &str {
        match self {
            Key::Swatch(_, label)
            | Key::Hollow(_, label)
            | Key::Ring(_, label)
            | Key::Dots(_, label)
            | Key::Down(_, label)
            | Key::Up(_, label)
            | Key::Line(_, label)
            | Key::Note(label) => label,
            Key::Ramp { high, .. } => high,
        }
    }

    fn mark_width(&self, kind: Type) -> f64 {
        match self {
            Key::Note(_) => 0.0,
            Key::Dots(..) => 36.0,
            Key::Line(..) => 28.0,
            Key::Ramp { low, .. } => kind.width(low) + 8.0 + RAMP + 8.0,
            _ => 20.0,
        }
    }

    fn width(&self, kind: Type) -> f64 {
        self.mark_width(kind) + kind.width(self.label())
    }

    fn draw(&self, canvas: &mut Canvas, x: f64, baseline: f64, kind: Type) {
        let middle = baseline - kind.size * 0.35;
        let square = Area::new(x, middle - 6.5, 13.0, 13.0);
        match self {
            Key::Swatch(fill, _) => canvas.round_rect(square, fill, 2.0),
            Key::Hollow(stroke, _) => canvas.frame(square, stroke, 1.5),
            Key::Ring(stroke, _) => canvas.circle((x + 7.0, middle), 4.5, "none", stroke, 1.8),
            Key::Dots(colours, _) => {
                for (at, colour) in colours.iter().enumerate() {
                    let x = x + 5.0 + 10.0 * at as f64;
                    canvas.circle((x, middle), 4.0, &colour.hex(), kind.fill, 0.6);
                }
            }
            Key::Down(fill, _) => canvas.polygon(&triangle((x + 7.0, middle), 5.5, true), fill),
            Key::Up(fill, _) => canvas.polygon(&triangle((x + 7.0, middle), 5.5, false), fill),
            Key::Line(stroke, _) => canvas.line((x, middle), (x + 20.0, middle), stroke, 2.5),
            Key::Ramp {
                id, low, colour, ..
            } => {
                canvas.text((x, baseline), low, kind);
                let bar = Area::new(x + kind.width(low) + 8.0, middle - 6.0, RAMP, 12.0);
                canvas.gradient(bar, id, colour);
            }
            Key::Note(_) => {}
        }
        canvas.text((x + self.mark_width(kind), baseline), self.label(), kind);
    }
}

/// A triangle about `centre` that points down or up.
pub fn triangle(centre: (f64, f64), radius: f64, down: bool) -> [(f64, f64); 3] {
    let (x, y) = centre;
    let tip = if down { radius } else { -radius };
    [
        (x - radius, y - tip * 0.75),
        (x + radius, y - tip * 0.75),
        (x, y + tip),
    ]
}

/// A title with its keys on the right where they have room, or else below it.
pub struct Heading {
    pub title: String,
    pub keys: Vec<Key>,
}

impl Heading {
    pub fn new(title: impl Into<String>, keys: Vec<Key>) -> Heading {
        Heading {
            title: title.into(),
            keys,
        }
    }

    pub fn height(&self, width: f64) -> f64 {
        let lines = if self.keys_beside(width) {
            1
        } else {
            1 + self.lines(width).len()
        };
        lines as f64 * LINE + BELOW
    }

    /// Draws it at the top of `area`.
    pub fn draw(&self, canvas: &mut Canvas, view: &View<'_>, area: Area) {
        let title = Type::new(TITLE_SIZE, view.palette.ink).bold();
        let text = super::text::fit(&self.title, title.size, title.weight, area.w);
        canvas.text((area.x, area.y + 17.0), &text, title);
        let kind = Type::new(LABEL_SIZE, view.palette.muted);
        if self.keys_beside(area.w) {
            let x = area.right() - self.keys_width(&self.keys);
            draw_line(canvas, &self.keys, x, area.y + 17.0, kind);
            return;
        }
        for (line, keys) in self.lines(area.w).into_iter().enumerate() {
            let baseline = area.y + 17.0 + LINE * (line + 1) as f64;
            draw_line(canvas, keys, area.x, baseline, kind);
        }
    }

    fn keys_width(&self, keys: &[Key]) -> f64 {
        let kind = Type::new(LABEL_SIZE, "").anchor(Anchor::Start);
        let marks: f64 = keys.iter().map(|k| k.width(kind)).sum();
        marks + BETWEEN * keys.len().saturating_sub(1) as f64
    }

    fn keys_beside(&self, width: f64) -> bool {
        let title = Type::new(TITLE_SIZE, "").bold().width(&self.title);
        title + 2.0 * BETWEEN + self.keys_width(&self.keys) <= width
    }

    /// The keys in lines that have room.
    fn lines(&self, width: f64) -> Vec<&[Key]> {
        let (mut lines, mut rest) = (Vec::new(), self.keys.as_slice());
        while !rest.is_empty() {
            let fits = |n: &usize| self.keys_width(&rest[..*n]) <= width;
            let n = (1..=rest.len()).take_while(fits).last().unwrap_or(1);
            let (line, after) = rest.split_at(n);
            lines.push(line);
            rest = after;
        }
        lines
    }
}

fn draw_line(canvas: &mut Canvas, keys: &[Key], mut x: f64, baseline: f64, kind: Type) {
    for key in keys {
        key.draw(canvas, x, baseline, kind);
        x += key.width(kind) + BETWEEN;
    }
}
