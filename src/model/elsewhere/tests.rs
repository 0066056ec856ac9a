//! Folders of other programs as they are, and as they are when they are damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::*;
use crate::engine::DType;
use crate::model::gguf::writer::{GgufWriter, Meta};
use crate::model::hub::HubId;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/tiny")
        .join(name)
}

/// Puts a file there, with the folders above it.
fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn tiny() -> Vec<u8> {
    fs::read(golden("llama.gguf")).unwrap()
}

/// A file with a header and a little tensor.
fn file_with(meta: &[(&str, Meta)]) -> Vec<u8> {
    let mut writer = GgufWriter::new();
    for (key, value) in meta {
        writer.set(key, value.clone()).unwrap();
    }
    writer.announce("x", DType::F32, &[2]).unwrap();
    let mut data = writer.begin(Vec::new()).unwrap();
    data.tensor(&[0; 8]).unwrap();
    data.finish().unwrap()
}

fn survey(places: &Places) -> Survey {
    places.survey(Limits::default(), &mut Looks::default())
}

fn at<'s>(survey: &'s Survey, name: &str) -> &'s Found {
    let found = survey.found.iter().find(|found| found.name == name);
    found.unwrap_or_else(|| panic!("{name} is not among {:?}", names(survey)))
}

fn fault<'s>(survey: &'s Survey, name: &str) -> &'s str {
    at(survey, name).fault.as_deref().unwrap_or("none")
}

fn names(survey: &Survey) -> Vec<&str> {
    survey.found.iter().map(|f| f.name.as_str()).collect()
}

#[test]
fn lm_studios_files_are_named_by_their_paths() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    put(&root.join("pub/repo/tiny-F32.gguf"), tiny());
    let mlx = root.join("pub/mlx");
    fs::create_dir_all(&mlx).unwrap();
    for file in fs::read_dir(golden("llama")).unwrap().flatten() {
        fs::copy(file.path(), mlx.join(file.file_name())).unwrap();
    }
    put(
        &root.join("pub/repo/mmproj-x.gguf"),
        file_with(&[("general.architecture", "clip".into())]),
    );
    put(&root.join("pub/repo/cut.gguf"), &tiny()[..900]);
    put(&root.join("pub/repo/web.gguf"), "<html>");
    put(
        &root.join("pub/repo/phi.gguf"),
        file_with(&[("general.architecture", "phi3".into())]),
    );
    put(&root.join("pub/repo/notes.txt"), "no model");
    put(&root.join("pub/parts/m-00001-of-00002.gguf"), tiny());
    put(&root.join("pub/parts/m-00002-of-00002.gguf"), tiny());
    let embedding = [
        ("general.architecture", "qwen3".into()),
        ("qwen3.pooling_type", Meta::U32(3)),
    ];
    put(&root.join("pub/embed/e.gguf"), file_with(&embedding));
    let nothing = [("general.architecture", "llama".into())];
    put(&root.join("pub/embed/headless.gguf"), file_with(&nothing));

    let places = Places {
        lm_studio: vec![root.to_owned(), root.join("not there")],
        ..Places::default()
    };
    let survey = survey(&places);
    assert_eq!(survey.notes, Vec::<String>::new());
    let whole = at(&survey, "lmstudio:pub/repo/tiny-F32.gguf");
    assert_eq!(whole.fault, None);
    assert_eq!(whole.architecture.as_deref(), Some("llama"));
    assert!(whole.quantisation.is_some() && whole.config.is_some());
    assert_eq!(whole.bytes, tiny().len() as u64);
    assert_eq!(at(&survey, "lmstudio:pub/mlx").fault, None);
    for (name, why) in [
        ("repo/mmproj-x.gguf", "sees pictures"),
        ("repo/cut.gguf", "cut short"),
        ("repo/web.gguf", "web page"),
        ("repo/phi.gguf", "architecture phi3 cannot be run"),
        ("parts/m-00001-of-00002.gguf", "in 2 parts"),
        ("embed/e.gguf", "compare texts"),
        ("embed/headless.gguf", "no tokenizer"),
    ] {
        let fault = fault(&survey, &format!("lmstudio:pub/{name}"));
        assert!(fault.contains(why), "{name}: {fault}");
    }
    assert_eq!(survey.found.len(), 9, "{:?}", names(&survey));

    let found = places.find("LMStudio:pub/repo/tiny-F32.gguf");
    assert_eq!(found, Some(Ok(whole.path.clone())));
    for odd in [
        "../../etc",
        "pub/../../x",
        "/etc/passwd",
        "pub/none.gguf",
        "",
    ] {
        assert!(
            places.find(&format!("lmstudio:{odd}")).unwrap().is_err(),
            "{odd}"
        );
    }
    assert_eq!(places.find("org/name"), None);
    assert_eq!(places.find("smollm2"), None);
}

