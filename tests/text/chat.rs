//! Chat templates against transformers.

use std::fs;

use inscribe::model::chat::{ChatError, ChatTemplate, Message};
use inscribe::model::tokenizer::Tokenizer;
use serde_json::{Value, json};

use crate::golden;
use crate::goldens::{folder_with, write_json};

fn template(name: &str) -> ChatTemplate {
    let source = fs::read_to_string(golden(&format!("text/templates/{name}.jinja"))).expect(name);
    ChatTemplate::new(&source, "<bos>", "<eos>").expect(name)
}

fn messages(value: &Value) -> Vec<Message> {
    let text = |m: &Value, key: &str| m[key].as_str().expect("text").to_owned();
    let all = value.as_array().expect("messages").iter();
    all.map(|m| Message::new(text(m, "role"), text(m, "content")))
        .collect()
}

#[test]
fn templates_render_as_in_transformers() {
    let file = crate::json("text/chat.json");
    let cases = file.as_object().expect("cases");
    assert!(cases.len() >= 60, "{} cases", cases.len());
    for (name, case) in cases {
        let model = name.split('/').next().expect("model");
        let messages = messages(&case["messages"]);
        let rendered = template(model).render(&messages, name.ends_with("/prompt"));
        match case["text"].as_str() {
            Some(expected) => assert_eq!(rendered.expect(name), expected, "{name}"),
            // What transformers refuses is rendered with the system text in the user's turn.
            None => assert!(
                rendered.expect(name).contains("<start_of_turn>user\n"),
                "{name}"
            ),
        }
    }
}

#[test]
fn a_system_text_without_a_role_for_it_goes_to_the_user() {
    let gemma = template("gemma3");
    let chat = |roles: &[(&str, &str)]| -> Vec<Message> {
        roles
            .iter()
            .map(|(role, text)| Message::new(*role, *text))
            .collect()
    };
    let folded = gemma
        .render(&chat(&[("system", "S"), ("user", "u")]), true)
        .expect("folded");
    assert_eq!(
        folded,
        "<bos><start_of_turn>user\nS\n\nu<end_of_turn>\n<start_of_turn>model\n"
    );
    let two_users = gemma.render(&chat(&[("user", "a"), ("user", "b")]), true);
    let Err(ChatError::Refused(why)) = two_users else {
        panic!("{two_users:?}");
    };
    assert!(why.contains("must alternate"), "{why}");
    // The first objection is the one to tell.
    let both = gemma.render(
        &chat(&[("system", "S"), ("user", "a"), ("user", "b")]),
        true,
    );
    let Err(ChatError::Refused(why)) = both else {
        panic!("{both:?}");
    };
    assert!(why.contains("System role"), "{why}");
}

#[test]
fn damaged_templates_are_errors() {
    let bad = ChatTemplate::new("{% for m in messages %}", "", "");
    assert!(matches!(bad, Err(ChatError::Syntax(_))));
    let failed = |source: &str| {
        let template = ChatTemplate::new(source, "", "").expect("template");
        let rendered = template.render(&[Message::new("user", "x")], true);
        matches!(rendered, Err(ChatError::Failed(_)))
    };
    assert!(failed("{{ messages[0].content.nothing() }}"));
    assert!(failed("{{ nothing() }}"));
    assert!(failed("{{ messages[7].content }}"));
    assert!(failed("{{ nothing | tojson }}"));
    let endless =
        "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}";
    assert!(failed(endless));
}

#[test]
fn templates_are_found_where_folders_keep_them() {
    let folder = folder_with("qwen2");
    let tokenizer = Tokenizer::from_folder(folder.path()).expect("tokenizer");
    let render = || {
        let template = ChatTemplate::from_folder(folder.path(), &tokenizer).expect("template");
        template.map(|t| {
            t.render(&[Message::new("user", "hi")], false)
                .expect("text")
        })
    };
    assert_eq!(render(), None);
    let named = json!({"chat_template": [
        {"name": "tool_use", "template": "tools"},
        {"name": "default", "template": "named {{ messages[0].content }}"},
    ]});
    write_json(folder.path(), "tokenizer_config.json", &named);
    assert_eq!(render().as_deref(), Some("named hi"));
    let one = json!({"chat_template": "one", "bos_token": {"content": "<|im_start|>"}});
    write_json(folder.path(), "tokenizer_config.json", &one);
    assert_eq!(render().as_deref(), Some("one"));
    fs::write(
        folder.path().join("chat_template.jinja"),
        "file\n{{ bos_token }}",
    )
    .expect("file");
    assert_eq!(render().as_deref(), Some("file\n"));
    let tokenizer = Tokenizer::from_folder(folder.path()).expect("tokenizer");
    let template = ChatTemplate::from_folder(folder.path(), &tokenizer).expect("template");
    let text = template.expect("one").render(&[], false).expect("text");
    assert_eq!(text, "file\n<|im_start|>");
    write_json(
        folder.path(),
        "tokenizer_config.json",
        &json!({"chat_template": "{% if"}),
    );
    fs::remove_file(folder.path().join("chat_template.jinja")).expect("removed");
    let error = ChatTemplate::from_folder(folder.path(), &tokenizer)
        .err()
        .expect("error");
    assert!(
        error.to_string().contains("tokenizer_config.json"),
        "{error}"
    );
}
