//! Vocabularies as GGUF files carry them, whole and damaged.

use inscribe::model::tokenizer::{GgufVocab, TokenType, Tokenizer};
use proptest::prelude::*;

use crate::golden;
use crate::goldens::vocab_with;

/// A small SentencePiece vocabulary.
fn spm_vocab() -> GgufVocab {
    let pieces = [
        "<unk>",
        "<s>",
        "</s>",
        "<0x41>",
        "\u{2581}",
        "a",
        "b",
        "ab",
        "\u{2581}ab",
        "\n",
    ];
    let types = [2, 3, 3, 6, 1, 1, 1, 1, 1, 4];
    GgufVocab {
        model: "llama".to_owned(),
        tokens: pieces.map(str::to_owned).to_vec(),
        scores: vec![0.0, 0.0, 0.0, 0.0, -3.0, -4.0, -5.0, -1.0, -2.0, 0.0],
        types: types.map(TokenType::from_number).to_vec(),
        bos: Some(1),
        eos: Some(2),
        unknown: Some(0),
        ..GgufVocab::default()
    }
}

fn refusal(vocab: GgufVocab) -> String {
    vocab.into_tokenizer().err().expect("refused").to_string()
}

#[test]
fn sentencepiece_merges_by_score() {
    let tokenizer = spm_vocab().into_tokenizer().expect("tokenizer");
    let encode = |text| tokenizer.encode(text, false, false).expect("ids");
    assert_eq!(encode("ab"), [8]);
    assert_eq!(encode("a b"), [4, 5, 4, 6]);
    // A byte token where there is one, else the unknown token, once for neighbours.
    assert_eq!(encode("aAa"), [4, 5, 3, 5]);
    assert_eq!(encode("axyz\nb"), [4, 5, 0, 9, 4, 6]);
    // Control tokens are read only where that is asked for.
    assert_eq!(encode("</s>"), [4, 0]);
    assert_eq!(tokenizer.encode("</s>", false, true).expect("ids"), [2]);
    assert_eq!(tokenizer.decode_text(&[1, 8, 5, 3, 9, 2]), "abaA\n");
    assert_eq!(tokenizer.decode(&[8, 8]), "ab ab");
    // After a prompt the space belongs to the text.
    let mut stream = tokenizer.decode_stream(&[1, 8]);
    assert_eq!(stream.push(8) + &stream.finish(), " ab");
    let mut stream = tokenizer.decode_stream(&[1]);
    assert_eq!(stream.push(8) + &stream.finish(), "ab");
}

#[test]
fn bytes_that_a_vocabulary_lacks_are_left_out() {
    let tokenizer = vocab_with("smollm").into_tokenizer().expect("tokenizer");
    let ids = tokenizer.encode("x\u{4}y", false, false).expect("ids");
    assert_eq!(tokenizer.decode(&ids), "xy");
}

#[test]
fn begin_tokens_by_default() {
    let add = |vocab: GgufVocab| vocab.into_tokenizer().expect("tokenizer").add_bos();
    assert!(!add(vocab_with("qwen2")));
    assert!(add(vocab_with("llama3")));
    assert!(add(spm_vocab()));
    assert!(!add(GgufVocab {
        add_bos: Some(false),
        ..spm_vocab()
    }));
    let ends = GgufVocab {
        add_eos: Some(true),
        ..spm_vocab()
    };
    let tokenizer = ends.into_tokenizer().expect("tokenizer");
    assert_eq!(tokenizer.encode("ab", true, false).expect("ids"), [1, 8, 2]);
}

