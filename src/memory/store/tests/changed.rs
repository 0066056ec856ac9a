//! Files that are not as they were written, and those that this program does not know.

use super::*;

#[test]
fn changed_files_are_refused_or_told() {
    let (_parent, folder) = place();
    let case = Case::new(1);
    let memory = case.write(&folder);
    assert_eq!(memory.changed(), Vec::<String>::new());
    let named = memory.file.files.iter().map(|file| file.name.as_str());
    assert_eq!(named.collect::<Vec<_>>(), [TOKENS, EVENTS]);
    let tokens = folder.join(TOKENS);
    let mut bytes = fs::read(&tokens).unwrap();
    bytes[0] ^= 1;
    fs::write(&tokens, bytes).unwrap();
    assert!(refusal(memory.tokens()).contains("changed since it was written"));
    fs::write(folder.join(EVENTS), "{\"event\":\"paused\"}\n").unwrap();
    fs::remove_file(folder.join(DOCUMENT)).unwrap();
    let told = memory.changed();
    assert!(
        told[0].contains(EVENTS) && told[0].contains("changed"),
        "{told:?}"
    );
    assert!(
        told[1].contains(DOCUMENT) && told[1].contains("missing"),
        "{told:?}"
    );
    // A memory of before lists none, and opens.
    let mut file = unsealed(&folder);
    file.as_object_mut().unwrap().remove("files").unwrap();
    fs::write(folder.join(MEMORY), file.to_string()).unwrap();
    let old = Memory::open(&folder).unwrap();
    assert!(old.tokens().is_ok());
    assert_eq!(old.changed().len(), 1);
}

#[test]
fn a_description_that_was_changed_is_refused_and_can_be_looked_at() {
    let (_parent, folder) = place();
    let case = Case::new(1);
    case.write(&folder);
    let path = folder.join(MEMORY);
    let whole = fs::read_to_string(&path).unwrap();
    let state = || {
        let memory = Memory::open_as_it_is(&folder).unwrap();
        memory.verify().swap_remove(0).state
    };
    assert_eq!(state(), FileState::Whole);
    // Neither spaces nor the order of fields are of interest, numbers to the last digit are.
    let mut value: Value = serde_json::from_str(&whole).unwrap();
    value.sort_all_objects();
    fs::write(&path, value.to_string()).unwrap();
    case.check(&Memory::open(&folder).unwrap());
    for (old, new) in [
        ("0.30000000000000004", "0.3000000000000001"),
        ("\"rank\": 4", "\"rank\": 5"),
        ("\"end\": 20", "\"end\": 19"),
        ("mill.txt", "hill.txt"),
        ("\"seal\": \"", "\"seal\": \"0"),
        ("\"unix_secs\"", "\"added\": 1, \"unix_secs\""),
    ] {
        let changed = whole.replacen(old, new, 1);
        assert_ne!(changed, whole, "{old}");
        fs::write(&path, changed).unwrap();
        let error = Memory::open(&folder).err();
        assert!(matches!(error, Some(MemoryError::Altered { .. })), "{old}");
        assert!(state().is_bad(), "{old}");
        let resumed = MemoryWriter::resume(&folder, &case.plan());
        assert!(resumed.is_err(), "{old}");
    }
    // One of before has no seal; it opens.
    fs::write(&path, unsealed(&folder).to_string()).unwrap();
    assert!(Memory::open(&folder).is_ok());
    assert_eq!(state(), FileState::Unrecorded);
}

