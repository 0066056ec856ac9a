//! Numbers, times, sizes, and texts of strangers, as people read them.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// `3.14`, `31.4`, `314`: three digits, and a real minus sign.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    let digits = match size {
        _ if size >= 99.95 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.0995 || size == 0.0 => 2,
        _ if size >= 0.00995 => 3,
        _ => 4,
    };
    minus(format!("{value:.digits$}"))
}

/// With its sign: `+0.12`, `−0.30`.
pub fn signed(value: f64) -> String {
    let text = number(value);
    if value > 0.0 {
        format!("+{text}")
    } else {
        text
    }
}

/// A loss or a utility in nats a token: two decimals, so that columns of them line up.
pub fn nats(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    minus(format!("{value:.2}"))
}

/// As [`nats`], with its sign.
pub fn nats_signed(value: f64) -> String {
    with_sign(hundredths(value))
}

/// By how much a value that is shown as [`nats`] changed: the difference of what is shown, so that
/// a reader who checks the sum finds it right.
pub fn nats_change(before: f64, after: f64) -> String {
    with_sign(hundredths(after) - hundredths(before))
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn with_sign(value: f64) -> String {
    let text = nats(value);
    // Half a hundredth is shown as nothing.
    if value >= 0.005 {
        format!("+{text}")
    } else {
        text
    }
}

fn minus(text: String) -> String {
    match text.strip_prefix('-') {
        // Nothing is left of a value that rounds to zero but its sign.
        Some(rest) if rest.chars().all(|c| matches!(c, '0' | '.')) => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// `12,700`.
pub fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 chunk`, `12,700 chunks`.
pub fn counted(value: usize, thing: &str) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", count(value))
}

/// `0.4 s`, `31 s`, `1 min 46 s`, `2 h 05 min`.
pub fn duration(secs: f64) -> String {
    if !secs.is_finite() {
        return "–".to_owned();
    }
    let secs = secs.max(0.0);
    let whole = secs.round() as u64;
    match whole {
        _ if secs < 0.0095 => format!("{:.1} ms", secs * 1e3),
        _ if secs < 0.095 => format!("{:.0} ms", secs * 1e3),
        _ if secs < 9.95 => format!("{secs:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `43 s` as `45 s`, `84 s` as `1 min 20 s`, `900 s` as `15 min`: a time that is only estimated.
pub fn rough_duration(secs: f64) -> String {
    if !secs.is_finite() || secs < 0.0 {
        return "unknown".to_owned();
    }
    match secs {
        s if s < 1.0 => "under a second".to_owned(),
        s if s < 10.0 => format!("{s:.0} s"),
        s if s < 57.5 => format!("{:.0} s", (s / 5.0).round() * 5.0),
        s if s < 595.0 => minutes_and_tens(s),
        s if s < 3600.0 => format!("{:.0} min", (s / 60.0).round()),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// What a fall of a mean loss in nats from `before` to `after` means: `1.04 times as likely as before`.
pub fn likelier(before: f64, after: f64) -> String {
    format!("{:.2} times as likely as before", (before - after).exp())
}

fn minutes_and_tens(secs: f64) -> String {
    let tens = (secs / 10.0).round() as u64;
    match (tens / 6, tens % 6) {
        (minutes, 0) => format!("{minutes} min"),
        (minutes, tens) => format!("{minutes} min {}0 s", tens),
    }
}

/// `412 MB`.
pub fn bytes(value: u64) -> String {
    let value = value as f64;
    match value {
        _ if value < 1e3 => format!("{value:.0} B"),
        _ if value < 1e6 => format!("{:.1} kB", value / 1e3),
        _ if value < 1e9 => format!("{:.0} MB", value / 1e6),
        _ => format!("{:.2} GB", value / 1e9),
    }
}

/// Whether a character is an order to what shows it and no mark of its own: control characters, and
/// those that turn the direction of the text about them (Unicode's UAX #9, explicit formatting).
pub fn is_order(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text that a document or a model wrote, without characters that are orders: only new lines and
/// tabs are left of them. Each character is judged alone, so a text may come in pieces.
pub fn shown_text(text: &str) -> Cow<'_, str> {
    without(text, |c| is_order(c) && !matches!(c, '\n' | '\t'))
}

/// As [`shown_text`], of what stands in one line, such as a name or a heading.
pub fn shown_line(text: &str) -> Cow<'_, str> {
    without(text, is_order)
}

fn without(text: &str, dropped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().any(&dropped) {
        text.chars().filter(|&c| !dropped(c)).collect()
    } else {
        text.into()
    }
}

/// A text in one line in which characters that are orders stand as their codes: `\u{1b}`.
pub fn spelled_out(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_order(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Reads a name of a file that anyone may have written, as [`shown_line`].
pub(crate) fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    Ok(shown_line(&name).into_owned())
}

/// As [`name`], of one that may be missing.
pub(crate) fn some_name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let name = Option::<String>::deserialize(from)?;
    Ok(name.map(|name| shown_line(&name).into_owned()))
}

/// Reads a text of a file that anyone may have written, as [`shown_text`].
pub(crate) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    Ok(shown_text(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_taken_out_or_spelled() {
        let hostile = "a\u{1b}]52;c;x\u{7}\tb\r\n\u{9b}31m\u{202e}gnp.exe\u{2066}\u{2069}\u{7f}é‍";
        assert_eq!(shown_text(hostile), "a]52;c;x\tb\n31mgnp.exeé‍");
        assert_eq!(shown_line(hostile), "a]52;c;xb31mgnp.exeé‍");
        // Piece by piece it comes to the same.
        let pieces = hostile
            .chars()
            .map(|c| shown_text(&c.to_string()).into_owned());
        assert_eq!(pieces.collect::<String>(), shown_text(hostile));
        assert!(matches!(shown_text("plain\n"), Cow::Borrowed(_)));
        assert_eq!(spelled_out("x\u{1b}[m\u{202e}"), "x\\u{1b}[m\\u{202e}");
    }

    #[test]
    fn numbers_have_three_digits() {
        let cases = [
            (0.0, "0.00"),
            (0.5673, "0.57"),
            (12.345, "12.3"),
            (1234.5, "1234"),
            (-0.321, "−0.32"),
            (-0.00001, "0.0000"),
            (0.0123, "0.012"),
            (f64::NAN, "–"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        let chunks = [0, 1, 1200].map(|n| counted(n, "chunk"));
        assert_eq!(chunks, ["0 chunks", "1 chunk", "1,200 chunks"]);
        assert_eq!(
            (signed(0.5), signed(-0.5), signed(0.0)),
            ("+0.50".into(), "−0.50".into(), "0.00".into())
        );
    }

    #[test]
    fn shown_differences_are_those_of_what_is_shown() {
        assert_eq!(
            (nats(2.871), nats(0.0), nats(-0.094)),
            ("2.87".into(), "0.00".into(), "−0.09".into())
        );
        assert_eq!(nats_change(2.871, 2.464), "−0.41");
        assert_eq!(nats_change(2.464, 2.871), "+0.41");
        assert_eq!(nats_change(2.461, 2.4611), "0.00");
        assert_eq!(
            (nats_signed(0.241), nats_signed(-0.001)),
            ("+0.24".into(), "0.00".into())
        );
        assert_eq!(nats(f64::NAN), "–");
    }

    #[test]
    fn counts_times_and_sizes() {
        assert_eq!(
            (count(7), count(1234), count(1_234_567)),
            ("7".into(), "1,234".into(), "1,234,567".into())
        );
        let times = [
            (0.004, "4.0 ms"),
            (0.05, "50 ms"),
            (9.96, "10 s"),
            (59.7, "1 min 00 s"),
            (3725.0, "1 h 02 min"),
        ];
        for (secs, text) in times {
            assert_eq!(duration(secs), text);
        }
        let rough = [
            (0.2, "under a second"),
            (7.4, "7 s"),
            (43.0, "45 s"),
            (59.0, "1 min"),
            (84.0, "1 min 20 s"),
            (130.0, "2 min 10 s"),
            (593.0, "9 min 50 s"),
            (900.0, "15 min"),
            (f64::NAN, "unknown"),
        ];
        for (secs, text) in rough {
            assert_eq!(rough_duration(secs), text);
        }
        assert_eq!(
            (bytes(412_000_000), bytes(999)),
            ("412 MB".into(), "999 B".into())
        );
    }
}
