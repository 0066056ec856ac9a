//! Changes to bytes, texts, JSON and archives, the same for the same numbers.

use std::io::{Cursor, Write};

use serde_json::{Map, Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Numbers that look random (Steele, Lea and Flood's SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn of(seed: u64, kind: &str, case: usize) -> Random {
        let mut random = Random(seed ^ (case as u64).wrapping_mul(0x2545_F491_4F6C_DD1D));
        for byte in kind.bytes() {
            random.0 = random.next() ^ u64::from(byte);
        }
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to below `end`; 0 for an empty range.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// Mostly few.
    fn few(&mut self) -> usize {
        1 + self.below(4) * self.below(4)
    }
}

const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483648",
    "4294967295",
    "4000000000",
    "9007199254740993",
    "18446744073709551615",
    "99999999999999999999",
    "1e308",
    "-0.0",
    "1e-320",
];

/// Changes a few places of some bytes, mostly of the first `front` of them. `words` are those that
/// mean something there.
pub fn bytes(random: &mut Random, bytes: &mut Vec<u8>, front: usize, words: &[&str]) {
    for _ in 0..random.few() {
        let reach = if random.one_in(5) {
            bytes.len()
        } else {
            bytes.len().min(front)
        };
        let at = random.below(reach);
        let end = (at + 1 + random.below(40)).min(bytes.len());
        match random.below(11) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.next() as u8,
            2 => drop(bytes.drain(at.min(end)..end)),
            3 => bytes.insert(at, random.next() as u8),
            4 => {
                let piece = bytes[at.min(end)..end].to_vec();
                let times = if random.one_in(20) {
                    20_000
                } else {
                    1 + random.below(8)
                };
                insert(bytes, at, &piece.repeat(times));
            }
            5 => insert(bytes, at, random.pick(&NUMBERS).as_bytes()),
            6 if !words.is_empty() => {
                let word = random.pick(words).as_bytes();
                let times = if random.one_in(50) { 5_000 } else { 1 };
                insert(bytes, at, &word.repeat(times));
            }
            7 => change_number(random, bytes, at),
            8 => {
                let value =
                    random.pick(&[&0_u64, &1, &0x7FFF_FFFF, &u64::MAX, &(1 << 40), &(1 << 63)]);
                let width = random.pick(&[&2_usize, &4, &8]);
                for (byte, new) in bytes
                    .iter_mut()
                    .skip(at)
                    .zip(&value.to_le_bytes()[..*width])
                {
                    *byte = *new;
                }
            }
            9 => {
                let from = random.below(bytes.len());
                let until = (from + random.below(200)).min(bytes.len());
                let piece = bytes[from..until].to_vec();
                insert(bytes, at, &piece);
            }
            _ if random.one_in(8) => bytes.truncate(at),
            _ => {}
        }
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let at = at.min(bytes.len());
    bytes.splice(at..at, piece.iter().copied());
}

/// Puts another number in the place of one that stands after `from`.
fn change_number(random: &mut Random, bytes: &mut Vec<u8>, from: usize) {
    let Some(start) = bytes.iter().skip(from).position(u8::is_ascii_digit) else {
        return;
    };
    let start = from + start;
    let digits = bytes[start..].iter().take_while(|b| b.is_ascii_digit());
    let end = start + digits.count();
    bytes.splice(start..end, random.pick(&NUMBERS).bytes());
}

/// Changes a few values of a JSON text: whole ones, so that most of what comes out is JSON.
pub fn json_text(random: &mut Random, text: &[u8], words: &[&str]) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(text).map_err(drop) else {
        return text.to_vec();
    };
    for _ in 0..random.few() {
        json_value(random, &mut value, words);
    }
    let mut out = value.to_string().into_bytes();
    if random.one_in(6) {
        bytes(random, &mut out, usize::MAX, words);
    }
    out
}

fn json_value(random: &mut Random, value: &mut Value, words: &[&str]) {
    // Down to a place that is chosen on the way.
    match value {
        Value::Object(fields) if !fields.is_empty() && !random.one_in(12) => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            let key = &keys[random.below(keys.len())];
            match random.below(14) {
                0 => drop(fields.remove(key)),
                1 => drop(fields.insert(
                    random.pick(&["x", "version", "__proto__", ""]).to_owned(),
                    json!(1),
                )),
                2 => {
                    let other = fields[&keys[random.below(keys.len())]].clone();
                    fields[key] = other;
                }
                _ => json_value(random, &mut fields[key], words),
            }
        }
        Value::Array(items) if !items.is_empty() && !random.one_in(12) => {
            let at = random.below(items.len());
            match random.below(14) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                2 => {
                    let other = random.below(items.len());
                    items.swap(at, other);
                }
                _ => json_value(random, &mut items[at], words),
            }
        }
        leaf => *leaf = other_leaf(random, leaf, words),
    }
}

fn other_leaf(random: &mut Random, leaf: &Value, words: &[&str]) -> Value {
    match random.below(12) {
        0 => Value::Null,
        1 => json!(random.one_in(2)),
        2 => json!([]),
        3 => Value::Object(Map::new()),
        4 => json!("../../../etc/passwd"),
        5 => json!("\u{1b}[31m\u{202e}evil\u{0}"),
        6 => (0..100).fold(leaf.clone(), |inner, _| json!([inner])),
        7 if !words.is_empty() => json!(random.pick(words)),
        8 => json!("a".repeat(1 << random.below(18))),
        _ => {
            let number = random.pick(&NUMBERS);
            let small = json!(random.below(300));
            serde_json::from_str(number)
                .ok()
                .filter(|_| !random.one_in(3))
                .unwrap_or(small)
        }
    }
}

/// Parts of an archive, as names and what they hold.
pub type Parts = Vec<(String, Vec<u8>)>;

/// An archive of parts of which some were changed, or whose own bytes were.
pub fn archive(random: &mut Random, parts: &Parts, words: &[&str]) -> Vec<u8> {
    let mut parts = parts.clone();
    let raw = random.one_in(4);
    if !raw {
        for _ in 0..random.few() {
            let at = random.below(parts.len());
            match random.below(12) {
                0 if parts.len() > 1 => drop(parts.remove(at)),
                1 => {
                    let other = parts[random.below(parts.len())].1.clone();
                    parts[at].1 = other;
                }
                2 => parts[at].0 = "../".to_owned() + &parts[at].0,
                _ => bytes(random, &mut parts[at].1, usize::MAX, words),
            }
        }
    }
    let method = random.pick(&[&CompressionMethod::Stored, &CompressionMethod::Deflated]);
    let mut out = zipped(&parts, *method);
    if raw {
        bytes(
            random,
            &mut out,
            usize::MAX,
            &["PK\x03\x04", "PK\x01\x02", "PK\x05\x06"],
        );
    }
    out
}

fn zipped(parts: &Parts, method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in parts {
        // Two parts of one name cannot be.
        if zip.start_file(name.as_str(), options).is_ok() {
            zip.write_all(bytes).expect("memory");
        }
    }
    zip.finish().expect("an archive").into_inner()
}
