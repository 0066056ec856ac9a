use proptest::prelude::*;

use super::super::document::ReadOptions;
use super::*;

fn document(name: &str, text: &str) -> Document {
    Document::from_bytes(name, text.as_bytes(), &ReadOptions::default()).unwrap()
}

/// Tokens as a byte-level tokenizer makes them: a word with the space before it, marks apart.
fn tokenize(text: &str) -> Vec<Range<usize>> {
    let mut tokens: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    let mut word = false;
    for (at, c) in text.char_indices() {
        let is_word = c.is_alphanumeric();
        let opens = !word || (c == ' ');
        if at > start && (opens || !is_word) && !(text[start..at] == *" " && is_word) {
            tokens.push(start..at);
            start = at;
        }
        word = is_word;
    }
    if start < text.len() {
        tokens.push(start..text.len());
    }
    tokens
}

fn check_cover(chunks: &[Chunk], tokens: usize) {
    let mut at = 0;
    for chunk in chunks {
        assert_eq!(chunk.tokens.start, at);
        assert!(!chunk.tokens.is_empty());
        at = chunk.tokens.end;
    }
    assert_eq!(at, tokens);
}

fn texts<'a>(document: &'a Document, bytes: &[Range<usize>], chunks: &[Chunk]) -> Vec<&'a str> {
    let text = |c: &Chunk| &document.text[bytes[c.tokens.start].start..bytes[c.tokens.end - 1].end];
    chunks.iter().map(text).map(str::trim).collect()
}