#[test]
fn damaged_vocabularies_name_the_field() {
    let field = |error: String, expected: &str| assert!(error.contains(expected), "{error}");
    let spm = spm_vocab;
    let bytes = || vocab_with("gpt-2");
    field(refusal(GgufVocab::default()), "tokenizer.ggml.tokens");
    field(
        refusal(GgufVocab {
            model: "bert".into(),
            ..spm()
        }),
        "tokenizer.ggml.model: 'bert'",
    );
    field(
        refusal(GgufVocab {
            scores: vec![1.0],
            ..spm()
        }),
        "tokenizer.ggml.scores: has 1 ",
    );
    field(
        refusal(GgufVocab {
            scores: vec![],
            ..spm()
        }),
        "tokenizer.ggml.scores",
    );
    field(
        refusal(GgufVocab {
            scores: vec![f32::NAN; 10],
            ..spm()
        }),
        "tokenizer.ggml.scores[0]",
    );
    let types = vec![TokenType::Normal];
    field(
        refusal(GgufVocab { types, ..spm() }),
        "tokenizer.ggml.token_type",
    );
    let types = vec![TokenType::Byte; 10];
    field(
        refusal(GgufVocab { types, ..spm() }),
        "tokenizer.ggml.tokens[0]",
    );
    field(
        refusal(GgufVocab {
            bos: Some(10),
            ..spm()
        }),
        "tokenizer.ggml.bos_token_id: 10",
    );
    field(
        refusal(GgufVocab {
            pre: Some("x".into()),
            ..bytes()
        }),
        "tokenizer.ggml.pre: 'x'",
    );
    let with_merge = |merge: &str| {
        refusal(GgufVocab {
            merges: vec![merge.into()],
            ..bytes()
        })
    };
    field(with_merge("ab"), "tokenizer.ggml.merges[0]");
    field(with_merge("a 日"), "'日' is not a token");
    field(
        with_merge("<|im_start|> <|im_end|>"),
        "tokenizer.ggml.merges[0]",
    );
    field(with_merge(""), "tokenizer.ggml.merges[0]");
    for mut vocab in [spm(), bytes()] {
        vocab.tokens[7] = vocab.tokens[6].clone();
        field(refusal(vocab), "tokenizer.ggml.tokens[7]: repeats");
    }
}

#[test]
fn damaged_sentencepiece_files_are_errors() {
    let whole = std::fs::read(golden("text/spm-prefix.model")).expect("model");
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("cut.model");
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("written");
        Tokenizer::from_sentencepiece(&path)
    };
    assert!(open(&whole).is_ok());
    for cut in (0..whole.len() - 1).step_by(61) {
        let error = open(&whole[..cut]).err().expect("refused").to_string();
        assert!(error.contains("cut.model: "), "{error}");
    }
    // Whatever a flipped byte does, it does not panic.
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x85;
        if let Ok(tokenizer) = open(&bytes) {
            let ids = tokenizer.encode("the <s>log é\n", true, true).expect("ids");
            tokenizer.decode(&ids);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_vocabulary_makes_it_panic(
        spm in any::<bool>(),
        tokens in prop::collection::vec("[ab▁Ġ<>s/0x4]{0,4}|\\PC{0,2}", 0..24),
        kinds in prop::collection::vec(-1i64..8, 0..24),
        scores in prop::collection::vec(any::<f32>(), 0..24),
        merges in prop::collection::vec("[ab ]{0,4}", 0..6),
        ids in prop::array::uniform3(prop::option::of(0u32..30)),
        squeeze in any::<bool>(),
        text in "[ab▁Ġ <>s/0x4é\n]{0,30}",
    ) {
        let fit = |len: usize| if spm { tokens.len() } else { len };
        let mut types: Vec<TokenType> = kinds.into_iter().map(TokenType::from_number).collect();
        types.resize(fit(types.len()), TokenType::Normal);
        let mut scores: Vec<f32> = scores.into_iter().map(|s| if s.is_nan() { 0.0 } else { s }).collect();
        scores.resize(fit(scores.len()), 0.0);
        let vocab = GgufVocab {
            model: if spm { "llama" } else { "gpt2" }.to_owned(),
            pre: Some("smollm".to_owned()),
            tokens, types, scores, merges,
            bos: ids[0], eos: ids[1], unknown: ids[2],
            remove_extra_whitespaces: Some(squeeze),
            ..GgufVocab::default()
        };
        if let Ok(tokenizer) = vocab.into_tokenizer() {
            let ids = tokenizer.encode(&text, true, true).expect("ids");
            tokenizer.decode(&ids);
            for span in tokenizer.encode_with_offsets(&text, true, true).expect("spans") {
                prop_assert!(text.get(span.bytes).is_some());
            }
        }
    }
}
