mod damage;

use std::path::Path;

use super::writer::{GgufWriter, Meta, WriteError};
use super::*;
use crate::model::mapping::map_of;

const PATH: &str = "models/odd.gguf";

fn read(bytes: &[u8]) -> Result<Gguf, ModelError> {
    Gguf::from_map(Path::new(PATH), map_of(bytes))
}

/// The message of a file that must be refused, in one line that names the file.
fn refusal(bytes: &[u8]) -> String {
    let message = read(bytes).err().expect("a refusal").to_string();
    assert!(message.starts_with(PATH), "{message}");
    assert!(!message.contains(char::is_control), "{message:?}");
    message
}

fn every_meta() -> Vec<(&'static str, Meta)> {
    vec![
        ("general.architecture", Meta::from("llama")),
        ("u8", Meta::U8(200)),
        ("i8", Meta::I8(-3)),
        ("u16", Meta::U16(60_000)),
        ("i16", Meta::I16(-300)),
        ("u32", Meta::U32(4_000_000_000)),
        ("i32", Meta::I32(-70_000)),
        ("f32", Meta::F32(0.5)),
        ("bool", Meta::Bool(true)),
        ("u64", Meta::U64(1 << 60)),
        ("i64", Meta::I64(-1 << 60)),
        ("f64", Meta::F64(1e300)),
        (
            "texts",
            Meta::Array(vec!["a".into(), "".into(), "é\n".into()]),
        ),
        ("none", Meta::Array(vec![])),
        ("numbers", Meta::Array(vec![Meta::I32(-1), Meta::I32(7)])),
        (
            "truths",
            Meta::Array(vec![Meta::Bool(false), Meta::Bool(true)]),
        ),
        (
            "nested",
            Meta::Array(vec![
                Meta::Array(vec![Meta::U8(1), Meta::U8(2)]),
                Meta::Array(vec![Meta::U8(3)]),
            ]),
        ),
    ]
}

/// A file with every kind of metadata and three tensors.
fn sample() -> Vec<u8> {
    let mut writer = GgufWriter::new();
    for (key, value) in every_meta() {
        writer.set(key, value).unwrap();
    }
    writer.announce("a", DType::F32, &[3]).unwrap();
    writer.announce("b", DType::Q8_0, &[2, 32]).unwrap();
    writer.announce("c", DType::F16, &[2, 3, 4]).unwrap();
    let mut data = writer.begin(Vec::new()).unwrap();
    data.tensor(&[1; 12]).unwrap();
    data.tensor(&[2; 68]).unwrap();
    data.tensor(&[3; 48]).unwrap();
    data.finish().unwrap()
}

/// A file of one tensor, whose parts a test can spoil.
struct Raw {
    version: u32,
    tensors: u64,
    keys: u64,
    metadata: Vec<u8>,
    infos: Vec<u8>,
}

impl Raw {
    fn new() -> Self {
        Raw {
            version: 3,
            tensors: 1,
            keys: 0,
            metadata: Vec::new(),
            infos: info("t", &[32, 2], 0, 0),
        }
    }

    /// With 256 bytes for tensors.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.tensors.to_le_bytes());
        bytes.extend(self.keys.to_le_bytes());
        bytes.extend(&self.metadata);
        bytes.extend(&self.infos);
        bytes.resize(bytes.len().next_multiple_of(32) + 256, 0);
        bytes
    }

    fn with_infos(infos: &[Vec<u8>]) -> Vec<u8> {
        let tensors = infos.len() as u64;
        let infos = infos.concat();
        Raw {
            tensors,
            infos,
            ..Raw::new()
        }
        .bytes()
    }

    fn with_metadata(pairs: &[(&[u8], u32, &[u8])]) -> Vec<u8> {
        let mut metadata = Vec::new();
        for (key, kind, value) in pairs {
            metadata.extend(text(key));
            metadata.extend(kind.to_le_bytes());
            metadata.extend(*value);
        }
        Raw {
            keys: pairs.len() as u64,
            metadata,
            ..Raw::new()
        }
        .bytes()
    }
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_le_bytes(), bytes].concat()
}