fn sentences(from: usize, count: usize) -> String {
    let sentence = |i| format!("Sentence number {i} has exactly ten plain words in it.");
    (from..from + count)
        .map(sentence)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn fixed_chunks() {
    let sizes = |tokens, size| -> Vec<usize> {
        let chunks = fixed(tokens, size);
        check_cover(&chunks, tokens);
        chunks.iter().map(|c| c.tokens.len()).collect()
    };
    assert_eq!(sizes(2500, 1024), [1024, 1024, 452]);
    assert_eq!(sizes(2048, 1024), [1024, 1024]);
    assert_eq!(sizes(1, 1024), [1]);
    assert!(sizes(0, 1024).is_empty());
    assert_eq!(sizes(3, 0), [1, 1, 1]);
    assert_eq!(sizes(5, usize::MAX), [5]);
}

#[test]
fn sections_near_the_size_stand_alone_under_their_titles() {
    let parts: Vec<String> = ["One", "Two", "Three"]
        .iter()
        .map(|title| {
            format!(
                "# Part {title}\n\n{}\n\n{}",
                sentences(0, 5),
                sentences(5, 4)
            )
        })
        .collect();
    let document = document("a.md", &parts.join("\n\n"));
    let bytes = tokenize(&document.text);
    let chunks = structural(&document, &bytes, 100);
    check_cover(&chunks, bytes.len());
    assert_eq!(texts(&document, &bytes, &chunks), parts);
    let titles: Vec<_> = chunks.iter().map(|c| c.title.as_deref().unwrap()).collect();
    assert_eq!(titles, ["Part One", "Part Two", "Part Three"]);
}

#[test]
fn small_sections_share_a_chunk_and_large_ones_part_at_paragraphs() {
    let small: Vec<String> = (0..8)
        .map(|i| format!("## Small {i}\n\n{}", sentences(i, 2)))
        .collect();
    let large: Vec<String> = (0..8).map(|i| sentences(10 * i, 5)).collect();
    let text = format!(
        "{}\n\n## Large\n\n{}",
        small.join("\n\n"),
        large.join("\n\n")
    );
    let document = document("a.md", &text);
    let bytes = tokenize(&document.text);
    let chunks = structural(&document, &bytes, 120);
    check_cover(&chunks, bytes.len());
    let starts: Vec<&str> = texts(&document, &bytes, &chunks);
    assert!(starts.len() < 12, "{starts:#?}");
    for start in &starts {
        let paragraph =
            start.starts_with("##") || large.iter().any(|p| start.starts_with(p.as_str()));
        assert!(paragraph, "{start}");
    }
    let titles: Vec<_> = chunks.iter().filter_map(|c| c.title.as_deref()).collect();
    assert_eq!(titles.len(), chunks.len());
    assert!(
        titles.iter().filter(|t| **t == "Large").count() >= 3,
        "{titles:?}"
    );
}

#[test]
fn a_long_paragraph_parts_between_sentences() {
    let document = document("a.txt", &sentences(0, 40));
    let bytes = tokenize(&document.text);
    let chunks = structural(&document, &bytes, 64);
    check_cover(&chunks, bytes.len());
    assert!(chunks.len() > 4);
    for text in texts(&document, &bytes, &chunks) {
        assert!(
            text.starts_with("Sentence") && text.ends_with('.'),
            "{text}"
        );
    }
}

#[test]
fn abbreviations_and_initials_end_no_sentence() {
    let text = "Mr. Holmes met J. Watson. \"Yes?\" He left. It cost 3. Then e.g. this… Fine!";
    let starts: Vec<&str> = sentence_starts(text)
        .iter()
        .map(|&at| &text[at..at + 2])
        .collect();
    assert_eq!(starts, ["\"Y", "He", "It", "Th", "Fi"]);
    let text = "今日は。明日も！";
    assert_eq!(sentence_starts(text), ["今日は。".len()]);
}

#[test]
fn part_of_a_document_keeps_its_titles() {
    let text = format!(
        "# First\n\n{}\n\n# Second\n\n{}",
        sentences(0, 9),
        sentences(0, 9)
    );
    let document = document("a.md", &text);
    let bytes = tokenize(&document.text);
    let rest = &bytes[50..];
    let chunks = structural(&document, rest, 100);
    check_cover(&chunks, rest.len());
    let titles: Vec<_> = chunks.iter().map(|c| c.title.as_deref().unwrap()).collect();
    assert_eq!(titles, ["First", "Second"]);
    let mut plain = fixed(rest.len(), 30);
    add_titles(&mut plain, &document, rest);
    assert_eq!(plain[0].title.as_deref(), Some("First"));
    assert_eq!(plain.last().unwrap().title.as_deref(), Some("Second"));
}

#[test]
fn tokens_without_a_place_belong_to_the_first_chunk() {
    let document = document("a.md", "# Title\n\nA few words.");
    let mut bytes = vec![0..0, 0..0];
    bytes.extend(tokenize(&document.text));
    let chunks = structural(&document, &bytes, 1024);
    assert_eq!(chunks.len(), 1);
    assert_eq!(chunks[0].tokens, 0..bytes.len());
    assert_eq!(chunks[0].title.as_deref(), Some("Title"));
    assert!(structural(&document, &[], 1024).is_empty());
}

fn markdown() -> impl Strategy<Value = String> {
    let block = prop_oneof![
        (1usize..5, "[A-Z][a-z]{1,8}( [a-z]{1,8}){0,3}")
            .prop_map(|(level, title)| format!("{} {title}", "#".repeat(level))),
        (0usize..30).prop_map(|count| sentences(0, count)),
        "[a-z]{1,400}",
        "- [a-z ]{1,40}(\n- [a-z ]{1,40}){0,5}",
        "```\n[a-z(){}\n ]{0,80}\n```",
        "[ぁ-ん。]{0,100}",
    ];
    let blocks = prop::collection::vec(block, 1..20);
    blocks.prop_map(|blocks| format!("x\n\n{}", blocks.join("\n\n")))
}

proptest! {
    #[test]
    fn chunks_cover_all_tokens_and_keep_their_sizes(text in markdown(), size in 1usize..400) {
        let document = document("a.md", &text);
        let bytes = tokenize(&document.text);
        let chunks = structural(&document, &bytes, size);
        check_cover(&chunks, bytes.len());
        let least = (size / 4).min(bytes.len());
        for chunk in &chunks {
            let len = chunk.tokens.len();
            prop_assert!(len >= least && len <= size + size / 2, "{} of {}", len, size);
        }
    }

    #[test]
    fn places_that_make_no_sense_give_chunks_all_the_same(
        text in markdown(),
        places in prop::collection::vec((0usize..500, 0usize..9), 0..200),
        size in 0usize..100,
    ) {
        let document = document("a.md", &text);
        let bytes: Vec<_> = places.into_iter().map(|(at, len)| at..at + len).collect();
        check_cover(&structural(&document, &bytes, size), bytes.len());
    }
}
