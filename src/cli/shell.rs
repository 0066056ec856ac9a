//! Calls that the program suggests, as a shell takes them.

use std::path::Path;

/// A path as a shell takes it.
pub fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let text = match text.strip_prefix('-') {
        Some(_) => format!("./{text}"),
        None => text,
    };
    let plain =
        |c: char| c.is_alphanumeric() || "/:._-+=,@%".contains(c) || cfg!(windows) && c == '\\';
    if text.chars().all(plain) {
        text
    } else if cfg!(windows) {
        format!("\"{text}\"")
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The option that names the model to `ask`; empty for models that it finds by itself.
pub fn model_option(model: &str) -> String {
    let path = Path::new(model);
    if path.exists() {
        format!(" --model {}", shown(path))
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn paths_are_shown_as_a_shell_takes_them() {
        for (path, as_shown) in [
            ("notes/a.memory", "notes/a.memory"),
            ("é.memory", "é.memory"),
            ("two words", "'two words'"),
            ("a;b$HOME", "'a;b$HOME'"),
            ("it's", r"'it'\''s'"),
            ("-v", "./-v"),
            (r"a\b", r"'a\b'"),
        ] {
            assert_eq!(shown(Path::new(path)), as_shown);
        }
    }
}
