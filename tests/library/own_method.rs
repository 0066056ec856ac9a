//! A method and a kind of memory of another program's own: a module and a line each.

use inscribe::memory::kind;
use inscribe::model::generate::GenerateOptions;
use inscribe::write::method;
use inscribe::write::reader::View;
use inscribe::{Document, WriteSettings};

use super::{document, small, tiny};

/// What is kept: how the text begins.
mod opening {
    use std::any::Any;
    use std::path::Path;

    use inscribe::memory::MemoryError;
    use inscribe::memory::kind::{Content, Folder, Kind, Loader};
    use inscribe::model::ModelError;
    use inscribe::model::config::ModelConfig;
    use inscribe::model::session::Session;

    #[derive(Clone, Debug, PartialEq)]
    pub struct Opening(pub Vec<u32>);

    impl Kind for Opening {
        fn kind(&self) -> &'static str {
            LOADER.kind
        }

        fn fault(&self, model: &ModelConfig) -> Option<String> {
            let known = |&id: &u32| (id as usize) < model.vocab;
            (!self.0.iter().all(known)).then(|| "a token of another model".to_owned())
        }

        fn save(&self, folder: &mut Folder<'_>, _: &ModelConfig) -> Result<(), MemoryError> {
            folder.write("opening.json", format!("{:?}", self.0).as_bytes())
        }

        fn enter(&self, session: &mut Session) -> Result<(), ModelError> {
            session.prefill(&self.0, &mut |_, _| {}).map(drop)
        }

        fn positions(&self) -> usize {
            self.0.len()
        }

        fn equals(&self, other: &dyn Kind) -> bool {
            (other as &dyn Any).downcast_ref() == Some(self)
        }
    }

    pub const LOADER: Loader = Loader {
        kind: "opening",
        files: &["opening.json"],
        derived: false,
        load: |folder: &Path, _| {
            let path = folder.join("opening.json");
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            match serde_json::from_str(&text) {
                Ok(ids) => Ok(Content::new(Opening(ids))),
                Err(error) => Err(MemoryError::file(&path, format!("is damaged: {error}"))),
            }
        },
    };
}

/// How it is written: steps on a memory token that are thrown away, and the opening is kept.
mod first_words {
    use std::ops::Range;

    use inscribe::memory::Content;
    use inscribe::model::config::ModelConfig;
    use inscribe::model::train::{Batch, Trained};
    use inscribe::write::error::WriteError;
    use inscribe::write::method::{Start, Started, Text, WriteMethod};
    use inscribe::write::setting::Setting;
    use inscribe::write::settings::WriteSettings;

    use super::opening::Opening;

    pub struct FirstWords;

    impl WriteMethod for FirstWords {
        fn name(&self) -> &'static str {
            "first-words"
        }

        fn title(&self) -> &'static str {
            "First words"
        }

        fn explanation(&self) -> &'static str {
            "The text's first tokens, word for word."
        }

        fn memory_words(&self) -> &'static str {
            "how the text begins"
        }

        fn suit(&self, settings: &mut WriteSettings) {
            settings.prefix = 1;
        }

        fn reads_document(&self) -> bool {
            false
        }

        fn uses(&self, setting: Setting) -> bool {
            setting == Setting::Prefix
        }

        fn positions(&self, settings: &WriteSettings) -> usize {
            8 * settings.prefix
        }

        fn trained(&self, _: &ModelConfig, settings: &WriteSettings) -> Trained {
            Trained::prefix(settings.prefix)
        }

        fn start(&self, from: &Start<'_>) -> Result<Started, WriteError> {
            let (rows, hidden) = (from.settings.prefix, from.loaded.config().hidden);
            let first: Vec<u32> = from.segment.ids.iter().take(8 * rows).copied().collect();
            Ok(Started {
                trained: Trained::prefix(rows),
                initial: vec![0.01; rows * hidden],
                finish: Box::new(move |_| Ok(Content::new(Opening(first.clone())))),
            })
        }

        fn batch(&self, text: &Text<'_>, step: usize, range: Range<usize>) -> Batch {
            text.sequence(step, range)
        }

        fn evaluation(&self, text: &Text<'_>, range: Range<usize>) -> Vec<Batch> {
            vec![text.whole(range)]
        }
    }
}

#[test]
fn a_method_and_a_kind_of_ones_own_take_a_line_each() {
    kind::add(opening::LOADER);
    let method = method::add(&first_words::FirstWords);

    let model = tiny("llama.gguf");
    let text = Document::open(document()).expect("a document");
    let settings = small(WriteSettings::for_method(method));
    assert_eq!(settings.prefix, 1);
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("own.memory");
    let write = || model.write(&text, settings.clone()).keep_at(&folder);
    let written = write().run(|_| {}).expect("a memory");
    let answer = written.ask("What was it?").expect("an answer");
    drop(written);

    // Found again by what the folder says of itself.
    let memory = model.remembered(&folder).expect("a memory");
    let file = &memory.memory().file;
    assert_eq!(file.settings["method"], "first-words");
    assert_eq!(file.segments[0].parts[0].kind, "opening");
    assert_eq!(
        memory.ask("What was it?").expect("an answer").ids,
        answer.ids
    );
    let bare = memory.asking("What was it?").view(View::Nothing);
    let bare = bare.options(GenerateOptions::greedy(128)).run();
    assert_ne!(
        bare.expect("an answer").ids,
        answer.ids,
        "the memory changes nothing"
    );

    // Replaced as any other, and refused once a byte of it is another.
    write()
        .replace()
        .run(|_| {})
        .expect("a memory in its place");
    let kept = folder.join("segments/0000/opening.json");
    std::fs::write(&kept, "[1, 2, 3]").expect("room");
    let error = model.remembered(&folder).err().expect("a refusal");
    assert!(error.to_string().contains("opening.json"), "{error}");
}
