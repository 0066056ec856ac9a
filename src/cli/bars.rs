//! Bars of text.

const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// A bar for `value`, `width` cells wide where it reaches `full`.
pub fn bar(value: f64, full: f64, width: usize) -> String {
    if !(value > 0.0 && full > 0.0) {
        return String::new();
    }
    let eighths = (value / full * width as f64 * 8.0).round() as usize;
    let eighths = eighths.clamp(1, width * 8);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn bars_grow_with_their_values_and_show_the_smallest() {
        assert_eq!(bar(0.0, 1.0, 4), "");
        assert_eq!(bar(1e-9, 1.0, 4), "▏");
        assert_eq!(bar(0.5, 1.0, 4), "██");
        assert_eq!(bar(0.53, 1.0, 4), "██▏");
        assert_eq!(bar(2.0, 1.0, 4), "████");
        assert_eq!(bar(f64::NAN, 1.0, 4), "");
    }
}
