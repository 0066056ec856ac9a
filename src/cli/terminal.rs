//! What a terminal can show, and painting within that.

use std::borrow::Cow;
use std::env;
use std::io::IsTerminal;

use console::Term;
use inscribe::write::figure::colour::Rgb;

/// Number of columns that are assumed where nothing says how many there are.
const COLUMNS: usize = 80;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    None,
    /// The 6 x 6 x 6 cube and the 24 greys of xterm.
    Ansi256,
    True,
}

/// How to draw for one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub colours: Colours,
    /// Whether block characters and the like can be shown; else ASCII only.
    pub unicode: bool,
    pub columns: usize,
}

/// Colours of text, for themes of terminals light and dark alike.
pub const COVERAGE: Rgb = Rgb(86, 160, 220);
pub const UTILITY: Rgb = Rgb(230, 118, 30);
pub const NEGATIVE: Rgb = Rgb(66, 133, 200);
pub const MUTED: Rgb = Rgb(128, 134, 145);

impl Look {
    /// What standard output can show.
    pub fn of_stdout() -> Look {
        Look::of(std::io::stdout().is_terminal(), &Term::stdout())
    }

    /// What standard error can show.
    pub fn of_stderr() -> Look {
        Look::of(std::io::stderr().is_terminal(), &Term::stderr())
    }

    fn of(terminal: bool, term: &Term) -> Look {
        let variable = |name: &str| env::var(name).unwrap_or_default();
        let columns = match term.size_checked() {
            Some((_, columns)) if terminal => usize::from(columns),
            _ => COLUMNS,
        };
        Look {
            colours: if terminal {
                colours(&variable)
            } else {
                Colours::None
            },
            unicode: unicode(&variable),
            columns: columns.max(1),
        }
    }

    /// `text` in a colour, where there are any.
    pub fn paint<'t>(&self, text: &'t str, colour: Rgb) -> Cow<'t, str> {
        match self.code(colour, 38) {
            Some(code) if !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m").into(),
            _ => text.into(),
        }
    }

    /// `text` in one colour on another.
    pub fn paint_on<'t>(&self, text: &'t str, colour: Rgb, on: Rgb) -> Cow<'t, str> {
        match (self.code(colour, 38), self.code(on, 48)) {
            (Some(fore), Some(back)) => format!("\x1b[{fore};{back}m{text}\x1b[0m").into(),
            _ => text.into(),
        }
    }

    pub fn bold<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.colours {
            Colours::None => text.into(),
            _ => format!("\x1b[1m{text}\x1b[0m").into(),
        }
    }

    fn code(&self, colour: Rgb, plane: u8) -> Option<String> {
        let Rgb(r, g, b) = colour;
        match self.colours {
            Colours::None => None,
            Colours::Ansi256 => Some(format!("{plane};5;{}", nearest(colour))),
            Colours::True => Some(format!("{plane};2;{r};{g};{b}")),
        }
    }

    /// `text` in at most `columns`, cut with an ellipsis.
    pub fn fit<'t>(&self, text: &'t str, columns: usize) -> Cow<'t, str> {
        let tail = match (columns, self.unicode) {
            (0, _) => "",
            (_, true) => "…",
            (1..=3, false) => ".",
            (_, false) => "...",
        };
        console::truncate_str(text, columns, tail)
    }

    /// A part of `columns` filled from the left, in eighths of a column.
    pub fn bar(&self, part: f64, columns: usize, colour: Rgb) -> String {
        let filled = self.blocks(part, columns);
        let rest = columns - console::measure_text_width(&filled);
        format!("{}{}", self.paint(&filled, colour), " ".repeat(rest))
    }

    fn blocks(&self, part: f64, columns: usize) -> String {
        let part = if part.is_finite() {
            part.clamp(0.0, 1.0)
        } else {
            0.0
        };
        let eighths = (part * columns as f64 * 8.0).round() as usize;
        if !self.unicode {
            return "#".repeat((eighths + 4) / 8);
        }
        let ends = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        "█".repeat(eighths / 8) + ends[eighths % 8]
    }

    /// A value from -1 to 1 as a bar from the middle to the left or the right.
    pub fn signed_bar(&self, part: f64, columns: usize, negative: Rgb, positive: Rgb) -> String {
        let half = columns.saturating_sub(1) / 2;
        let axis = self
            .paint(if self.unicode { "│" } else { "|" }, MUTED)
            .into_owned();
        let spaces = |columns: usize| " ".repeat(columns);
        let (left, right) = if part < 0.0 {
            (self.blocks_from_right(-part, half), String::new())
        } else {
            (String::new(), self.blocks(part, half))
        };
        let (l, r) = (left.chars().count(), right.chars().count());
        let rest = columns - half - 1 - r;
        format!(
            "{}{}{axis}{}{}",
            spaces(half - l),
            self.paint(&left, negative),
            self.paint(&right, positive),
            spaces(rest)
        )
    }

    fn blocks_from_right(&self, part: f64, columns: usize) -> String {
        let part = if part.is_finite() {
            part.clamp(0.0, 1.0)
        } else {
            0.0
        };
        // Only a half block has its ink on the right.
        let halves = (part * columns as f64 * 2.0).round() as usize;
        if self.unicode {
            "▐".repeat(halves % 2) + &"█".repeat(halves / 2)
        } else {
            "#".repeat(halves.div_ceil(2))
        }
    }

    /// A level from 0 to 1 in one character.
    pub fn level(&self, part: f64) -> char {
        let levels: [char; 8] = if self.unicode {
            ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
        } else {
            ['.', ':', '-', '=', '+', '*', '#', '@']
        };
        let part = if part.is_finite() {
            part.clamp(0.0, 1.0)
        } else {
            0.0
        };
        levels[((part * 8.0) as usize).min(7)]
    }

    pub fn arrow(&self) -> &'static str {
        if self.unicode { "→" } else { "->" }
    }

    pub fn dot(&self) -> &'static str {
        if self.unicode { "·" } else { "|" }
    }

    /// `text` in the characters there are.
    pub fn plain<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.unicode {
            text.into()
        } else {
            text.chars()
                .map(|c| match c {
                    '−' | '–' | '—' => '-',
                    '·' => '|',
                    '…' => '.',
                    c if c.is_ascii() => c,
                    _ => '?',
                })
                .collect::<String>()
                .into()
        }
    }
}

