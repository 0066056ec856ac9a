//! The bytes of each token's text.

use std::sync::LazyLock;

/// What vocabularies write for a space.
pub const SPACE_MARK: char = '\u{2581}';

/// GPT-2's printable character for each byte: itself where that is printable Latin-1, else the next
/// free character from U+0100 on.
pub static BYTE_CHARS: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut next = 256;
    std::array::from_fn(|byte| {
        let printable = matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
        let code = if printable { byte as u32 } else { next };
        next += u32::from(!printable);
        char::from_u32(code).unwrap_or_default()
    })
});

static CHAR_BYTES: LazyLock<[Option<u8>; 0x144]> = LazyLock::new(|| {
    let mut bytes = [None; 0x144];
    for (byte, &stand_in) in BYTE_CHARS.iter().enumerate() {
        if let Some(slot) = bytes.get_mut(stand_in as usize) {
            *slot = Some(byte as u8);
        }
    }
    bytes
});

/// How a vocabulary writes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// A character a byte (GPT-2).
    ByteLevel,
    /// U+2581 for a space, `<0x0A>` for a single byte (SentencePiece).
    SentencePiece,
    /// The token's text is its bytes.
    Plain,
}

impl Notation {
    /// Appends the bytes of a token of the vocabulary.
    pub fn push_bytes(self, token: &str, out: &mut Vec<u8>) {
        match self {
            Notation::ByteLevel => {
                let start = out.len();
                for c in token.chars() {
                    match CHAR_BYTES.get(c as usize).copied().flatten() {
                        Some(byte) => out.push(byte),
                        None => {
                            // Not in this notation after all: an added token.
                            out.truncate(start);
                            out.extend_from_slice(token.as_bytes());
                            return;
                        }
                    }
                }
            }
            Notation::SentencePiece => match byte_token(token) {
                Some(byte) => out.push(byte),
                None => push_unescaped(token, out),
            },
            Notation::Plain => out.extend_from_slice(token.as_bytes()),
        }
    }
}

/// The byte of `<0x0A>`.
pub fn byte_token(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let two_digits = hex.len() == 2 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    two_digits.then(|| u8::from_str_radix(hex, 16).ok())?
}

pub fn push_unescaped(token: &str, out: &mut Vec<u8>) {
    for (i, part) in token.split(SPACE_MARK).enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(part.as_bytes());
    }
}

/// The bytes of every token, one after the other.
#[derive(Default)]
pub struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    special: Vec<bool>,
}

impl Pieces {
    pub fn push(&mut self, special: bool, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
        self.special.push(special);
    }

    pub fn get(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let start = id.checked_sub(1).and_then(|i| self.ends.get(i)).copied();
        let end = self.ends.get(id).copied().unwrap_or(0);
        self.bytes.get(start.unwrap_or(0)..end).unwrap_or(&[])
    }

    pub fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize).copied().unwrap_or(false)
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(notation: Notation, token: &str) -> Vec<u8> {
        let mut out = Vec::new();
        notation.push_bytes(token, &mut out);
        out
    }

    #[test]
    fn every_byte_has_a_printable_stand_in() {
        for byte in 0..=255u8 {
            let c = BYTE_CHARS[byte as usize];
            assert!(!c.is_whitespace() && !c.is_control(), "{byte}: {c:?}");
            assert_eq!(bytes(Notation::ByteLevel, &c.to_string()), [byte]);
        }
        assert_eq!(BYTE_CHARS[b' ' as usize], 'Ġ');
        assert_eq!(BYTE_CHARS[b'\n' as usize], 'Ċ');
        assert_eq!(bytes(Notation::ByteLevel, "a b"), b"a b");
    }

    #[test]
    fn sentencepiece_notation() {
        let bytes = |token| bytes(Notation::SentencePiece, token);
        assert_eq!(bytes("\u{2581}a\u{2581}\u{2581}b"), b" a  b");
        assert_eq!(bytes("<0x0A>"), b"\n");
        assert_eq!(bytes("<0x+A>"), b"<0x+A>");
        assert_eq!(bytes("<0xé>"), "<0xé>".as_bytes());
    }

    #[test]
    fn pieces_out_of_range_are_empty() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.get(0), b"");
        pieces.push(false, |out| out.extend(b"ab"));
        pieces.push(true, |_| {});
        pieces.push(false, |out| out.extend(b"c"));
        assert_eq!(
            (pieces.get(0), pieces.get(1), pieces.get(2)),
            (&b"ab"[..], &b""[..], &b"c"[..])
        );
        assert_eq!(pieces.get(3), b"");
        assert_eq!(pieces.get(u32::MAX), b"");
    }
}
