"""Tokenizers of 320 tokens for the tiny models: real in kind, tiny in size."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

VOCAB = 320
BYTE_SPECIALS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|eot_id|>", "<tool_call>",
]
GEMMA_SPECIALS = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
# The first id that is no special token.
FIRST_PLAIN = 6
# In the vocabulary as an added token, but a visible one.
USER_DEFINED = {"<tool_call>"}

# The pre-tokenizers of the families, as their published tokenizer.json files state them.
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3_CHAT = (
    "{{ bos_token }}{%- for message in messages %}"
    "{{- '[' + message['role'] + ']\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '[assistant]\n' }}{%- endif %}"
)
GEMMA_CHAT = (
    "{{ bos_token }}{% for message in messages %}"
    "{%- if message['role'] == 'assistant' -%}{% set role = 'model' %}"
    "{%- else -%}{% set role = message['role'] %}{%- endif -%}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)

TEXT_CASES = [
    "",
    " ",
    "Hello, world!",
    "The lighthouse keeper wrote the date, 12 March 1907, in the log.",
    "  two leading spaces and a tab\there",
    "line one\nline two\n\n\nline five   \n",
    "it's we'll they've I'm DON'T",
    "0 12 345 6789 3.14159 1,000,000",
    "naïve café — Übergröße, Ελληνικά, 日本語, 🦀👩‍🚀",
    "e\u0301 and \u00e9 are one letter",
    "a<|endoftext|>b <tool_call> c",
    "def f(x):\n    return x ** 2  # squares\n",
    "\r\nwindows\r\nlines\r\n",
]


def corpus() -> list[str]:
    """What the merges are learned from; only their existence matters."""
    return [
        "The keeper of the light wrote in the log that the wind was from the west and the sea was high.",
        "There were three letters on the table, and the third was for the man who had the other key.",
        "In the morning the station counted the birds that rested there and sent the number to the town.",
        "When the weather is good the boat comes at ten and returns before the tide is out again.",
    ]


def byte_level(pre: str) -> Tokenizer:
    if pre == "gpt-2":
        split = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    elif pre == "smollm":
        split = [pre_tokenizers.Digits(individual_digits=True),
                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    else:
        pattern = Regex(QWEN2_SPLIT if pre == "qwen2" else LLAMA3_SPLIT)
        split = [pre_tokenizers.Split(pattern, "isolated", invert=False),
                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    whole = pre_tokenizers.Sequence(split)
    merges = learn_merges(
        [piece for line in corpus() for piece, _ in whole.pre_tokenize_str(line)],
        VOCAB - 256 - FIRST_PLAIN)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = BYTE_SPECIALS + alphabet + [a + b for a, b in merges]
    ids = {token: i for i, token in enumerate(vocab)}
    tokenizer = Tokenizer(models.BPE(ids, merges, ignore_merges=pre == "llama-bpe"))
    tokenizer.pre_tokenizer = whole
    tokenizer.decoder = decoders.ByteLevel()
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in BYTE_SPECIALS if t not in USER_DEFINED])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in sorted(USER_DEFINED)])
    if pre == "llama-bpe":
        bos = "<|begin_of_text|>"
        tokenizer.post_processor = TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, ids[bos])])
    return tokenizer


def sentencepiece_like() -> Tokenizer:
    """Gemma's: no split at all, spaces as ▁, characters outside the vocabulary as bytes."""
    pieces = [word for line in corpus() for word in ("▁" + line.replace(" ", " ▁")).split(" ")]
    room = VOCAB - 256 - FIRST_PLAIN
    characters = sorted(c for c, _ in Counter("".join(pieces)).most_common(26))
    merges = learn_merges(pieces, room - len(characters), allowed=set(characters))
    vocab = GEMMA_SPECIALS + [f"<0x{b:02X}>" for b in range(256)] + characters
    vocab += [a + b for a, b in merges]
    ids = {token: i for i, token in enumerate(vocab)}
    tokenizer = Tokenizer(
        models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in GEMMA_SPECIALS])
    tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos>:1 $B:1", special_tokens=[("<bos>", ids["<bos>"])])
    return tokenizer


def learn_merges(pieces: list[str], count: int, allowed: set[str] | None = None) -> list[tuple[str, str]]:
    """Plain byte-pair encoding; ties go to the pair that sorts first, so that it can be repeated."""
    words = {piece: list(piece) for piece in pieces}
    weight = Counter(pieces)
    merges = []
    while len(merges) < count:
        pairs = Counter()
        for piece, parts in words.items():
            for pair in zip(parts, parts[1:]):
                if allowed is None or set("".join(pair)) <= allowed:
                    pairs[pair] += weight[piece]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for parts in words.values():
            at = 0
            while at + 1 < len(parts):
                if (parts[at], parts[at + 1]) == best:
                    parts[at : at + 2] = ["".join(best)]
                at += 1
    return merges


def make(pre: str, _here: Path) -> PreTrainedTokenizerFast:
    if pre == "gemma":
        return PreTrainedTokenizerFast(
            tokenizer_object=sentencepiece_like(), bos_token="<bos>", eos_token="<eos>",
            pad_token="<pad>", unk_token="<unk>", chat_template=GEMMA_CHAT)
    if pre == "llama-bpe":
        return PreTrainedTokenizerFast(
            tokenizer_object=byte_level(pre), bos_token="<|begin_of_text|>", eos_token="<|eot_id|>",
            pad_token="<|endoftext|>", chat_template=LLAMA3_CHAT)
    return PreTrainedTokenizerFast(
        tokenizer_object=byte_level(pre), bos_token="<|endoftext|>", eos_token="<|im_end|>",
        pad_token="<|endoftext|>", chat_template=CHATML)


def cases(tokenizer) -> list[dict]:
    """Texts with their ids, without the beginning-of-sequence token, and as decoded again.

    A GGUF does not say that Qwen normalises to NFC and llama.cpp does not do it: where that makes a
    difference, `gguf_ids` are its ids.
    """
    rows = []
    without_nfc = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    if isinstance(without_nfc.normalizer, normalizers.NFC):
        without_nfc.normalizer = normalizers.Sequence([])
    for text in TEXT_CASES:
        ids = tokenizer.encode(text, add_special_tokens=False)
        decoded = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        with_bos = tokenizer.encode(text, add_special_tokens=True)
        rows.append({"text": text, "ids": ids, "ids_with_bos": with_bos, "decoded": decoded})
        gguf_ids = without_nfc.encode(text, add_special_tokens=False).ids
        if gguf_ids != ids:
            rows[-1]["gguf_ids"] = gguf_ids
    return rows


def chat_case(tokenizer) -> dict:
    messages = [
        {"role": "user", "content": "Who keeps the light?"},
        {"role": "assistant", "content": "Maren does."},
        {"role": "user", "content": "Since when?"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = tokenizer.encode(text, add_special_tokens=False)
    return {"messages": messages, "text": text, "ids": ids}


def merges_of(tokenizer) -> list[str]:
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    return [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
