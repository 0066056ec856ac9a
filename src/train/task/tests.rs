//! Tasks in the tokens of a base model, from small files of each kind.

use std::fs;
use std::path::Path;

use super::*;
use crate::model::draws::generator;

fn model() -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny/llama");
    Model::open(&folder).unwrap()
}

/// What a sample says, its questions with the part that counts between brackets.
fn told(model: &Model, sample: &Sample) -> (String, Vec<String>) {
    let text = |ids: &[u32]| model.tokenizer.decode(ids);
    let asked = sample.questions.iter().map(|q| {
        let (own, rest) = q.answer.split_at(q.counted);
        format!("{}[{}]{}", text(&q.prompt), text(own), text(rest))
    });
    (text(&sample.context), asked.collect())
}

const STORY: &str = "1 Mary moved to the bathroom.\n2 John went to the hallway.\n3 Where is Mary? \tbathroom\t1\n4 Where is John?\thallway\t2\n5 Mary ran.\n6 Where is John?\thallway\t2\n";

#[test]
fn stories_are_read_as_published() {
    let (model, folder) = (model(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    let open = || on_base("babi", &model, Some(folder.path()), 1);
    let said = || open().err().unwrap().to_string();
    assert!(said().contains("en-10k"), "{}", said());
    fs::write(at("qa2_two_train.txt"), STORY).unwrap();
    fs::write(
        at("qa2_two_test.txt"),
        "1 Ann sat.\n2 Where is Ann?\tpark\t1\n",
    )
    .unwrap();
    let task = open().unwrap();
    let mut random = generator(1, 0);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        seen.insert(told(&model, &task.sample(&mut random, 2, 8)));
    }
    let both = "Mary moved to the bathroom.\nJohn went to the hallway.\n";
    let ask = |who: &str, answer: &str| format!("Question: Where is {who}?\nAnswer:[ {answer}]\n");
    let expected = [
        (
            both.to_owned(),
            vec![ask("Mary", "bathroom"), ask("John", "hallway")],
        ),
        (format!("{both}Mary ran.\n"), vec![ask("John", "hallway")]),
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
    let test = told(&model, &task.test_sample(&mut random, 2, 8));
    assert_eq!(test, ("Ann sat.\n".to_owned(), vec![ask("Ann", "park")]));
    assert_eq!(task.sample(&mut random, 2, 1).questions.len(), 1);
    let refused = task.check_level(1).unwrap_err();
    assert!(refused.contains("has qa2"), "{refused}");
    // Without a file of tests, whole stories are kept from training.
    fs::remove_file(at("qa2_two_test.txt")).unwrap();
    fs::write(at("qa2_two_train.txt"), STORY.repeat(3)).unwrap();
    open().unwrap();
    fs::write(at("qa2_two_train.txt"), "1 Mary ran.\nWhere is Mary?\n").unwrap();
    assert!(said().contains("line 2"), "{}", said());
}

#[test]
fn sentences_and_questions_are_read_from_squad_s_json() {
    let (model, folder) = (model(), tempfile::tempdir().unwrap());
    let path = folder.path().join("squad.json");
    let open = || on_base("squad-short", &model, Some(&path), 1);
    let said = || open().err().unwrap().to_string();
    let paragraph = r#"{"context": "He won it. The Broncos lost in 1999.", "qas": [
        {"question": "Who lost?", "answers": [{"text": "The Broncos", "answer_start": 11}]},
        {"question": "When?", "answers": [{"text": "1999", "answer_start": 31}]},
        {"question": "Unknown?", "answers": []},
        {"question": "Elsewhere?", "answers": [{"text": "1999", "answer_start": 3}]}]}"#;
    let file = |paragraphs: &str| format!(r#"{{"data": [{{"paragraphs": [{paragraphs}]}}]}}"#);
    fs::write(&path, file(&[paragraph; 2].join(","))).unwrap();
    let task = open().unwrap();
    for sample in [
        task.sample(&mut generator(1, 0), 1, 8),
        task.test_sample(&mut generator(1, 0), 1, 8),
    ] {
        let (context, asked) = told(&model, &sample);
        assert_eq!(context, "The Broncos lost in 1999.\n");
        let expected = [
            "Question: Who lost?\nAnswer:[ Broncos]\n",
            "Question: When?\nAnswer:[ 1999]\n",
        ];
        assert_eq!(asked, expected);
    }
    fs::write(&path, r#"{"version": "1.1"}"#).unwrap();
    assert!(said().contains("SQuAD's format"), "{}", said());
    fs::write(&path, file("")).unwrap();
    assert!(said().contains("too few questions"), "{}", said());
    let folder = on_base("squad-short", &model, Some(folder.path()), 1);
    assert!(folder.err().unwrap().to_string().contains("is a folder"));
}

#[test]
fn windows_are_asked_for_again_and_gone_on_with() {
    let (model, folder) = (model(), tempfile::tempdir().unwrap());
    let path = folder.path().join("text.txt");
    let open = || on_base("text", &model, Some(&path), 3).unwrap();
    let text: String = (0..4000).map(|i| format!("{i} ")).collect();
    fs::write(&path, &text).unwrap();
    let task = open();
    let mut random = generator(1, 0);
    let sample = task.sample(&mut random, 8, 8);
    let [again, goes_on] = &sample.questions[..] else {
        panic!("{sample:?}")
    };
    assert_eq!([&again.prompt[..], &again.answer].concat(), sample.context);
    assert_eq!((again.counted, goes_on.counted), (7, 0));
    assert_eq!(goes_on.prompt, sample.context[4..]);
    let (window, _) = told(&model, &sample);
    let following = model.tokenizer.decode(&goes_on.answer);
    assert!(text.contains(&format!("{window}{following}")));
    assert_eq!(task.sample(&mut random, 8, 1).questions.len(), 1);
    // The seed says what is kept from training, and what was read is known again.
    assert_eq!(open().data(), task.data());
    let tests = |task: &dyn Task| task.test_sample(&mut generator(2, 0), 8, 1);
    assert_eq!(tests(open().as_ref()), tests(task.as_ref()));
    assert!(task.check_level(2).is_ok());
    assert!(
        task.check_level(1 << 20)
            .unwrap_err()
            .contains("windows of 2 to")
    );
    fs::write(&path, "few words").unwrap();
    assert_ne!(open().data(), task.data());
    assert!(open().check_level(8).unwrap_err().contains("too short"));
}

#[test]
fn pairs_are_asked_for_in_a_base_model_s_tokens() {
    let model = model();
    let task = on_base("kv", &model, None, 1).unwrap();
    let sample = task.sample(&mut generator(5, 0), 4, 2);
    let own = kv::KeyValue.sample(&mut generator(5, 0), 4, 2);
    let (context, _) = told(&model, &sample);
    assert_eq!(context, kv::KeyValue::text(&own.context));
    assert_eq!(sample.context.len(), own.context.len());
    assert_eq!(sample.questions[1].answer.len(), 4);
    let missing = on_base("babi", &model, None, 1).err().unwrap().to_string();
    assert!(missing.contains("bAbI"), "{missing}");
    assert!(on_base("none", &model, None, 1).is_err());
}
