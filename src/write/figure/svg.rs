//! A small builder of SVG text.

use std::fmt::{Display, Write};

use super::colour::Rgb;
use super::text::{self, Weight};

/// A part of a figure: x and y to its upper left corner, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    pub x: f64,
    pub y: f64,
    pub w: f64,
    pub h: f64,
}

impl Area {
    pub fn new(x: f64, y: f64, w: f64, h: f64) -> Area {
        Area { x, y, w, h }
    }

    pub fn right(&self) -> f64 {
        self.x + self.w
    }

    pub fn bottom(&self) -> f64 {
        self.y + self.h
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchor {
    #[default]
    Start,
    Middle,
    End,
}

/// How text looks.
#[derive(Clone, Copy, Debug)]
pub struct Type {
    pub size: f64,
    pub weight: Weight,
    pub fill: &'static str,
    pub anchor: Anchor,
}

impl Type {
    pub fn new(size: f64, fill: &'static str) -> Type {
        Type {
            size,
            weight: Weight::Regular,
            fill,
            anchor: Anchor::Start,
        }
    }

    pub fn bold(self) -> Type {
        Type {
            weight: Weight::SemiBold,
            ..self
        }
    }

    pub fn anchor(self, anchor: Anchor) -> Type {
        Type { anchor, ..self }
    }

    pub fn width(&self, text: &str) -> f64 {
        text::width(text, self.size, self.weight)
    }
}

/// SVG elements in the order they are painted.
#[derive(Debug, Default)]
pub struct Canvas {
    body: String,
    style: String,
}

/// A number with two decimals at most.
struct Short(f64);

impl Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = if self.0.is_finite() { self.0 } else { 0.0 };
        let text = format!("{value:.2}");
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Writing to a `String` cannot fail.
macro_rules! put {
    ($canvas:expr, $($arg:tt)*) => {{ let _ = writeln!($canvas.body, $($arg)*); }};
}

impl Canvas {
    /// Puts a style sheet into the figure.
    pub fn style(&mut self, sheet: String) {
        self.style = sheet;
    }

    pub fn rect(&mut self, area: Area, fill: &str) {
        self.round_rect(area, fill, 0.0);
    }

    pub fn round_rect(&mut self, area: Area, fill: &str, radius: f64) {
        let rounding = if radius > 0.0 {
            format!(" rx=\"{}\"", Short(radius))
        } else {
            String::new()
        };
        put!(self, "<rect {}{rounding} fill=\"{fill}\"/>", place(area));
    }

    /// A rectangle that is empty but for its border, which lies inside it.
    pub fn frame(&mut self, area: Area, stroke: &str, thickness: f64) {
        let inner = Area::new(
            area.x + thickness / 2.0,
            area.y + thickness / 2.0,
            (area.w - thickness).max(0.1),
            (area.h - thickness).max(0.1),
        );
        put!(
            self,
            "<rect {} fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{}\"/>",
            place(inner),
            Short(thickness)
        );
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str, thickness: f64) {
        put!(
            self,
            "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"{stroke}\" \
             stroke-width=\"{}\"/>",
            Short(from.0),
            Short(from.1),
            Short(to.0),
            Short(to.1),
            Short(thickness)
        );
    }

    pub fn polyline(&mut self, points: &[(f64, f64)], stroke: &str, thickness: f64) {
        let points: Vec<String> = points
            .iter()
            .map(|&(x, y)| format!("{},{}", Short(x), Short(y)))
            .collect();
        put!(
            self,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{}\" \
             stroke-linejoin=\"round\" stroke-linecap=\"round\"/>",
            points.join(" "),
            Short(thickness)
        );
    }

    pub fn polygon(&mut self, points: &[(f64, f64)], fill: &str) {
        let points: Vec<String> = points
            .iter()
            .map(|&(x, y)| format!("{},{}", Short(x), Short(y)))
            .collect();
        put!(
            self,
            "<polygon points=\"{}\" fill=\"{fill}\"/>",
            points.join(" ")
        );
    }

    pub fn circle(
        &mut self,
        centre: (f64, f64),
        radius: f64,
        fill: &str,
        stroke: &str,
        thickness: f64,
    ) {
        put!(
            self,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{fill}\" stroke=\"{stroke}\" \
             stroke-width=\"{}\"/>",
            Short(centre.0),
            Short(centre.1),
            Short(radius),
            Short(thickness)
        );
    }

    /// A bar whose colours run from left to right.
    pub fn gradient(&mut self, area: Area, id: &str, colour: impl Fn(f64) -> Rgb) {
        put!(self, "<defs><linearGradient id=\"{id}\">");
        for stop in 0..=16 {
            let at = f64::from(stop) / 16.0;
            put!(
                self,
                "<stop offset=\"{}\" stop-color=\"{}\"/>",
                at,
                colour(at).hex()
            );
        }
        put!(self, "</linearGradient></defs>");
        self.round_rect(area, &format!("url(#{id})"), 2.0);
    }

    /// One line of text, `at` the left, middle or right end of its baseline.
    pub fn text(&mut self, at: (f64, f64), text: &str, kind: Type) {
        if text.is_empty() {
            return;
        }
        let weight = match kind.weight {
            Weight::Regular => "",
            Weight::SemiBold => " font-weight=\"600\"",
        };
        let anchor = match kind.anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        put!(
            self,
            "<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{}\"{weight}{anchor}>{}</text>",
            Short(at.0),
            Short(at.1),
            Short(kind.size),
            kind.fill,
            escape(text)
        );
    }

    /// What follows until [`Canvas::close`] shows `tooltip` under the pointer.
    pub fn open(&mut self, tooltip: &str) {
        put!(self, "<g><title>{}</title>", escape(tooltip));
    }

    /// What follows until [`Canvas::close`] has edges on whole pixels, so that no seams show
    /// between neighbours.
    pub fn open_crisp(&mut self) {
        put!(self, "<g shape-rendering=\"crispEdges\">");
    }

    /// What follows until [`Canvas::close`] is one part of the figure, named for scripts and tests.
    pub fn open_part(&mut self, class: &str) {
        put!(self, "<g class=\"{class}\">");
    }

    pub fn close(&mut self) {
        put!(self, "</g>");
    }

    /// The figure: `size` in its own units, `shown` in pixels.
    pub fn finish(
        self,
        size: (f64, f64),
        shown_width: f64,
        label: &str,
        background: &str,
    ) -> String {
        let (w, h) = (size.0.ceil(), size.1.ceil());
        let shown_height = (h * shown_width / w).round();
        let style = if self.style.is_empty() {
            String::new()
        } else {
            format!("<style>\n{}</style>\n", self.style)
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" \
             viewBox=\"0 0 {w} {h}\" role=\"img\" aria-label=\"{}\" font-family=\"{}\">\n\
             {style}<rect width=\"{w}\" height=\"{h}\" fill=\"{background}\"/>\n{}</svg>\n",
            Short(shown_width),
            Short(shown_height),
            escape(label),
            text::FAMILIES,
            self.body
        )
    }
}

fn place(area: Area) -> String {
    format!(
        "x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
        Short(area.x),
        Short(area.y),
        Short(area.w.max(0.0)),
        Short(area.h.max(0.0))
    )
}

/// `text` as XML holds it; characters that XML has no place for are left out.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text::one_line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}
