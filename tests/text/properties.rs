//! What must hold for any text.

use std::sync::LazyLock;

use inscribe::model::tokenizer::Tokenizer;
use proptest::prelude::*;

use crate::golden;
use crate::goldens::{BYTE_LEVEL, vocab_with};

/// Byte-level tokenizers that have every byte.
static WHOLE: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
    let complete = |pre: &&str| {
        let mut vocab = vocab_with(pre);
        // The two that the vocabulary lacks.
        vocab
            .tokens
            .extend(["\u{104}".to_owned(), "\u{11f}".to_owned()]);
        vocab.types.resize(vocab.tokens.len(), vocab.types[200]);
        vocab.into_tokenizer().expect(pre)
    };
    BYTE_LEVEL.iter().map(complete).collect()
});

static SPM: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
    let open =
        |name| Tokenizer::from_sentencepiece(&golden(&format!("text/{name}.model"))).expect(name);
    ["spm-prefix", "spm-bare"].map(open).into()
});

static FOLDERS: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
    let open = |name| Tokenizer::from_folder(&golden(&format!("tiny/{name}"))).expect(name);
    ["llama", "gemma3"].map(open).into()
});

fn lossless() -> impl Iterator<Item = &'static Tokenizer> {
    WHOLE.iter().chain(SPM.iter()).chain(FOLDERS.iter())
}

/// Texts of what tokenizers treat apart, and of anything.
fn texts() -> impl Strategy<Value = String> {
    let parts = prop_oneof![
        "[a-zA-Z]{1,8}",
        "[0-9]{1,6}",
        "[ \t\r\n]{1,6}",
        "'(s|S|ll|VE|x)",
        "[!-/:-@]{1,4}",
        "\\PC{1,3}",
        any::<char>().prop_map(String::from),
        Just("<|im_start|>".to_owned()),
        Just("<s>".to_owned()),
        Just("\u{2581}x".to_owned()),
    ];
    prop::collection::vec(parts, 0..20).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn decoding_gives_the_text_back(text in texts()) {
        for tokenizer in lossless() {
            // SentencePiece cannot tell its mark from a space.
            let expected = match tokenizer.token_id("\u{2581}") {
                Some(_) => text.replace('\u{2581}', " "),
                None => text.clone(),
            };
            let ids = tokenizer.encode(&text, false, false).expect("ids");
            prop_assert_eq!(tokenizer.decode(&ids), expected);
        }
    }

    #[test]
    fn streaming_is_decoding(ids in prop::collection::vec(0u32..700, 0..40)) {
        for tokenizer in lossless() {
            let mut stream = tokenizer.decode_stream(&[]);
            let mut text = String::new();
            for &id in &ids {
                text.push_str(&stream.push(id));
            }
            text.push_str(&stream.finish());
            let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.token_bytes(id)).collect();
            let whole = String::from_utf8_lossy(&bytes);
            prop_assert_eq!(&text, &tokenizer.decode(&ids));
            prop_assert!(whole == text || whole.strip_prefix(' ') == Some(&text), "{whole:?} {text:?}");
        }
    }

    #[test]
    fn offsets_cover_the_text_in_order(text in texts(), parse_special in any::<bool>()) {
        for tokenizer in lossless() {
            let spans = tokenizer.encode_with_offsets(&text, false, parse_special).expect("spans");
            let mut end = 0;
            let mut before = 0..0;
            for span in &spans {
                prop_assert!(text.get(span.bytes.clone()).is_some(), "{span:?} in {text:?}");
                // The next part, or within the same character as the token before.
                let next = span.bytes.start == end || span.bytes.start >= before.start;
                prop_assert!(next && span.bytes.start <= end, "{spans:?} in {text:?}");
                before = span.bytes.clone();
                end = end.max(span.bytes.end);
            }
            prop_assert_eq!(end, text.len());
        }
    }

    #[test]
    fn the_bytes_of_a_token_are_its_part_of_the_text(text in "[a-z ,.]{0,40}") {
        for tokenizer in WHOLE.iter() {
            for span in tokenizer.encode_with_offsets(&text, false, false).expect("spans") {
                prop_assert_eq!(&tokenizer.token_bytes(span.id), &text.as_bytes()[span.bytes]);
            }
        }
    }
}

/// Nothing grows with the square of a text without spaces, or of nothing else.
#[test]
fn long_runs_are_no_harder_than_texts() {
    const LONG: usize = 1 << 17;
    const TIMES: usize = 16;
    for tokenizer in lossless() {
        let secs = |text: &str| {
            let started = std::time::Instant::now();
            let ids = tokenizer.encode(text, false, false).expect("ids");
            let secs = started.elapsed().as_secs_f64();
            assert_eq!(tokenizer.decode(&ids), text);
            secs
        };
        for piece in ["a", " ", "\n", "é", "a1"] {
            // A step that grows with the square takes 256 times as long. Other programs may take
            // the processor in the middle of one try.
            let is_even = |_| {
                let short = secs(&piece.repeat(LONG / TIMES));
                secs(&piece.repeat(LONG)) < 4.0 * TIMES as f64 * short + 0.05
            };
            assert!((0..5).any(is_even), "{piece:?} many times over");
        }
    }
}
