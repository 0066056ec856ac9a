//! What chat templates expect to find: Jinja as `transformers` sets it up.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::bounds::{self, check_length};

/// Jinja with blocks trimmed, Python's methods, and the functions that templates call.
pub fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    bounds::bound(&mut environment);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", |format: &str| {
        strftime(format, seconds_now())
    });
    environment.add_filter("tojson", tojson);
    environment
}

/// What a template says when it refuses.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

fn raise_exception(message: String) -> Result<Value, Error> {
    let error = Error::new(ErrorKind::InvalidOperation, "raised by the template");
    Err(error.with_source(Raised(message)))
}

/// The message of `raise_exception`, where that is what happened.
pub fn raised(error: &Error) -> Option<&str> {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(raised) = inner.downcast_ref::<Raised>() {
            return Some(&raised.0);
        }
        cause = inner.source();
    }
    None
}

/// Takes out `{% generation %}` and `{% endgeneration %}`: they mark the assistant's text for
/// training and print nothing.
pub fn without_generation_marks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(len) = rest[start..].find("%}") else {
            break;
        };
        let (before, tag) = (&rest[..start], &rest[start..start + len + 2]);
        let inner = tag.trim_start_matches("{%").trim_end_matches("%}");
        let name = inner.trim_matches(['-', '+']).trim();
        out.push_str(before);
        match name {
            // As a block that prints nothing, it still trims the spaces around it.
            "generation" => out.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", "endif")),
            _ => out.push_str(tag),
        }
        rest = &rest[start + len + 2..];
    }
    out.push_str(rest);
    out
}

/// JSON as Python's `json.dumps` prints it: a space after `,` and `:`, or lines with `indent`.
fn tojson(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<Value, Error> {
    let style = Json {
        indent: indent.map_or_else(|| options.get("indent"), |n| Ok(Some(n)))?,
        ascii: options
            .get::<Option<bool>>("ensure_ascii")?
            .unwrap_or(false),
        sorted: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        separators: options.get("separators")?,
    };
    options.assert_all_used()?;
    let mut out = String::new();
    style.write(value, 0, &mut out)?;
    Ok(Value::from(out))
}

struct Json {
    indent: Option<usize>,
    ascii: bool,
    sorted: bool,
    separators: Option<Vec<String>>,
}

/// Deeper nesting than any message has.
const MAX_DEPTH: usize = 64;

impl Json {
    fn write(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "JSON is nested too deeply",
            ));
        }
        check_length(out.len())?;
        match value.kind() {
            ValueKind::Map => self.map(value, depth, out),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?.map(|item| (None, item)).collect();
                self.items('[', ']', items, depth, out)
            }
            ValueKind::String => {
                self.string(value.as_str().unwrap_or_default(), out);
                Ok(())
            }
            ValueKind::Undefined => Err(Error::new(
                ErrorKind::InvalidOperation,
                "an undefined value is not JSON",
            )),
            _ => {
                let text = serde_json::to_string(value).map_err(|error| {
                    Error::new(ErrorKind::InvalidOperation, "not JSON").with_source(error)
                })?;
                out.push_str(&text);
                Ok(())
            }
        }
    }

    fn map(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        let mut entries = Vec::new();
        for key in value.try_iter()? {
            entries.push((Some(key.to_string()), value.get_item(&key)?));
        }
        if self.sorted {
            entries.sort_by(|a, b| a.0.cmp(&b.0));
        }
        self.items('{', '}', entries, depth, out)
    }

    fn items(
        &self,
        open: char,
        close: char,
        items: Vec<(Option<String>, Value)>,
        depth: usize,
        out: &mut String,
    ) -> Result<(), Error> {
        let part = |at: usize| {
            self.separators
                .as_ref()
                .and_then(|s| s.get(at))
                .map(String::as_str)
        };
        let comma = part(0).unwrap_or(if self.indent.is_some() { "," } else { ", " });
        let colon = part(1).unwrap_or(": ");
        out.push(open);
        let empty = items.is_empty();
        for (i, (key, item)) in items.into_iter().enumerate() {
            if i > 0 {
                out.push_str(comma);
            }
            self.line(depth + 1, out);
            if let Some(key) = key {
                self.string(&key, out);
                out.push_str(colon);
            }
            self.write(&item, depth + 1, out)?;
        }
        if !empty {
            self.line(depth, out);
        }
        out.push(close);
        Ok(())
    }

    fn line(&self, depth: usize, out: &mut String) {
        if let Some(indent) = self.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent.min(80) * depth));
        }
    }

    fn string(&self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if c < ' ' || (self.ascii && !c.is_ascii()) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

fn seconds_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// C's `strftime` in UTC, for the directives that templates use.
fn strftime(format: &str, seconds: i64) -> String {
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_date(days);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    let month_name = MONTHS[(month - 1) as usize];
    let day_name = DAYS[days.rem_euclid(7) as usize];
    let noon = if hour < 12 { "AM" } else { "PM" };
    let hour12 = (hour + 11) % 12 + 1;
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut directive = chars.next().unwrap_or('%');
        let plain = directive == '-';
        if plain {
            directive = chars.next().unwrap_or('%');
        }
        let two = |n: i64| {
            if plain {
                n.to_string()
            } else {
                format!("{n:02}")
            }
        };
        out.push_str(&match directive {
            'Y' => year.to_string(),
            'y' => two(year.rem_euclid(100)),
            'm' => two(month),
            'd' => two(day),
            'e' => format!("{day:2}"),
            'H' => two(hour),
            'I' => two(hour12),
            'M' => two(minute),
            'S' => two(second),
            'p' => noon.to_owned(),
            'B' => month_name.to_owned(),
            'b' | 'h' => month_name[..3].to_owned(),
            'A' => day_name.to_owned(),
            'a' => day_name[..3].to_owned(),
            'F' => format!("{year}-{month:02}-{day:02}"),
            'T' => format!("{hour:02}:{minute:02}:{second:02}"),
            'Z' => "UTC".to_owned(),
            'z' => "+0000".to_owned(),
            '%' => "%".to_owned(),
            other => format!("%{other}"),
        });
    }
    out
}

