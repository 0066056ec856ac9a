//! Key-value retrieval as GradMem's authors publish it (arXiv 2603.13875): a context is pairs of
//! two-character keys and values, `!KK:VV!` each, and a bar; a question is `?!KK:` and its answer
//! `VV!|`, of which the value counts. Keys are apart within a context, values free.

use std::collections::BTreeMap;

use rand_pcg::Pcg64Mcg;
use serde_json::json;

use super::{OwnTokenizer, Task};
use crate::model::draws::{below, shuffle};
use crate::model::model_file::Model;
use crate::train::episode::{Question, Sample};
use crate::train::error::TrainError;
use crate::train::settings::doubling;
use crate::words::counted;

/// Ids before the letters: padding, beginning, end, unknown.
const SPECIAL: [&str; 4] = ["[PAD]", "[BOS]", "[EOS]", "[UNK]"];
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const SIGNS: &str = "!?:|";
const FIRST_LETTER: u32 = SPECIAL.len() as u32;
const COUNT: u64 = LETTERS.len() as u64;
const EDGE: u32 = FIRST_LETTER + LETTERS.len() as u32;
const ASK: u32 = EDGE + 1;
const IS: u32 = EDGE + 2;
const END: u32 = EDGE + 3;

/// Pairs where no number is asked for.
const USUAL: usize = 8;
/// The most pairs of a context: keys there are.
pub const MOST_PAIRS: usize = (COUNT * COUNT) as usize;

/// The published task.
pub struct KeyValue;

impl KeyValue {
    /// The characters of some ids.
    pub fn text(ids: &[u32]) -> String {
        let all: Vec<char> = LETTERS.chars().chain(SIGNS.chars()).collect();
        ids.iter()
            .map(|&id| {
                let at = id.checked_sub(FIRST_LETTER).map(|at| at as usize);
                at.and_then(|at| all.get(at)).copied().unwrap_or('\u{b7}')
            })
            .collect()
    }

    /// The ids of a text's characters; `None` where one is not of the alphabet.
    pub fn ids(text: &str) -> Option<Vec<u32>> {
        let id = |c: char| {
            let mut all = LETTERS.chars().chain(SIGNS.chars());
            all.position(|known| known == c)
                .map(|at| at as u32 + FIRST_LETTER)
        };
        text.chars().map(id).collect()
    }

    /// The context of some pairs, and a question about each of those `asked`.
    pub fn of_pairs(pairs: &[[[u32; 2]; 2]], asked: impl Iterator<Item = usize>) -> Sample {
        let context = pairs
            .iter()
            .flat_map(|[[k, l], [v, w]]| [EDGE, *k, *l, IS, *v, *w, EDGE])
            .chain([END]);
        let questions = asked
            .filter_map(|i| pairs.get(i))
            .map(|[[k, l], [v, w]]| Question {
                prompt: vec![ASK, EDGE, *k, *l, IS],
                answer: vec![*v, *w, EDGE, END],
                counted: 2,
            });
        Sample {
            context: context.collect(),
            questions: questions.collect(),
        }
    }
}

/// Two characters of a number below [`MOST_PAIRS`].
fn letters(number: u64) -> [u32; 2] {
    [number / COUNT, number % COUNT].map(|at| FIRST_LETTER + at as u32)
}

impl Task for KeyValue {
    fn name(&self) -> &'static str {
        "kv"
    }

    fn vocab(&self) -> usize {
        END as usize + 1
    }

    fn sample(&self, random: &mut Pcg64Mcg, level: usize, questions: usize) -> Sample {
        let wanted = level.min(MOST_PAIRS);
        let mut keys: Vec<u64> = Vec::with_capacity(wanted);
        while keys.len() < wanted {
            let key = below(random, COUNT * COUNT);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let pairs: Vec<_> = keys
            .into_iter()
            .map(|key| [letters(key), letters(below(random, COUNT * COUNT))])
            .collect();
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        shuffle(random, &mut order);
        KeyValue::of_pairs(&pairs, order.into_iter().take(questions))
    }

    fn check_level(&self, level: usize) -> Result<(), String> {
        if level == 0 || level > MOST_PAIRS {
            return Err(format!("is {level}; a context has 1 to {MOST_PAIRS} pairs"));
        }
        Ok(())
    }

    fn levels(&self, last: Option<usize>) -> Vec<usize> {
        doubling(last.unwrap_or(USUAL), 0)
            .iter()
            .map(|stage| stage.level)
            .collect()
    }

    fn level_words(&self, level: usize) -> String {
        counted(level, "pair")
    }

    fn tokenizer(&self) -> Option<OwnTokenizer> {
        Some(OwnTokenizer {
            tokenizer: KeyValue::tokenizer_json(),
            config: KeyValue::tokenizer_config(),
        })
    }
}

