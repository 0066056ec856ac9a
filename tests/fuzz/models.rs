//! Models: headers of their files, configurations, tokenizers and chat templates.

use std::fs;
use std::path::{Path, PathBuf};

use inscribe::engine::Device;
use inscribe::memory::fingerprint;
use inscribe::model::chat::{ChatTemplate, Message};
use inscribe::model::loaded::Loaded;
use inscribe::model::model_file::Model;
use inscribe::model::session::{Session, SessionOptions};
use tempfile::TempDir;

use crate::mutate::{self, Random};
use crate::{Kind, Outcome};

const JINJA: [&str; 24] = [
    "{% for m in messages %}",
    "{% endfor %}",
    "{% if ",
    "{% endif %}",
    "{% set x = x ~ x %}",
    "{{ ",
    " }}",
    "{% set ns = namespace(x='a') %}",
    "{% set ns.x = ns.x ~ ns.x %}",
    "|join",
    "|replace('a', 'aa')",
    "[1:-1]",
    "range(99999)",
    "{% macro f(a) %}{{ f(a) }}{% endmacro %}",
    "{{ f(1) }}",
    "raise_exception('x')",
    " ** 99",
    "['a'] * 9999999",
    ".split('')",
    "|tojson",
    "loop(",
    "{% raw %}",
    "{#",
    "messages[0]",
];

pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn read_golden(name: &str) -> Vec<u8> {
    fs::read(golden(name)).expect(name)
}

pub fn kinds() -> Vec<Kind> {
    let architectures = &["llama", "llama3", "qwen2", "qwen3", "gemma3"];
    let mut kinds = vec![
        gguf(),
        in_folder(
            "safetensors",
            &["llama"],
            "model.safetensors",
            2,
            |random, bytes| {
                if random.one_in(2) {
                    mutate::bytes(random, bytes, 4096, &[]);
                } else {
                    *bytes = header_changed(random, bytes);
                }
            },
        ),
        in_folder(
            "config.json",
            architectures,
            "config.json",
            3,
            |random, bytes| {
                *bytes =
                    mutate::json_text(random, bytes, &["llama", "qwen3", "gelu", "linear", "yarn"]);
            },
        ),
        in_folder(
            "tokenizer.json",
            architectures,
            "tokenizer.json",
            3,
            |random, bytes| {
                let words = [
                    "BPE",
                    "Unigram",
                    "ByteLevel",
                    "Split",
                    "(a+)+$",
                    "(?<=a*)b",
                    "Sequence",
                ];
                *bytes = mutate::json_text(random, bytes, &words);
            },
        ),
    ];
    let templates: Vec<String> = ["gemma3", "methods", "qwen2.5", "qwen3", "smollm2"]
        .map(|name| read_golden(&format!("text/templates/{name}.jinja")))
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .into();
    kinds.push(Kind {
        name: "template",
        share: 4,
        run: Box::new(move |random| {
            let mut source = templates[random.below(templates.len())]
                .clone()
                .into_bytes();
            mutate::bytes(random, &mut source, usize::MAX, &JINJA);
            render(&String::from_utf8_lossy(&source))
        }),
    });
    kinds
}

fn render(source: &str) -> Outcome {
    let messages = [
        Message::new("system", "Be brief."),
        Message::new("user", "What is 2 + 2?"),
    ];
    let template = ChatTemplate::new(source, "<s>", "</s>");
    Outcome::of(template.and_then(|template| template.render(&messages, true)))
}

/// A model's folder in which one file is changed.
fn in_folder(
    name: &'static str,
    models: &[&str],
    file: &'static str,
    share: usize,
    change: fn(&mut Random, &mut Vec<u8>),
) -> Kind {
    let folders: Vec<(TempDir, Vec<u8>)> = models
        .iter()
        .map(|model| {
            let folder = tempfile::tempdir().expect("a folder");
            for entry in fs::read_dir(golden("tiny").join(model)).expect("files") {
                let entry = entry.expect("a file");
                fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("a copy");
            }
            let whole = read_golden(&format!("tiny/{model}/{file}"));
            (folder, whole)
        })
        .collect();
    Kind {
        name,
        share,
        run: Box::new(move |random| {
            let (folder, whole) = &folders[random.below(folders.len())];
            let mut bytes = whole.clone();
            change(random, &mut bytes);
            fs::write(folder.path().join(file), &bytes).expect("a file");
            open(folder.path())
        }),
    }
}

fn gguf() -> Kind {
    let seeds = ["qwen2", "llama", "gemma3"].map(|name| read_golden(&format!("tiny/{name}.gguf")));
    let folder = tempfile::tempdir().expect("a folder");
    Kind {
        name: "gguf",
        share: 3,
        run: Box::new(move |random| {
            let mut bytes = seeds[random.below(seeds.len())].clone();
            let front = if random.one_in(2) { 600 } else { 16_384 };
            mutate::bytes(
                random,
                &mut bytes,
                front,
                &["GGUF", "llama", "tokenizer.ggml.tokens"],
            );
            let path = folder.path().join("a.gguf");
            fs::write(&path, &bytes).expect("a file");
            open(&path)
        }),
    }
}

/// A file of tensors with another description of them.
fn header_changed(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("a length")) as usize;
    let header = mutate::json_text(
        random,
        &bytes[8..8 + length],
        &["F16", "BF16", "I64", "F8_E4M3"],
    );
    [
        &(header.len() as u64).to_le_bytes(),
        &header[..],
        &bytes[8 + length..],
    ]
    .concat()
}

/// Opens a model, and reads and cuts a few words with it.
fn open(path: &Path) -> Outcome {
    let opened = || -> Result<(), Box<dyn std::error::Error>> {
        let model = Model::open(path)?;
        for text in [
            "A tide pool.\n\n  Ünï 潮 \u{1f30a} <s>",
            "",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            let ids = model.tokenizer.encode(text, true, true)?;
            let _ = model.tokenizer.decode(&ids);
        }
        if let Some(template) = &model.chat {
            let _ = template.render(&[Message::new("user", "Hi")], true);
        }
        fingerprint(&model.file)?;
        let loaded = Loaded::new(model, Device::cpu(1), &mut |_| Ok(()))?;
        let options = SessionOptions::default();
        let mut session = Session::new(&loaded.device, &loaded.transformer, 8, options)?;
        let ids: Vec<u32> = (0..4)
            .map(|id| id % loaded.config().vocab.max(1) as u32)
            .collect();
        session.score(&ids, &mut |_, _| {})?;
        Ok(())
    };
    let outcome = opened();
    if let Err(error) = &outcome {
        let text = error.to_string();
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    }
    Outcome::of(outcome)
}