/// Year, month and day of a day counted from 1970-01-01, by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn civil_date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_python_prints_them() {
        // 2024-02-29 13:05:09, a Thursday; 1969-12-31, a Wednesday.
        assert_eq!(
            strftime("%d %b %Y, %A %H:%M:%S", 1_709_211_909),
            "29 Feb 2024, Thursday 13:05:09"
        );
        assert_eq!(
            strftime("%-d/%-m/%y %I%p %%", 1_709_211_909),
            "29/2/24 01PM %"
        );
        assert_eq!(strftime("%F %a", -1), "1969-12-31 Wed");
        assert_eq!(strftime("%F", 951_782_400), "2000-02-29");
    }

    #[test]
    fn json_as_python_prints_it() {
        let environment = environment();
        let render = |source: &str| environment.render_str(source, ()).expect(source);
        let value = r#"{"a": [1, 2.5, true, none], "b": "<é\n'", "c": {}}"#;
        let json = |filter: &str| render(&format!("{{{{ {value}|{filter} }}}}"));
        assert_eq!(
            json("tojson"),
            r#"{"a": [1, 2.5, true, null], "b": "<é\n'", "c": {}}"#
        );
        assert_eq!(
            json("tojson(ensure_ascii=true, sort_keys=true, separators=[',', ':'])"),
            r#"{"a":[1,2.5,true,null],"b":"<\u00e9\n'","c":{}}"#
        );
        assert_eq!(
            json("tojson(indent=2)"),
            "{\n  \"a\": [\n    1,\n    2.5,\n    true,\n    null\n  ],\n  \"b\": \"<é\\n'\",\n  \"c\": {}\n}"
        );
    }

    #[test]
    fn generation_marks_print_nothing() {
        let source = "a\n{%- generation %}\nb\n{%- endgeneration -%}\n c{% set x = 1 %}d {% open";
        let out = "a\n{%- if true %}\nb\n{%- endif -%}\n c{% set x = 1 %}d {% open";
        assert_eq!(without_generation_marks(source), out);
    }
}