impl KeyValue {
    fn tokenizer_config() -> String {
        json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": SPECIAL[0], "bos_token": SPECIAL[1], "eos_token": SPECIAL[2],
            "unk_token": SPECIAL[3], "clean_up_tokenization_spaces": false
        })
        .to_string()
    }

    fn tokenizer_json() -> String {
        let signs = LETTERS.chars().chain(SIGNS.chars()).map(String::from);
        let names = SPECIAL.iter().map(|name| (*name).to_owned()).chain(signs);
        let vocab: BTreeMap<String, usize> = names.enumerate().map(|(id, n)| (n, id)).collect();
        let special = SPECIAL.iter().enumerate().map(|(id, content)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false, "special": true})
        });
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": special.collect::<Vec<_>>(),
            "normalizer": null,
            "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated",
                              "invert": false},
            "post_processor": null,
            "decoder": {"type": "Fuse"},
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": SPECIAL[3]}
        })
        .to_string()
    }
}

/// The task in the tokens of a base model, each character one of them.
pub struct InTokensOf {
    /// The base model's id of each of the task's own from the first letter on.
    ids: Vec<u32>,
    vocab: usize,
    lead: Vec<u32>,
}

impl InTokensOf {
    pub fn new(model: &Model) -> Result<InTokensOf, TrainError> {
        let tokenizer = &model.tokenizer;
        let mut ids = Vec::new();
        for sign in LETTERS.chars().chain(SIGNS.chars()) {
            let found = tokenizer
                .encode(&sign.to_string(), false, false)
                .map_err(crate::model::ModelError::from)?;
            match found[..] {
                [only] if !ids.contains(&only) => ids.push(only),
                _ => {
                    let detail = format!(
                        "is 'kv', and '{sign}' is not one token of '{}'; choose another task or \
                         another model",
                        model.name
                    );
                    return Err(TrainError::setting("task", detail));
                }
            }
        }
        Ok(InTokensOf {
            ids,
            vocab: model.config.vocab,
            lead: super::lead(model),
        })
    }

    fn translated(&self, own: &[u32]) -> Vec<u32> {
        let id = |own: &u32| self.ids.get((own - FIRST_LETTER) as usize).copied();
        own.iter().filter_map(id).collect()
    }
}

impl Task for InTokensOf {
    fn name(&self) -> &'static str {
        KeyValue.name()
    }

    fn vocab(&self) -> usize {
        self.vocab
    }

    fn sample(&self, random: &mut Pcg64Mcg, level: usize, questions: usize) -> Sample {
        let own = KeyValue.sample(random, level, questions);
        let asked = own.questions.iter().map(|question| Question {
            prompt: self.translated(&question.prompt),
            answer: self.translated(&question.answer),
            counted: question.counted,
        });
        Sample {
            context: self.translated(&own.context),
            questions: asked.collect(),
        }
    }

    fn check_level(&self, level: usize) -> Result<(), String> {
        KeyValue.check_level(level)
    }

    fn levels(&self, last: Option<usize>) -> Vec<usize> {
        KeyValue.levels(last)
    }

    fn level_words(&self, level: usize) -> String {
        KeyValue.level_words(level)
    }

    fn lead(&self) -> &[u32] {
        &self.lead
    }

    fn tokenizer(&self) -> Option<OwnTokenizer> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::draws::generator;

    #[test]
    fn samples_are_as_published() {
        let mut random = generator(5, 0);
        for pairs in [1, 4, 96] {
            let sample = KeyValue.sample(&mut random, pairs, 8);
            assert_eq!(sample.context.len(), 7 * pairs + 1);
            assert_eq!(sample.questions.len(), pairs.min(8));
            let text = KeyValue::text(&sample.context);
            assert_eq!(KeyValue::ids(&text), Some(sample.context.clone()));
            let mut keys: Vec<&str> = (0..pairs).map(|i| &text[7 * i + 1..7 * i + 3]).collect();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), pairs, "keys are apart");
            for question in &sample.questions {
                let asked = KeyValue::text(&question.prompt);
                let answer = KeyValue::text(&question.answer);
                let pair = format!("{}{}", &asked[1..], &answer[..3]);
                assert!(
                    pair.starts_with('!') && text.contains(&pair),
                    "{pair} in {text}"
                );
                assert!(asked.starts_with("?!") && answer.ends_with("!|"));
            }
        }
        assert_eq!(KeyValue.vocab(), 70);
    }

    #[test]
    fn the_tokenizer_gives_the_ids_of_the_task() {
        let tokenizer: tokenizers::Tokenizer = KeyValue::tokenizer_json().parse().unwrap();
        let sample = KeyValue.sample(&mut generator(6, 0), 8, 1);
        let text = KeyValue::text(&sample.context);
        let encoded = tokenizer.encode(text.as_str(), false).unwrap();
        assert_eq!(encoded.get_ids(), sample.context);
        assert_eq!(tokenizer.decode(encoded.get_ids(), false).unwrap(), text);
    }
}
