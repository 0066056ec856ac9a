use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::engine::DType;
use crate::model::mapping::map_of;
use crate::model::weights::WeightFile;

const PATH: &str = "models/odd.safetensors";

fn read(bytes: &[u8]) -> Result<Vec<TensorBytes>, ModelError> {
    header::tensors(Path::new(PATH), &map_of(bytes))
}

fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 7);
    bytes
}

const SAMPLE: &str = r#"{"__metadata__":{"format":"pt"},
    "b":{"dtype":"BF16","shape":[2,3,4],"data_offsets":[16,64]},
    "a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},
    "scalar":{"dtype":"F16","shape":[],"data_offsets":[64,66]},
    "mask":{"dtype":"I64","shape":[1],"data_offsets":[66,74]}}"#;

#[test]
fn tensors_are_found_where_the_header_says() {
    let tensors = read(&file(SAMPLE, 74)).unwrap();
    let found: Vec<_> = tensors
        .iter()
        .map(|t| (t.name.as_str(), t.dtype, t.rows, t.cols, t.bytes().len()))
        .collect();
    let expected = [
        ("a", DType::F32, 1, 4, 16),
        ("b", DType::BF16, 6, 4, 48),
        ("scalar", DType::F16, 1, 1, 2),
    ];
    assert_eq!(found, expected);
    assert_eq!(tensors[0].range.start, 8 + SAMPLE.len());
}