#[test]
fn models_that_answer_at_once_are_told_by_their_templates() {
    let folder = tempfile::tempdir().unwrap();
    for (name, template, at_once) in [
        ("chat", Some("{{ messages }}"), true),
        ("thinks", Some("<think>{{ messages }}"), false),
        ("base", None, false),
    ] {
        let mut meta = vec![("general.architecture", Meta::from("llama"))];
        meta.extend(template.map(|text| ("tokenizer.chat_template", text.into())));
        let path = folder.path().join(format!("{name}.gguf"));
        put(&path, file_with(&meta));
        assert_eq!(header::look(&path).answers_at_once, at_once, "{name}");
    }
    let model = folder.path().join("folder");
    put(&model.join("chat_template.jinja"), "{{ messages }}");
    assert!(header::look(&model).answers_at_once);
}

#[test]
fn types_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = file_with(&[
        ("general.architecture", "llama".into()),
        ("general.file_type", Meta::U32(12)),
    ]);
    // The tensor's type follows its name, number of dimensions and dimension.
    let name = bytes
        .windows(9)
        .position(|w| w == b"\x01\0\0\0\0\0\0\0x")
        .unwrap();
    bytes[name + 9 + 4 + 8] = 11;
    put(&folder.path().join("q3.gguf"), bytes);
    let places = Places {
        llama_cpp: vec![folder.path().to_owned()],
        ..Places::default()
    };
    let survey = survey(&places);
    let found = at(&survey, "llama.cpp:q3.gguf");
    assert_eq!(found.quantisation.as_deref(), Some("Q3_K_M"));
    assert_eq!(found.architecture.as_deref(), Some("llama"));
    assert!(fault(&survey, "llama.cpp:q3.gguf").contains("cannot be read (Q3_K)"));
}

#[test]
fn llama_cpps_cache_is_its_files_without_their_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let file = "ggml-org_tiny-GGUF_tiny-F32.gguf";
    put(&folder.path().join(file), tiny());
    put(&folder.path().join(format!("{file}.etag")), "\"x\"");
    put(&folder.path().join(format!("{file}.json")), "{}");
    put(&folder.path().join("b.gguf.downloadInProgress"), "half");
    let places = Places {
        llama_cpp: vec![folder.path().to_owned()],
        ..Places::default()
    };
    let survey = survey(&places);
    assert_eq!(names(&survey), [format!("llama.cpp:{file}")]);
    assert!(places.find(&format!("llama.cpp:{file}")).unwrap().is_ok());
}

const HASH: &str = "1111111111111111111111111111111111111111111111111111111111111111";

fn manifest(digest: &str) -> String {
    let layer = |kind: &str, digest: &str| {
        format!(
            "{{\"mediaType\":\"application/vnd.ollama.image.{kind}\",\"digest\":\"{digest}\",\"size\":1}}"
        )
    };
    let layers = [layer("template", "sha256:aa"), layer("model", digest)];
    format!("{{\"schemaVersion\":2,\"layers\":[{}]}}", layers.join(","))
}

#[test]
fn ollamas_manifests_lead_to_their_blobs_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("models");
    let library = root.join("manifests/registry.ollama.ai/library");
    let good = manifest(&format!("sha256:{HASH}"));
    put(&root.join(format!("blobs/sha256-{HASH}")), tiny());
    put(&folder.path().join("secret.gguf"), tiny());
    put(&library.join("tiny/1b"), &good);
    put(&library.join("tiny/latest"), &good);
    put(&root.join("manifests/hf.co/org/Name-GGUF/Q8_0"), &good);
    put(
        &library.join("gone/latest"),
        manifest(&format!("sha256:{}", "2".repeat(64))),
    );
    put(
        &library.join("odd/latest"),
        manifest("sha256:../../secret.gguf"),
    );
    put(&library.join("odd/out"), manifest("../../x"));
    put(&library.join("text/latest"), "no json");
    put(&library.join("list/latest"), "[]");
    put(&library.join("empty/latest"), "{}");
    put(&library.join("long/latest"), vec![b' '; 2 << 20]);
    let places = Places {
        ollama: vec![root.clone()],
        ..Places::default()
    };
    let survey = survey(&places);
    for name in ["tiny:1b", "tiny:latest", "hf.co/org/Name-GGUF:Q8_0"] {
        let found = at(&survey, &format!("ollama:{name}"));
        assert_eq!(found.fault, None, "{name}");
        assert_eq!(found.path, root.join(format!("blobs/sha256-{HASH}")));
        assert_eq!(places.find(&found.name), Some(Ok(found.path.clone())));
    }
    assert!(places.find("ollama:tiny").unwrap().is_ok(), "the latest");
    for (name, why) in [
        ("gone:latest", "missing from Ollama"),
        ("odd:latest", "hash is none"),
        ("odd:out", "hash is none"),
        ("text:latest", "not the JSON"),
        ("list:latest", "names no file"),
        ("empty:latest", "names no file"),
        ("long:latest", "no file of a few KiB"),
    ] {
        let name = format!("ollama:{name}");
        assert!(
            fault(&survey, &name).contains(why),
            "{name}: {}",
            fault(&survey, &name)
        );
        let error = places.find(&name).unwrap().unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    assert!(places.find("ollama:none").unwrap().is_err());
}

