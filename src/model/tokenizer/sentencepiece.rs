//! Reads SentencePiece's `.model`: a protobuf message, of which a tokenizer needs few fields.
//!
//! <https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto>

use std::fs;
use std::path::Path;

use super::{GgufVocab, TokenType, Tokenizer, TokenizerError};

/// `TrainerSpec.model_type` of byte-pair encoding.
const BPE: u64 = 2;

impl Tokenizer {
    /// Reads a SentencePiece model of the byte-pair kind.
    pub fn from_sentencepiece(path: &Path) -> Result<Tokenizer, TokenizerError> {
        let file = |detail: String| TokenizerError::File {
            path: path.display().to_string(),
            detail,
        };
        let bytes = fs::read(path).map_err(|error| file(format!("cannot be read: {error}")))?;
        let vocab = parse(&bytes).map_err(|error| file(error.to_string()))?;
        vocab
            .into_tokenizer()
            .map_err(|error| file(error.to_string()))
    }
}

#[derive(Clone, Copy)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

impl<'a> Field<'a> {
    fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Field::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn number(self) -> Option<u64> {
        match self {
            Field::Number(number) => Some(number),
            _ => None,
        }
    }

    fn flag(self) -> Option<bool> {
        self.number().map(|number| number != 0)
    }

    /// An id; SentencePiece writes -1 for none.
    fn id(self) -> Option<u32> {
        self.number().and_then(|number| u32::try_from(number).ok())
    }

    fn text(self) -> Option<String> {
        Some(String::from_utf8_lossy(self.bytes()?).into_owned())
    }
}

/// The fields of a protobuf message, in order.
struct WireFields<'a> {
    rest: &'a [u8],
}

impl<'a> WireFields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => Field::Bytes(self.take(8)?),
            2 => {
                let len = self.varint()?;
                Field::Bytes(self.take(len)?)
            }
            5 => Field::Fixed32(self.take(4)?.try_into().ok()?),
            _ => return None,
        };
        Some((tag >> 3, field))
    }
}

impl<'a> Iterator for WireFields<'a> {
    type Item = Result<(u64, Field<'a>), TokenizerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or_else(|| TokenizerError::field("message", "is cut off or damaged")))
    }
}

fn fields(message: &[u8]) -> WireFields<'_> {
    WireFields { rest: message }
}

fn parse(bytes: &[u8]) -> Result<GgufVocab, TokenizerError> {
    // The defaults are those of the message definition.
    let mut vocab = GgufVocab {
        model: "llama".to_owned(),
        bos: Some(1),
        eos: Some(2),
        unknown: Some(0),
        add_space_prefix: Some(true),
        remove_extra_whitespaces: Some(true),
        ..GgufVocab::default()
    };
    let mut model_type = 1;
    for field in fields(bytes) {
        let (number, field) = field?;
        let message = field.bytes().unwrap_or_default();
        match number {
            1 => piece(message, &mut vocab)?,
            2 => trainer(message, &mut vocab, &mut model_type)?,
            3 => normalizer(message, &mut vocab)?,
            _ => {}
        }
    }
    if model_type != BPE {
        let detail = "only byte-pair models (model_type BPE) are supported; a tokenizer.json of \
                      the same tokenizer would do";
        return Err(TokenizerError::field("trainer_spec.model_type", detail));
    }
    Ok(vocab)
}

fn piece(message: &[u8], vocab: &mut GgufVocab) -> Result<(), TokenizerError> {
    let (mut text, mut score, mut kind) = (String::new(), 0.0, 1);
    for field in fields(message) {
        match field? {
            (1, field) => text = field.text().unwrap_or_default(),
            (2, Field::Fixed32(bytes)) => score = f32::from_le_bytes(bytes),
            (3, Field::Number(number)) => kind = number as i64,
            _ => {}
        }
    }
    vocab.tokens.push(text);
    vocab.scores.push(score);
    vocab.types.push(TokenType::from_number(kind));
    Ok(())
}

fn trainer(
    message: &[u8],
    vocab: &mut GgufVocab,
    model_type: &mut u64,
) -> Result<(), TokenizerError> {
    for field in fields(message) {
        match field? {
            (3, field) => *model_type = field.number().unwrap_or(0),
            (40, field) => vocab.unknown = field.id(),
            (41, field) => vocab.bos = field.id(),
            (42, field) => vocab.eos = field.id(),
            (43, field) => vocab.padding = field.id(),
            _ => {}
        }
    }
    Ok(())
}

fn normalizer(message: &[u8], vocab: &mut GgufVocab) -> Result<(), TokenizerError> {
    for field in fields(message) {
        match field? {
            (2, field) if field.bytes().is_some_and(|rules| !rules.is_empty()) => {
                let detail = "only models without character rules ('identity') are supported; \
                              a tokenizer.json of the same tokenizer would do";
                return Err(TokenizerError::field("normalizer_spec.name", detail));
            }
            (3, field) => vocab.add_space_prefix = field.flag(),
            (4, field) => vocab.remove_extra_whitespaces = field.flag(),
            _ => {}
        }
    }
    Ok(())
}
