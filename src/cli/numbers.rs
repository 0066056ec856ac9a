//! Numbers given on the command line, refused in words.

use std::num::NonZeroUsize;
use std::str::FromStr;

/// A whole number from 0 on.
pub fn whole<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    from(0, text)
}

/// A whole number from 1 on.
pub fn positive<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    from(1, text)
}

/// A number of threads.
pub fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let number: usize = positive(text)?;
    NonZeroUsize::new(number).ok_or_else(|| words(1))
}

/// Any number.
pub fn number<T: FromStr>(text: &str) -> Result<T, String> {
    let read = text.trim().parse();
    read.map_err(|_| "must be a number".to_owned())
}

fn from<T: TryFrom<u64>>(least: u64, text: &str) -> Result<T, String> {
    let read = text.trim().parse::<u64>().ok();
    let fits = read.filter(|number| *number >= least);
    let fits = fits.and_then(|number| T::try_from(number).ok());
    fits.ok_or_else(|| words(least))
}

fn words(least: u64) -> String {
    format!("must be a whole number from {least} on")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_such_number_is_refused_in_words() {
        assert_eq!(whole::<usize>("0"), Ok(0));
        assert_eq!(whole::<u64>(" 12 "), Ok(12));
        let from_0 = Err("must be a whole number from 0 on".to_owned());
        for text in ["-1", "1.5", "many", "", "99999999999999999999"] {
            assert_eq!(whole::<usize>(text), from_0, "{text}");
        }
        assert!(threads("0").is_err_and(|error| error.ends_with("from 1 on")));
        assert_eq!(number::<f64>("-1"), Ok(-1.0));
        assert!(number::<f32>("warm").is_err());
    }
}