/// The folder of a repository in the Hugging Face cache.
fn repository(hub: &Path, kind: &str, id: &str) -> PathBuf {
    hub.join(format!("{kind}/{id}").replace('/', "--"))
}

/// A repository in the Hugging Face cache with one snapshot that `main` points to.
fn snapshot(hub: &Path, id: &str, commit: &str) -> PathBuf {
    let repo = repository(hub, "models", id);
    put(&repo.join("refs/main"), commit);
    repo.join("snapshots").join(commit)
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[test]
fn the_hugging_face_cache_is_used_by_its_ids() {
    let folder = tempfile::tempdir().unwrap();
    let hub = folder.path();
    let ggufs = snapshot(hub, "org/name-GGUF", COMMIT);
    put(&ggufs.join("tiny-F32.gguf"), tiny());
    put(&ggufs.join("sub/tiny-Q8_0.gguf"), tiny());
    let other = ggufs.parent().unwrap().join("fedcba");
    put(&other.join("tiny-F32.gguf"), tiny());
    let whole = snapshot(hub, "org/tiny", COMMIT);
    fs::create_dir_all(&whole).unwrap();
    for file in fs::read_dir(golden("llama")).unwrap().flatten() {
        fs::copy(file.path(), whole.join(file.file_name())).unwrap();
    }
    let half = snapshot(hub, "org/half", COMMIT);
    fs::create_dir_all(&half).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden("llama").join(name), half.join(name)).unwrap();
    }
    let torch = snapshot(hub, "org/torch", COMMIT);
    put(&torch.join("config.json"), "{}");
    put(&torch.join("pytorch_model.bin"), "x");
    put(
        &repository(hub, "datasets", "org/data").join("refs/main"),
        COMMIT,
    );
    put(
        &repository(hub, "models", "bare").join("snapshots/x/a.gguf"),
        tiny(),
    );
    put(&hub.join("version.txt"), "1");

    let places = Places {
        hugging_face: vec![hub.to_owned()],
        ..Places::default()
    };
    let survey = survey(&places);
    assert_eq!(
        names(&survey),
        [
            "org/half",
            "org/name-GGUF:sub/tiny-Q8_0.gguf",
            "org/name-GGUF:tiny-F32.gguf",
            "org/name-GGUF@fedcba:tiny-F32.gguf",
            "org/tiny",
            "org/torch",
        ]
    );
    assert!(fault(&survey, "org/half").contains("tokenizer"));
    assert!(fault(&survey, "org/torch").contains(".bin"));
    // Each that can be opened is found again by its name.
    let found = |id: &str| find_in_hugging_face_cache(hub, &HubId::parse(id).unwrap());
    for model in survey.found.iter().filter(|model| model.fault.is_none()) {
        assert_eq!(found(&model.name), Some(model.path.clone()));
    }
    assert_eq!(
        found("org/name-GGUF:Q8_0"),
        Some(ggufs.join("sub/tiny-Q8_0.gguf"))
    );
    for none in [
        "org/name-GGUF",
        "org/half",
        "org/none",
        "org/name-GGUF:Q4_0",
        "org/tiny@v2",
    ] {
        assert_eq!(found(none), None, "{none}");
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_once_and_never_in_circles() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("models");
    let repo = root.join("pub/repo");
    put(&repo.join("tiny.gguf"), tiny());
    symlink(&root, repo.join("again")).unwrap();
    symlink("self", repo.join("self")).unwrap();
    symlink(folder.path().join("nowhere"), repo.join("dangling.gguf")).unwrap();
    symlink("loop.gguf", repo.join("loop.gguf")).unwrap();
    // A folder on another disk, as people have them.
    let disk = folder.path().join("disk");
    put(&disk.join("repo/far.gguf"), tiny());
    symlink(&disk, root.join("far")).unwrap();
    // As the Hugging Face cache has its files.
    let hub = folder.path().join("hub");
    let snapshot = snapshot(&hub, "org/name", COMMIT);
    put(
        &repository(&hub, "models", "org/name").join("blobs/abc"),
        tiny(),
    );
    fs::create_dir_all(&snapshot).unwrap();
    symlink("../../blobs/abc", snapshot.join("a.gguf")).unwrap();
    symlink("../../blobs/gone", snapshot.join("b.gguf")).unwrap();
    let nameless = snapshot.with_file_name("fedcba9876543210");
    fs::create_dir_all(&nameless).unwrap();
    symlink("../../blobs/gone", nameless.join("a.gguf")).unwrap();
    symlink("../../blobs/gone", nameless.join("c.gguf")).unwrap();

    let places = Places {
        lm_studio: vec![root],
        hugging_face: vec![hub.clone()],
        ..Places::default()
    };
    let survey = survey(&places);
    assert_eq!(at(&survey, "lmstudio:pub/repo/tiny.gguf").fault, None);
    assert_eq!(at(&survey, "lmstudio:far/repo/far.gguf").fault, None);
    assert!(fault(&survey, "lmstudio:pub/repo/dangling.gguf").contains("leads to nothing"));
    assert!(fault(&survey, "lmstudio:pub/repo/loop.gguf").contains("cannot be read"));
    assert_eq!(at(&survey, "org/name:a.gguf").fault, None);
    assert!(fault(&survey, "org/name:b.gguf").contains("leads to nothing"));
    // What is called by a hash and leads nowhere needs no name to open it by.
    let why = fault(&survey, "org/name:c.gguf");
    assert!(why.contains("snapshot fedcba98 leads to nothing"), "{why}");
    assert_eq!(survey.found.len(), 7, "{:?}", names(&survey));
    let id = |text: &str| HubId::parse(text).unwrap();
    let found = |text: &str| find_in_hugging_face_cache(&hub, &id(text));
    assert_eq!(
        found("org/name"),
        Some(snapshot.join("a.gguf")),
        "the only whole one"
    );
    assert_eq!(found("org/name:b.gguf"), None);
}