#[test]
fn an_unfinished_run_of_an_unknown_kind_can_be_replaced() {
    let (parent, folder) = place();
    let case = Case::new(1);
    let begin = || {
        let mut writer = MemoryWriter::create(&folder, &case.plan()).unwrap();
        let contents = [case.content(0), case.rows.clone()];
        writer.segment(0, 0..10, &contents).unwrap();
        writer.checkpoint(&case.checkpoint(1, 2)).unwrap();
    };
    // As another program would have left it, whose kind keeps a file of a name of its own.
    let of_another = || {
        let writing = parent.path().join("notes.writing");
        let path = writing.join(places::CHECKPOINT);
        let mut bytes = fs::read(&path).unwrap();
        for (own, other) in [
            (&b"\"rows\""[..], &b"\"mine\""[..]),
            (b"rows.gguf", b"mine.data"),
        ] {
            let at = bytes
                .windows(own.len())
                .position(|part| part == own)
                .unwrap();
            bytes[at..at + own.len()].copy_from_slice(other);
        }
        fs::write(&path, bytes).unwrap();
        let segment = writing.join("segments/0000");
        fs::rename(segment.join("rows.gguf"), segment.join("mine.data")).unwrap();
        segment
    };
    begin();
    of_another();
    let replaced = MemoryWriter::replace(&folder, &case.plan());
    drop(replaced.map_err(|e| e.to_string()).unwrap());
    assert!(!parent.path().join("notes.writing/segments").exists());
    begin();
    of_another();
    Unfinished::open(&folder)
        .unwrap()
        .unwrap()
        .discard()
        .unwrap();
    assert_eq!(names(parent.path()), Vec::<String>::new());
    // What nothing lists stays, and is named.
    begin();
    fs::write(of_another().join("notes.txt"), "mine").unwrap();
    let refused = refusal(MemoryWriter::replace(&folder, &case.plan()));
    assert!(refused.contains("notes.txt"), "{refused}");
}

#[test]
fn names_and_questions_of_a_memory_are_no_orders() {
    let (_parent, folder) = place();
    let case = Case::new(1);
    case.write(&folder);
    let mut file = unsealed(&folder);
    for name in [["model", "name"], ["model", "arch"], ["document", "name"]] {
        file[name[0]][name[1]] = "a\u{1b}[31m\nb\u{202e}".into();
    }
    fs::write(folder.join(MEMORY), file.to_string()).unwrap();
    let asked =
        json!({"question": "a\u{7}?", "answer": "b\u{9b}\n\tc", "seconds": 1, "unix_secs": 1});
    fs::write(folder.join(HISTORY), format!("{asked}\n")).unwrap();
    let memory = Memory::open(&folder).unwrap();
    let (model, document) = (&memory.file.model, &memory.file.document);
    let names = [&model.info.name, &model.arch, &document.name];
    assert_eq!(names, ["a[31mb"; 3]);
    let history = memory.history().unwrap();
    let texts = (history[0].question.as_str(), history[0].answer.as_str());
    assert_eq!(texts, ("a?", "b\n\tc"));
}

#[test]
fn files_of_another_version_or_damaged_are_refused() {
    let (_parent, folder) = place();
    let case = Case::new(1);
    case.write(&folder);
    let path = folder.join(MEMORY);
    let whole = unsealed(&folder);
    let changes: [(Change<Value>, &str); 8] = [
        (|f| f["version"] = 9.into(), "format 9"),
        (|f| f["version"] = Value::Null, "no version"),
        (|f| f["model"] = 3.into(), "damaged"),
        (|f| f["segments"] = json!([]), "no segments"),
        (
            |f| f["segments"][1]["folder"] = "../../secret".into(),
            "secret",
        ),
        (|f| f["segments"][1]["tokens"]["end"] = 21.into(), "tokens"),
        (
            |f| f["segments"][0]["tokens"]["start"] = 12.into(),
            "tokens",
        ),
        (|f| *f = json!([1]), "no version"),
    ];
    for (change, says) in changes {
        let mut file = whole.clone();
        change(&mut file);
        fs::write(&path, file.to_string()).unwrap();
        let message = refusal(Memory::open(&folder));
        assert!(message.contains(says), "{message}");
    }
    fs::write(&path, whole.to_string()).unwrap();
    let memory = Memory::open(&folder).unwrap();
    fs::write(folder.join(TOKENS), [255; 80]).unwrap();
    assert!(refusal(memory.tokens()).contains("token 4294967295"));
    fs::write(folder.join(TOKENS), [0; 81]).unwrap();
    assert!(refusal(memory.tokens()).contains("81 bytes"));
    fs::write(folder.join(DOCUMENT), case.text.replace("1871", "1872")).unwrap();
    assert!(refusal(memory.document()).contains("changed"));
    fs::remove_file(folder.join(EVENTS)).unwrap();
    assert!(refusal(memory.events::<Value>()).contains("does not exist"));
}