fn colours(variable: &dyn Fn(&str) -> String) -> Colours {
    let term = variable("TERM");
    if !variable("NO_COLOR").is_empty() || term == "dumb" {
        return Colours::None;
    }
    let true_colours = ["truecolor", "24bit"].contains(&variable("COLORTERM").as_str());
    if true_colours || (cfg!(windows) && term.is_empty()) || term.ends_with("-direct") {
        Colours::True
    } else {
        Colours::Ansi256
    }
}

/// Whether the locale speaks UTF-8; Windows and macOS terminals do.
fn unicode(variable: &dyn Fn(&str) -> String) -> bool {
    if cfg!(any(windows, target_os = "macos")) {
        return true;
    }
    let names = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().map(variable);
    let locale = names.into_iter().find(|value| !value.is_empty());
    // Without a locale, as in containers, terminals speak UTF-8 all the same.
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// The nearest of xterm's 256 colours.
fn nearest(Rgb(r, g, b): Rgb) -> u8 {
    const CUBE: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let step = |v: u8| (0..6).min_by_key(|&i| CUBE[i].abs_diff(v)).unwrap_or(0);
    let far = |x: u8, y: u8| i32::from(x.abs_diff(y)).pow(2);
    let [i, j, k] = [r, g, b].map(step);
    let cube = far(CUBE[i], r) + far(CUBE[j], g) + far(CUBE[k], b);
    let mean = (u32::from(r) + u32::from(g) + u32::from(b)) / 3;
    let grey = mean.saturating_sub(3) / 10;
    let grey = grey.min(23) as u8;
    let shade = 8 + 10 * grey;
    if far(shade, r) + far(shade, g) + far(shade, b) < cube {
        232 + grey
    } else {
        (16 + 36 * i + 6 * j + k) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn look(colours: Colours, unicode: bool, columns: usize) -> Look {
        Look {
            colours,
            unicode,
            columns,
        }
    }

    #[test]
    fn bars_are_as_wide_as_asked_for() {
        for unicode in [true, false] {
            let look = look(Colours::True, unicode, 80);
            for columns in [1, 2, 7, 30] {
                for part in [0.0, 0.03, 0.5, 0.99, 1.0, 7.0, f64::NAN] {
                    let bar = look.bar(part, columns, UTILITY);
                    assert_eq!(console::measure_text_width(&bar), columns, "{bar}");
                    for part in [part, -part] {
                        let bar = look.signed_bar(part, columns, NEGATIVE, UTILITY);
                        assert_eq!(console::measure_text_width(&bar), columns, "{bar}");
                    }
                }
            }
        }
        let look = look(Colours::None, true, 80);
        assert_eq!(look.bar(0.5, 4, UTILITY), "██  ");
        assert_eq!(look.signed_bar(-0.5, 9, NEGATIVE, UTILITY), "  ██│    ");
        assert_eq!(look.signed_bar(0.25, 9, NEGATIVE, UTILITY), "    │█   ");
    }

    #[test]
    fn the_environment_says_which_colours() {
        let with = |pairs: &'static [(&'static str, &'static str)]| {
            move |name: &str| {
                let value = pairs.iter().find(|p| p.0 == name).map(|p| p.1);
                value.unwrap_or_default().to_owned()
            }
        };
        let truecolor = with(&[("COLORTERM", "truecolor"), ("TERM", "xterm-256color")]);
        assert_eq!(colours(&truecolor), Colours::True);
        assert_eq!(colours(&with(&[("TERM", "xterm")])), Colours::Ansi256);
        assert_eq!(colours(&with(&[("TERM", "dumb")])), Colours::None);
        let no_color = with(&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]);
        assert_eq!(colours(&no_color), Colours::None);
        if cfg!(target_os = "linux") {
            assert!(unicode(&with(&[("LANG", "de_DE.UTF-8")])) && unicode(&with(&[])));
            assert!(!unicode(&with(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")])));
        }
    }

    #[test]
    fn colours_find_their_neighbours() {
        assert_eq!(nearest(Rgb(255, 0, 0)), 196);
        assert_eq!(nearest(Rgb(128, 128, 128)), 244);
        assert_eq!(nearest(Rgb(0, 0, 0)), 16);
    }

    #[test]
    fn nothing_is_painted_without_colours() {
        let look = look(Colours::None, false, 80);
        assert_eq!(look.paint("a", UTILITY), "a");
        assert_eq!(look.paint_on("a", UTILITY, MUTED), "a");
        assert_eq!(look.plain("−1 · é"), "-1 | ?");
    }
}