#[test]
fn thousands_of_files_are_listed_in_time_and_more_are_left_out_with_a_word() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..5000 {
        let repo = folder.path().join(format!("pub{}/repo{}", i % 10, i % 100));
        put(&repo.join(format!("{i}.gguf")), "GGUF");
    }
    let places = Places {
        lm_studio: vec![folder.path().to_owned()],
        ..Places::default()
    };
    let started = Instant::now();
    let patient = Limits {
        time: Duration::from_secs(120),
        ..Limits::default()
    };
    let mut looks = Looks::default();
    let all = places.survey(patient, &mut looks);
    assert_eq!((all.found.len(), all.notes.len()), (5000, 0));
    assert!(started.elapsed() < Duration::from_secs(60));
    let few = Limits {
        entries: 1000,
        ..patient
    };
    let some = places.survey(few, &mut looks);
    assert!(
        (500..1000).contains(&some.found.len()),
        "{}",
        some.found.len()
    );
    assert!(some.notes[0].contains("LM Studio has more than was looked at"));
    let none = Limits {
        time: Duration::ZERO,
        ..patient
    };
    assert_eq!(places.survey(none, &mut looks).found.len(), 0);
}

#[test]
fn a_file_is_looked_at_again_only_where_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.gguf");
    let places = Places {
        llama_cpp: vec![folder.path().to_owned()],
        ..Places::default()
    };
    let mut looks = Looks::default();
    put(&path, "half");
    let before = places.survey(Limits::default(), &mut looks);
    assert!(before.found[0].fault.is_some());
    put(&path, tiny());
    let after = places.survey(Limits::default(), &mut looks);
    assert_eq!(after.found[0].fault, None);
}

/// Where the tests' own user may read everything there is nothing to see.
#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_read_is_told_and_the_others_are_listed() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    put(&closed.join("x.gguf"), tiny());
    put(&folder.path().join("open/y.gguf"), tiny());
    let allow = |mode| fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();
    allow(0o000);
    let may_read_all = fs::read_dir(&closed).is_ok();
    let places = Places {
        lm_studio: vec![folder.path().to_owned()],
        ..Places::default()
    };
    let survey = survey(&places);
    allow(0o755);
    assert_eq!(at(&survey, "lmstudio:open/y.gguf").fault, None);
    assert_eq!(survey.notes.is_empty(), may_read_all, "{:?}", survey.notes);
    for note in &survey.notes {
        assert!(note.contains("closed: you may not read it"), "{note}");
    }
}
