//! Damaged files: whatever is in them, reading ends, in an error that names the file or in a model.

use proptest::prelude::*;

use super::*;

/// Reads everything that a file lets itself be opened with.
fn walk(file: &Gguf) {
    fn all(value: &Value) -> usize {
        match value {
            Value::Array(array) => array.iter().map(|v| all(&v)).sum(),
            _ => 1,
        }
    }
    for value in file.metadata.values() {
        all(value);
        if let Value::Array(array) = value {
            assert_eq!(array.iter().count(), array.len());
        }
    }
    for tensor in file.tensors() {
        let bytes = tensor.dtype.row_bytes(tensor.cols).unwrap() * tensor.rows;
        assert_eq!(tensor.bytes().len(), bytes);
    }
}

fn survives(bytes: &[u8]) {
    match read(bytes) {
        Ok(file) => {
            walk(&file);
            if let Err(error) = crate::model::config::ModelConfig::from_gguf(&file) {
                assert!(error.to_string().starts_with(PATH), "{error}");
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.starts_with(PATH), "{message}");
            assert!(
                message.len() < 2000 && !message.contains(char::is_control),
                "{message:?}"
            );
        }
    }
}

/// Numbers that break sums, products and casts.
fn nasty() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(u64::MAX),
        Just(i64::MAX as u64),
        (0u32..64).prop_map(|bit| 1 << bit),
        (0u32..64).prop_map(|bit| (1u64 << bit).wrapping_sub(1)),
        0u64..300,
        any::<u64>(),
    ]
}

fn a_model() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny/gemma3.gguf");
    std::fs::read(path).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn random_bytes_after_the_magic(tail in prop::collection::vec(any::<u8>(), 0..400)) {
        survives(&[&b"GGUF\x03\0\0\0"[..], &tail].concat());
    }

    #[test]
    fn flipped_bytes(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = sample();
        for (at, byte) in &edits {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        survives(&bytes);
    }

    #[test]
    fn absurd_numbers_anywhere(at in any::<prop::sample::Index>(), number in nasty()) {
        let mut bytes = sample();
        let at = at.index(bytes.len() - 8);
        bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        survives(&bytes);
    }

    #[test]
    fn any_tensor_directory(
        entries in prop::collection::vec(
            ("[a-c]{0,2}", prop::collection::vec(nasty(), 0..6), 0u32..45, nasty()), 0..6),
        count in prop::option::of(nasty()),
    ) {
        let infos: Vec<_> = entries.iter().map(|(n, d, k, o)| info(n, d, *k, *o)).collect();
        let tensors = count.unwrap_or(infos.len() as u64);
        survives(&Raw { tensors, infos: infos.concat(), ..Raw::new() }.bytes());
    }

    #[test]
    fn spliced_files(
        cut in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        len in 0usize..200,
    ) {
        let bytes = sample();
        let (cut, from) = (cut.index(bytes.len()), from.index(bytes.len()));
        let piece = &bytes[from..bytes.len().min(from + len)];
        survives(&[&bytes[..cut], piece, &bytes[cut..]].concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_real_header_with_absurd_numbers(at in any::<prop::sample::Index>(), number in nasty()) {
        let mut bytes = a_model();
        let header = read(&bytes).unwrap().tensors().map(|t| t.range.start).min().unwrap();
        let at = at.index(header);
        bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        survives(&bytes);
    }

    #[test]
    fn what_is_written_is_read(
        texts in prop::collection::vec(".{0,12}", 0..5),
        shapes in prop::collection::vec((0usize..11, 1usize..4, 1usize..3), 0..5),
    ) {
        let mut writer = GgufWriter::new();
        let array = texts.iter().map(|t| Meta::from(t.as_str())).collect();
        writer.set("texts", Meta::Array(array)).unwrap();
        let mut expected = Vec::new();
        for (i, (dtype, rows, blocks)) in shapes.iter().enumerate() {
            let dtype = DType::WEIGHTS[*dtype];
            let cols = dtype.block_len() * blocks;
            writer.announce(&format!("t{i}"), dtype, &[*rows, cols]).unwrap();
            expected.push((dtype, *rows, cols));
        }
        let mut data = writer.begin(Vec::new()).unwrap();
        for (i, (dtype, rows, cols)) in expected.iter().enumerate() {
            data.tensor(&vec![i as u8; dtype.row_bytes(*cols).unwrap() * rows]).unwrap();
        }
        let file = read(&data.finish().unwrap()).unwrap();
        let found: Vec<_> = file.get_array("texts").unwrap().unwrap().strings().unwrap().collect();
        prop_assert_eq!(found, texts);
        for (i, shape) in expected.iter().enumerate() {
            let tensor = file.tensor(&format!("t{i}")).unwrap();
            prop_assert_eq!(&(tensor.dtype, tensor.rows, tensor.cols), shape);
            prop_assert!(tensor.bytes().iter().all(|b| *b == i as u8));
        }
    }
}