/// A tensor's entry, its dimensions innermost first as in the file.
fn info(name: &str, dimensions: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut bytes = text(name.as_bytes());
    bytes.extend((dimensions.len() as u32).to_le_bytes());
    dimensions
        .iter()
        .for_each(|d| bytes.extend(d.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

#[test]
fn what_the_writer_writes_the_reader_reads() {
    let file = read(&sample()).unwrap();
    assert_eq!(file.metadata.len(), every_meta().len());
    assert_eq!(file.get_u64("u8").unwrap(), Some(200));
    assert_eq!(file.metadata["i8"], Value::Signed(-3));
    assert_eq!(file.get_u64("u16").unwrap(), Some(60_000));
    assert_eq!(file.metadata["i16"], Value::Signed(-300));
    assert_eq!(file.get_u64("u32").unwrap(), Some(4_000_000_000));
    assert_eq!(file.metadata["i32"], Value::Signed(-70_000));
    assert_eq!(file.get_f64("f32").unwrap(), Some(0.5));
    assert_eq!(file.get_bool("bool").unwrap(), Some(true));
    assert_eq!(file.get_u64("u64").unwrap(), Some(1 << 60));
    assert_eq!(file.metadata["i64"], Value::Signed(-1 << 60));
    assert_eq!(file.get_f64("f64").unwrap(), Some(1e300));
    let array = |key: &str| file.get_array(key).unwrap().unwrap();
    let texts: Vec<_> = array("texts").strings().unwrap().collect();
    assert_eq!(texts, ["a", "", "é\n"]);
    assert!(array("numbers").strings().is_none());
    assert!(array("none").is_empty());
    assert_eq!(array("numbers").f64s().unwrap(), [-1.0, 7.0]);
    assert_eq!(array("numbers").u64s(), None);
    let truths: Vec<_> = array("truths").iter().collect();
    assert_eq!(truths, [Value::Bool(false), Value::Bool(true)]);
    let nested: Vec<_> = array("nested")
        .iter()
        .map(|inner| inner.as_array().unwrap().u64s().unwrap())
        .collect();
    assert_eq!(nested, [vec![1, 2], vec![3]]);
    for (name, dtype, shape, fill) in [
        ("a", DType::F32, (1, 3), 1),
        ("b", DType::Q8_0, (2, 32), 2),
        ("c", DType::F16, (6, 4), 3),
    ] {
        let tensor = file.tensor(name).unwrap();
        assert_eq!((tensor.dtype, (tensor.rows, tensor.cols)), (dtype, shape));
        assert!(tensor.range.start.is_multiple_of(32));
        assert!(tensor.bytes().iter().all(|b| *b == fill), "{name}");
    }
}

#[test]
fn the_writer_refuses_what_no_reader_would_read() {
    let mut writer = GgufWriter::new();
    let mixed = Meta::Array(vec![Meta::U8(1), Meta::Bool(true)]);
    assert!(matches!(
        writer.set("k", mixed),
        Err(WriteError::Invalid { .. })
    ));
    assert!(writer.set("", Meta::U8(1)).is_err());
    assert!(writer.announce("w", DType::U32, &[4]).is_err());
    assert!(writer.announce("w", DType::Q4_0, &[4, 31]).is_err());
    assert!(writer.announce("w", DType::F32, &[]).is_err());
    assert!(writer.announce("w", DType::F32, &[2, 0]).is_err());
    assert!(writer.announce("w", DType::F32, &[usize::MAX, 2]).is_err());
    writer.announce("w", DType::F32, &[4]).unwrap();
    assert!(writer.announce("w", DType::F32, &[4]).is_err());
    let mut data = writer.begin(Vec::new()).unwrap();
    assert!(data.tensor(&[0; 15]).is_err());
    assert!(
        data.finish().is_ok(),
        "a refused tensor is not asked for again"
    );
    let mut writer = GgufWriter::new();
    writer.announce("w", DType::F32, &[4]).unwrap();
    assert!(writer.begin(Vec::new()).unwrap().finish().is_err());
}

#[test]
fn other_files_are_named_for_what_they_are() {
    for (bytes, expected) in [
        (&b""[..], "empty"),
        (b"GG", "not a GGUF file"),
        (b"PK\x03\x04....", "not a GGUF file (it begins with \"PK"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "Git LFS pointer",
        ),
        (b"<!DOCTYPE html>", "web page"),
        (b"tjgg\x03\0\0\0", "before GGUF"),
        (b"GGUF", "version"),
        (b"GGUF\x01\0\0\0", "version: is 1"),
        (b"GGUF\0\0\0\x03", "big-endian"),
        (b"GGUF\x09\0\0\0", "version: is 9"),
    ] {
        let message = refusal(bytes);
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[test]
fn absurd_headers_are_refused_by_the_field() {
    let file = |change: &dyn Fn(&mut Raw)| {
        let mut raw = Raw::new();
        change(&mut raw);
        raw.bytes()
    };
    let array = |kind: u32, count: u64| [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat();
    let deep = [
        array(9, 1),
        array(9, 1),
        array(9, 1),
        array(9, 1),
        array(0, 0),
    ]
    .concat();
    let long_name = "n".repeat(2000);
    assert!(read(&file(&|_| {})).is_ok());
    for (bytes, expected) in [
        (file(&|f| f.tensors = u64::MAX), "tensor_count"),
        (file(&|f| f.tensors = 2), "tensor '': has 0 dimensions"),
        (file(&|f| f.keys = u64::MAX / 13), "metadata_kv_count"),
        (
            Raw::with_metadata(&[(b"k", 13, &[])]),
            "k: has the unknown type 13",
        ),
        (
            Raw::with_metadata(&[(b"k", 7, &[2])]),
            "k: is a truth value of 2",
        ),
        (
            Raw::with_metadata(&[(b"k", 8, &u64::MAX.to_le_bytes())]),
            "k: counts",
        ),
        (
            Raw::with_metadata(&[(b"k", 8, &text(&[0xff]))]),
            "k: is not UTF-8",
        ),
        (
            Raw::with_metadata(&[(b"\xff", 0, &[1])]),
            "metadata key 0: is not UTF-8",
        ),
        (
            Raw::with_metadata(&[(b"k", 9, &array(10, u64::MAX))]),
            "k: counts",
        ),
        (
            Raw::with_metadata(&[(b"k", 9, &array(6, 1 << 62))]),
            "k: counts",
        ),
        (
            Raw::with_metadata(&[(b"k", 9, &array(14, 1))]),
            "k: has the unknown type",
        ),
        (Raw::with_metadata(&[(b"k", 9, &deep)]), "k: nests"),
        (
            Raw::with_metadata(&[(b"k", 0, &[1]), (b"k", 0, &[1])]),
            "k: appears twice",
        ),
        (
            Raw::with_metadata(&[(b"general.alignment", 4, &[0; 4])]),
            "general.alignment",
        ),
        (
            Raw::with_metadata(&[(b"general.alignment", 4, &[3, 0, 0, 0])]),
            "general.alignment",
        ),
        (
            Raw::with_metadata(&[(b"general.alignment", 4, &[0, 0, 0, 64])]),
            "general.alignment",
        ),
        (
            Raw::with_metadata(&[(b"a\x1b[31m\n", 13, &[])]),
            "a\\u{1b}[31m\\n: has",
        ),
        (
            Raw::with_infos(&[info(&long_name, &[32], 0, 0)]),
            "name of tensor 0: takes 2000",
        ),
        (
            Raw::with_infos(&[info("t", &[], 0, 0)]),
            "'t': has 0 dimensions",
        ),
        (
            Raw::with_infos(&[info("t", &[1; 5], 0, 0)]),
            "'t': has 5 dimensions",
        ),
        (
            Raw::with_infos(&[info("t", &[0, 2], 0, 0)]),
            "'t': has a dimension of 0",
        ),
        (
            Raw::with_infos(&[info("t", &[4, u64::MAX], 0, 0)]),
            "'t': has a dimension of",
        ),
        (
            Raw::with_infos(&[info("t", &[4, 1 << 39, 1 << 39], 0, 0)]),
            "'t': has more elements",
        ),
        (
            Raw::with_infos(&[info("t", &[1 << 39, 1 << 39], 0, 0)]),
            "'t': its 549755813888 x",
        ),
        (
            Raw::with_infos(&[info("t", &[33], 8, 0)]),
            "'t': its rows of 33",
        ),
        (
            Raw::with_infos(&[info("t", &[32], 12, 0)]),
            "'t': its rows of 32",
        ),
        (
            Raw::with_infos(&[info("t", &[256], 10, 0)]),
            "'t': has type 10 (Q2_K)",
        ),
        (
            Raw::with_infos(&[info("t", &[4], 4, 0)]),
            "'t': has type 4 (unknown)",
        ),
        (
            Raw::with_infos(&[info("t", &[4], 0, 8)]),
            "'t': its offset 8",
        ),
        (
            Raw::with_infos(&[info("t", &[4], 0, 256)]),
            "'t': its 1 x 4 elements at offset 256",
        ),
        (
            Raw::with_infos(&[info("t", &[4], 0, !31)]),
            "'t': its 1 x 4 elements at",
        ),
        (
            Raw::with_infos(&[info("t", &[4], 0, 0), info("t", &[4], 0, 32)]),
            "'t': appears twice",
        ),
        (
            Raw::with_infos(&[info("s", &[4], 0, 32), info("t", &[9], 0, 0)]),
            "'s': overlaps tensor 't'",
        ),
        (
            Raw::with_infos(&[info("s", &[4], 0, 0), info("t", &[4], 0, 0)]),
            "'t': overlaps tensor 's'",
        ),
    ] {
        let message = refusal(&bytes);
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[test]
fn every_truncation_is_an_error() {
    let whole = sample();
    let end = read(&whole)
        .unwrap()
        .tensors()
        .map(|t| t.range.end)
        .max()
        .unwrap();
    for len in 0..end {
        let message = refusal(&whole[..len]);
        let hints = ["truncated", "not a GGUF file", "empty"];
        assert!(
            hints.iter().any(|h| message.contains(h)),
            "{len}: {message}"
        );
    }
}