#[test]
fn absurd_headers_are_refused_by_the_tensor() {
    let one = |dtype: &str, shape: &str, offsets: &str| {
        let entry =
            format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#);
        file(&entry, 64)
    };
    let two = |first: &str, second: &str| {
        let entry = |name: &str, offsets: &str| {
            format!(r#""{name}":{{"dtype":"F32","shape":[4],"data_offsets":{offsets}}}"#)
        };
        file(
            &format!("{{{},{}}}", entry("s", first), entry("t", second)),
            64,
        )
    };
    // Eight tensors whose sizes add up to 2^64, past which the sum starts from 0 again.
    let wraps: Vec<_> = (0..8u64)
        .map(|i| {
            let (start, end) = (i << 61, (i + 1).checked_shl(61).filter(|_| i < 7));
            let end = end.unwrap_or(u64::MAX);
            format!(
                r#""t{i}":{{"dtype":"F32","shape":[{}],"data_offsets":[{start},{end}]}}"#,
                1u64 << 59
            )
        })
        .collect();
    for (bytes, expected) in [
        (b"".to_vec(), "too short"),
        (vec![1, 2, 3], "too short"),
        (vec![0xff; 64], "its header takes"),
        (
            b"version https://git-lfs.github.com/spec/v1".to_vec(),
            "Git LFS",
        ),
        (b"<html><body>404</body></html>".to_vec(), "web page"),
        (file("{", 0), "header is damaged"),
        (file("[]", 0), "header is damaged"),
        (file(&"[".repeat(100_000), 0), "header is damaged"),
        (
            file(
                r#"{"t":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
                4,
            ),
            "damaged",
        ),
        (file(r#"{"t":{"dtype":"F32","shape":[1]}}"#, 4), "damaged"),
        (one("F32", "[16]", "[0,65]"), "'t': its bytes 0 to 65"),
        (one("F32", "[16]", "[64,0]"), "'t': its bytes 64 to 0"),
        (one("F32", "[15]", "[0,64]"), "'t': its shape [15]"),
        (
            one("I8", "[1]", "[0,18446744073709551615]"),
            "'t': its bytes 0 to",
        ),
        (
            one("F32", "[4611686018427387904,16]", "[0,64]"),
            "'t': its shape",
        ),
        (
            one("F32", "[4294967296,4294967296,2,16]", "[0,64]"),
            "'t': has the absurd shape",
        ),
        (two("[0,16]", "[0,16]"), "overlaps tensor"),
        (two("[0,16]", "[8,24]"), "'t': overlaps tensor 's'"),
        (
            file(
                r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"t":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
                8,
            ),
            "'t': appears twice",
        ),
        (
            file(&format!("{{{}}}", wraps.join(",")), 64),
            "'t0': its bytes",
        ),
    ] {
        let message = read(&bytes).err().expect("a refusal").to_string();
        assert!(message.starts_with(PATH), "{message}");
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

fn tiny(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/tiny")
        .join(name)
}

/// A folder with the sharded tiny model, for a test to spoil.
fn shards() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(tiny("llama3")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

fn refusal(folder: &Path) -> String {
    WeightFile::open(folder)
        .err()
        .expect("a refusal")
        .to_string()
}

#[test]
fn shards_are_read_as_one() {
    let file = WeightFile::open(&tiny("llama3")).unwrap();
    assert!(file.tensor("lm_head.weight").is_some());
    assert!(file.tensor("model.layers.1.mlp.down_proj.weight").is_some());
    assert_eq!(file.tensors().count(), 21);
    assert_eq!(file.total_bytes(), 205_440);
}

#[test]
fn spoiled_folders_are_refused_by_what_is_wrong() {
    let with_index = |text: &str| {
        let folder = shards();
        std::fs::write(folder.path().join(INDEX), text).unwrap();
        (refusal(folder.path()), folder)
    };
    for outside in [
        "../model.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "..",
        "",
        "c:\\\\x.safetensors",
        "model.bin",
        "./model.safetensors",
    ] {
        let (message, _) = with_index(&format!(r#"{{"weight_map":{{"w":"{outside}"}}}}"#));
        assert!(
            message.contains("'w': does not name"),
            "{outside}: {message}"
        );
    }
    for (text, expected) in [
        ("{", "not valid JSON"),
        ("{}", "weight_map: is missing"),
        (r#"{"weight_map":{"w":3}}"#, "'w': does not name a file"),
        (r#"{"weight_map":{}}"#, "names no file"),
        (
            r#"{"weight_map":{"w":"gone.safetensors"}}"#,
            "gone.safetensors: does not exist",
        ),
    ] {
        let (message, _) = with_index(text);
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let folder = shards();
    let [first, second] = [1, 2].map(|i| {
        folder
            .path()
            .join(format!("model-0000{i}-of-00002.safetensors"))
    });
    std::fs::copy(&first, &second).unwrap();
    assert!(refusal(folder.path()).contains("is in another file of this folder"));
    std::fs::remove_file(&second).unwrap();
    assert!(refusal(folder.path()).contains("00002-of-00002.safetensors: does not exist"));
    std::fs::remove_file(folder.path().join(INDEX)).unwrap();
    std::fs::copy(&first, &second).unwrap();
    assert!(refusal(folder.path()).contains("no model.safetensors.index.json"));
}

#[test]
fn folders_are_told_apart_by_what_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert!(refusal(path).contains("neither config.json nor a .gguf"));
    assert!(refusal(&path.join("gone.gguf")).contains("gone.gguf: does not exist"));
    std::fs::write(path.join("config.json"), "{}").unwrap();
    assert!(refusal(path).contains("no .safetensors file"));
    std::fs::copy(tiny("llama.gguf"), path.join("a.gguf")).unwrap();
    assert!(matches!(WeightFile::open(path), Ok(WeightFile::Gguf(_))));
    std::fs::copy(tiny("llama.gguf"), path.join("b.gguf")).unwrap();
    assert!(refusal(path).contains("several .gguf files"));
    let weights = path.join("weights.safetensors");
    std::fs::copy(tiny("llama/model.safetensors"), &weights).unwrap();
    assert!(refusal(&weights).contains("pass the folder"));
    // A lone file may have another name.
    let file = WeightFile::open(path).unwrap();
    assert!(matches!(file, WeightFile::Safetensors(_)));
    let error = file.config().err().unwrap().to_string();
    assert!(
        error.contains("config.json: model_type: is missing"),
        "{error}"
    );
    std::fs::remove_file(path.join("config.json")).unwrap();
    std::fs::remove_file(path.join("a.gguf")).unwrap();
    std::fs::remove_file(path.join("b.gguf")).unwrap();
    assert!(refusal(path).contains("no config.json"));
}

#[test]
fn names_are_found_with_any_prefix() {
    for prefix in [
        "",
        "model.",
        "language_model.model.",
        "model.language_model.",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let header = format!(
            r#"{{"{prefix}norm.weight":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}}}"#
        );
        std::fs::write(folder.path().join(SINGLE), file(&header, 8)).unwrap();
        let checkpoint = SafetensorsFolder::open(folder.path()).unwrap();
        assert!(checkpoint.tensor("model.norm.weight").is_some(), "{prefix}");
        assert!(
            checkpoint.tensor("model.other.weight").is_none(),
            "{prefix}"
        );
    }
}

fn survives(bytes: &[u8]) {
    match read(bytes) {
        Ok(tensors) => {
            for tensor in tensors {
                let row = tensor.dtype.row_bytes(tensor.cols).unwrap();
                assert_eq!(tensor.bytes().len(), row * tensor.rows);
            }
        }
        Err(error) => assert!(error.to_string().starts_with(PATH), "{error}"),
    }
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..80,
        (0u32..64).prop_map(|b| 1 << b),
        any::<u64>(),
        Just(u64::MAX)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes(len in number(), tail in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(&[&len.to_le_bytes()[..], &tail].concat());
    }

    #[test]
    fn flipped_and_cut(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        len in any::<prop::sample::Index>(),
    ) {
        let mut bytes = file(SAMPLE, 74);
        for (at, byte) in &edits {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        survives(&bytes);
        survives(&bytes[..len.index(bytes.len())]);
    }

    #[test]
    fn any_directory(
        entries in prop::collection::vec(
            ("[a-c]{0,2}", prop::sample::select(vec!["F32", "F16", "BF16", "I8", "F8_E4M3", "?"]),
             prop::collection::vec(number(), 0..5), number(), number()), 0..5),
    ) {
        let entries: Vec<_> = entries.iter().map(|(name, dtype, shape, start, end)| {
            format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#)
        }).collect();
        survives(&file(&format!("{{{}}}", entries.join(",")), 64));
    }
}
