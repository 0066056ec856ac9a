"""Writes tests/golden/text/: what the reference tokenizers and templates make of nasty texts.

    python tests/golden/make_text.py              # versions: tests/oracle/requirements.txt
    python tests/golden/make_text.py --templates smollm2=FILE.gguf qwen2.5=FILE.gguf \
        qwen3=tokenizer_config.json               # takes the chat templates anew

cases.json holds the texts and, for each tokenizer of tests/golden/tiny and those made here,
    ids      as its tokenizer.json encodes them
    plain    the same with special tokens left as text
    raw      `plain` without the tokenizer's normaliser, which a GGUF cannot state
as lists of ids (only those that differ from `ids`), by Hugging Face's tokenizers; for the
SentencePiece models only `plain`, by sentencepiece. bytes.json is a vocabulary whose merges run
across every kind of boundary, so that each of the pre-tokenizers in cases.json cuts it differently.
chat.json holds messages as transformers renders them with templates/*.jinja, of which smollm2,
qwen2.5 and qwen3 are these models' own (Apache-2.0).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import sentencepiece
from tiny_tokenizers import BYTE_SPECIALS, LLAMA3_SPLIT, QWEN2_SPLIT, USER_DEFINED
from tiny_tokenizers import byte_level, corpus, learn_merges
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent
OUT = HERE / "text"
TINY = ["llama", "llama3", "qwen2", "qwen3", "gemma3"]

TEXTS = [
    "", " ", "  ", "   ", "\n", "\n\n", "\t", " \n", "\n ", "\r\n", "\u00a0", "\u3000 x", "a", " a", "a ", "  a  b  ",
    "Hello world", " Hello world!", "the\tlog\n\n\n was   here \n \n x", "   \n   \n\n\tx",
    "I'm DON'T we'LL they'Ve it'S 'tis 'RE ''s ' s", "can't\u2019ve 'd'D 'ſ it'ſ",
    "0 1 12 123 1234 12345 3.14159 1,000,000 ٣٤٥ ⅷ ½ ² 𝟗𝟗", "a1b22c333d4444",
    "if (x == 3) {\n\treturn y[0] += 1; // !!!\n}\n", "http://a.b/c?d=e&f=%20#g --- ... ??? !!! ###\n",
    "naïve café Übergröße Ελληνικά Русский עברית العربية हिन्दी ไทย", "e\u0301 \u00e9 A\u030a \u212b \ufb01 \uac00 \u1100\u1161",
    "日本語のテキスト、中文。한국어", "🦀 👩\u200d🚀 👨\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈 🇩🇪 ☕️", "𐍈 𝕏 \U0010fffd \ue000 \ufffd \ufeffbom",
    "\u0000 \u0001\u0002 \u007f \u0085 \u2028 \u2029 \u200b", "a\u0000b", "x\u0004\u001fy",
    "<|im_start|>user\nhi<|im_end|>\n", "<|endoftext|>", "a<|endoftext|>b<|begin_of_text|> c", "<|im_start|", "<|im_start|><|im_end|><tool_call> x</tool_call>",
    "<bos>a<eos> <start_of_turn>user\n<unk><pad><end_of_turn>", "<s>a</s> <unk> <0x41> <sep>x<sep> y  <sep>",
    "▁a ▁▁ b▁", "Ġa Ċ Ġ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ththththththththththththe",
    "                                        x", "x                    \n", "\n\n\n\n\n\n\n\n\n\n\n\n", " \t \t \t", "e" * 60 + " " + "the" * 20,
    " the log, the keeper. In the morning the station counted the birds\n",
    "THE LIGHT", "x\u0301x\u0301x\u0301 x\u0301x\u0301x\u0301 x\u0301x\u0301x\u0301", "wind\u00adwest", "sea\u0301s\u0308",
]

MESSAGES = {
    "user": [("user", "Who keeps the light?")],
    "system": [("system", "You are brief."), ("user", "Who keeps the light?")],
    "turns": [("user", " Hi \n"), ("assistant", "Hello.\n"), ("user", "{{ x }} <b>'é'</b>")],
    "system turns": [("system", " S\n"), ("user", "a"), ("assistant", "b"), ("user", "c")],
    "thinking": [("user", "a"), ("assistant", "<think>\nhm\n</think>\n\nb"), ("user", "c")],
    "answered": [("user", "a"), ("assistant", "<think>\nhm\n</think>\n\nb")],
}


QWEN35_SPLIT = QWEN2_SPLIT.replace(r"\p{L}\p{N}]+", r"\p{L}\p{M}\p{N}]+").replace(r"\p{L}+", r"[\p{L}\p{M}]+")
# Bytes that the vocabulary lacks, as SmolLM2's lacks some.
MISSING = [0x04, 0x1F]


def pre_tokenizers_of() -> dict:
    level = pre_tokenizers.ByteLevel
    split = lambda pattern: pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated", invert=False),
        level(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    gpt2 = level(add_prefix_space=False, trim_offsets=True, use_regex=True)
    smollm = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), gpt2])
    return {"gpt-2": gpt2, "smollm": smollm, "llama-bpe": split(LLAMA3_SPLIT),
            "qwen2": split(QWEN2_SPLIT), "qwen35": split(QWEN35_SPLIT)}


def across_boundaries() -> Tokenizer:
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    mapped = ["".join(piece for piece, _ in level.pre_tokenize_str(t)) for t in TEXTS + corpus()]
    missing = {"ĀāĂăĄąĆćĈĉĊċČčĎďĐđĒēĔĕĖėĘęĚěĜĝĞğĠ"[b] for b in MISSING}
    alphabet = sorted(set(level.alphabet()) - missing)
    merges = learn_merges([t for t in mapped if t], 420, allowed=set(alphabet))
    # The last is a word that no merges make.
    vocab = BYTE_SPECIALS + alphabet + [a + b for a, b in merges] + ["ĠLIGHT"]
    vocab = list(dict.fromkeys(vocab))
    ids = {token: i for i, token in enumerate(vocab)}
    tokenizer = Tokenizer(models.BPE(ids, merges))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in BYTE_SPECIALS
                                  if t not in USER_DEFINED])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in sorted(USER_DEFINED)])
    return tokenizer


def byte_level_cases(rows: dict) -> dict:
    path = OUT / "bytes.json"
    across_boundaries().save(str(path), pretty=False)
    pres = {}
    for name, pre in pre_tokenizers_of().items():
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.pre_tokenizer = pre
        if name.startswith("qwen"):
            tokenizer.normalizer = normalizers.NFC()
        state = json.loads(tokenizer.to_str())
        state["model"]["ignore_merges"] = name == "llama-bpe"
        tokenizer = Tokenizer.from_str(json.dumps(state))
        pres[name] = {key: state[key] for key in ("pre_tokenizer", "normalizer")}
        pres[name]["ignore_merges"] = state["model"]["ignore_merges"]
        rows[f"pre {name}"] = ids_of(tokenizer.to_str())
    return pres


def ids_of(state: str) -> dict:
    full, raw = Tokenizer.from_str(state), Tokenizer.from_str(state)
    rows = {"ids": [full.encode(t, add_special_tokens=False).ids for t in TEXTS]}
    full.encode_special_tokens = True
    rows["plain"] = [full.encode(t, add_special_tokens=False).ids for t in TEXTS]
    if raw.normalizer is not None and "NFC" in str(raw.normalizer):
        raw.normalizer = None
    raw.encode_special_tokens = True
    rows["raw"] = [raw.encode(t, add_special_tokens=False).ids for t in TEXTS]
    # Most texts are the same in all three.
    for key in ("plain", "raw"):
        rows[key] = {str(i): ids for i, ids in enumerate(rows[key]) if ids != rows["ids"][i]}
    return rows


def sentencepiece_models() -> dict:
    text = OUT / "corpus.tmp"
    text.write_text("\n".join(corpus()) + "\n")
    rows = {}
    for name, options in {
        "spm-prefix": {"add_dummy_prefix": True, "remove_extra_whitespaces": False},
        "spm-squeeze": {"add_dummy_prefix": True, "remove_extra_whitespaces": True, "byte_fallback": False},
        "spm-bare": {"add_dummy_prefix": False, "remove_extra_whitespaces": False, "split_digits": True,
                     "user_defined_symbols": ["<sep>", "▁▁", "▁▁▁", "\n", "\n\n"]},
    }.items():
        options = {"byte_fallback": True, **options}
        vocab = 340 if options["byte_fallback"] else 90
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=str(OUT / name), model_type="bpe", vocab_size=vocab,
            normalization_rule_name="identity", character_coverage=1.0, num_threads=1,
            minloglevel=2, **options)
        (OUT / f"{name}.vocab").unlink()
        model = sentencepiece.SentencePieceProcessor(model_file=str(OUT / f"{name}.model"))
        rows[name] = {"plain": [model.encode(t) for t in TEXTS]}
    text.unlink()
    return rows


def template_of(file: str) -> str:
    if file.endswith(".gguf"):
        from gguf import GGUFReader
        return GGUFReader(file).fields["tokenizer.chat_template"].contents()
    return json.loads(Path(file).read_text())["chat_template"]


def chats() -> dict:
    rows = {}
    for path in sorted((OUT / "templates").glob("*.jinja")):
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=byte_level("gpt-2"), bos_token="<bos>", eos_token="<eos>")
        tokenizer.chat_template = path.read_text()
        for name, turns in MESSAGES.items():
            messages = [{"role": role, "content": content} for role, content in turns]
            for prompt in (False, True):
                key = f"{path.stem}/{name}/{'prompt' if prompt else 'whole'}"
                rows[key] = {"messages": messages}
                try:
                    rows[key]["text"] = tokenizer.apply_chat_template(
                        messages, tokenize=False, add_generation_prompt=prompt)
                except Exception as error:
                    rows[key]["error"] = str(error)
    return rows


def main() -> None:
    (OUT / "templates").mkdir(parents=True, exist_ok=True)
    if sys.argv[1:2] == ["--templates"]:
        for pair in sys.argv[2:]:
            name, file = pair.split("=", 1)
            (OUT / "templates" / f"{name}.jinja").write_text(template_of(file))
    rows = {name: ids_of((HERE / "tiny" / name / "tokenizer.json").read_text()) for name in TINY}
    pres = byte_level_cases(rows)
    rows |= sentencepiece_models()
    write(OUT / "cases.json", {"texts": TEXTS, "pre": pres, "tokenizers": rows})
    write(OUT / "chat.json", chats())


def write(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, separators=(",", ":"), ensure_ascii=True) + "\n")


main()
