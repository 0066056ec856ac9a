"""Writes the tiny models as GGUF, with gguf-py."""

from __future__ import annotations

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Q
from gguf.constants import TokenType

from gguf_reference import GEMMA3_LAYER_NAMES, LAYER_NAMES, TOP_NAMES
from tiny_tokenizers import GEMMA_SPECIALS, USER_DEFINED, VOCAB, merges_of

ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3_text": "gemma3"}


def gguf_name(name: str, architecture: str) -> str:
    """`model.layers.3.self_attn.q_proj.weight` -> `blk.3.attn_q.weight`."""
    stem, _, kind = name.rpartition(".")
    for short, long in TOP_NAMES.items():
        if stem == long:
            return f"{short}.{kind}"
    names = GEMMA3_LAYER_NAMES if architecture == "gemma3" else LAYER_NAMES
    _, _, layer, rest = stem.split(".", 3)
    # Later entries of Gemma's table take a name over from earlier ones.
    short = {long: short for short, long in names.items()}[rest]
    return f"blk.{layer}.{short}.{kind}"


def permute(rows: np.ndarray, heads: int) -> np.ndarray:
    """llama's row order in GGUF: dimensions (i, i + d/2) of a head lie beside each other."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows.shape))


def llama3_divisors(rope: dict, head_dim: int) -> np.ndarray:
    """The divisor of each rotary frequency (Llama 3.1's `rope_freqs.weight`)."""
    context = rope["original_max_position_embeddings"]
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    frequencies = rope["rope_theta"] ** -(np.arange(0, head_dim, 2) / head_dim)
    turns = context * frequencies / (2 * np.pi)
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer, pre: str) -> None:
    vocab = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    special = set(tokenizer.all_special_tokens) | {
        t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
    types = [
        TokenType.UNKNOWN if token == "<unk>"
        else TokenType.CONTROL if token in special
        else TokenType.USER_DEFINED if token in USER_DEFINED
        else TokenType.BYTE if pre == "gemma" and token.startswith("<0x")
        else TokenType.NORMAL
        for token in vocab
    ]
    if pre == "gemma":
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        rank = {merge.replace(" ", ""): i for i, merge in enumerate(merges_of(tokenizer))}
        plain = len(GEMMA_SPECIALS) + 256
        writer.add_token_scores(
            [-1000.0 if i < plain else -float(rank.get(t, len(rank))) for i, t in enumerate(vocab)])
        writer.add_unk_token_id(tokenizer.unk_token_id)
        writer.add_add_space_prefix(False)
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_merges(merges_of(tokenizer))
    writer.add_token_list(vocab)
    writer.add_token_types(types)
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(pre in ("gemma", "llama-bpe"))
    writer.add_chat_template(tokenizer.chat_template)


def start(path, architecture: str, name: str, *, context, hidden, layers, ffn, heads, kv_heads,
          head_dim, eps, theta, vocab=VOCAB) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_context_length(context)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(eps)
    writer.add_rope_freq_base(theta)
    writer.add_vocab_size(vocab)
    if architecture in ("qwen3", "gemma3"):
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if architecture == "llama":
        writer.add_rope_dimension_count(head_dim)
    return writer


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write(path, name: str, model, dtype, tokenizer, pre: str) -> None:
    """The model as llama.cpp's converter would write it: vectors in f32, matrices as stored."""
    config = model.config
    architecture = ARCHITECTURES[config.model_type]
    rope = config.rope_parameters
    plain_rope = rope.get("full_attention", rope)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer = start(
        path, architecture, f"tiny random {name}", context=config.max_position_embeddings, hidden=config.hidden_size,
        layers=config.num_hidden_layers, ffn=config.intermediate_size,
        heads=config.num_attention_heads, kv_heads=config.num_key_value_heads, head_dim=head_dim,
        eps=config.rms_norm_eps, theta=plain_rope["rope_theta"])
    if architecture == "gemma3":
        writer.add_sliding_window(config.sliding_window)
    add_tokenizer(writer, tokenizer, pre)
    if plain_rope["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_divisors(plain_rope, head_dim))
    types = {torch.float32: Q.F32, torch.float16: Q.F16, torch.bfloat16: Q.BF16}
    for hf, parameter in model.named_parameters():
        values = parameter.detach().float().numpy()
        if architecture == "llama" and ("q_proj" in hf or "k_proj" in hf):
            values = permute(values, config.num_attention_heads if "q_proj" in hf
                             else config.num_key_value_heads)
        if architecture == "gemma3" and hf.endswith("norm.weight"):
            values = values + 1.0
        kind = Q.F32 if values.ndim == 1 else types[dtype]
        writer.add_tensor(gguf_name(hf, architecture), gguf.quants.quantize(values, kind), raw_dtype=kind)
    finish(writer)


# Every supported type of weight at least once, the K-quants also in rows of two blocks.
MIXED_TYPES = {
    "token_embd.weight": Q.Q5_K,
    "output.weight": Q.Q6_K,
    "blk.0.attn_q.weight": Q.Q4_0,
    "blk.0.attn_k.weight": Q.F16,
    "blk.0.attn_v.weight": Q.BF16,
    "blk.0.attn_output.weight": Q.Q5_0,
    "blk.0.ffn_gate.weight": Q.Q4_K,
    "blk.0.ffn_up.weight": Q.Q5_K,
    "blk.0.ffn_down.weight": Q.Q6_K,
    "blk.1.attn_q.weight": Q.Q8_0,
    "blk.1.attn_k.weight": Q.F32,
    "blk.1.attn_v.weight": Q.Q5_1,
    "blk.1.attn_output.weight": Q.Q4_1,
    "blk.1.ffn_gate.weight": Q.Q5_0,
    "blk.1.ffn_up.weight": Q.Q8_0,
    "blk.1.ffn_down.weight": Q.Q4_K,
}
MIXED_HIDDEN, MIXED_FFN, MIXED_HEADS, MIXED_KV_HEADS, MIXED_HEAD_DIM = 256, 512, 4, 1, 64


def mixed_shape(name: str) -> tuple[int, int]:
    kv = MIXED_KV_HEADS * MIXED_HEAD_DIM
    if name in ("token_embd.weight", "output.weight"):
        return VOCAB, MIXED_HIDDEN
    part = name.split(".")[2]
    return {
        "attn_k": (kv, MIXED_HIDDEN), "attn_v": (kv, MIXED_HIDDEN),
        "ffn_gate": (MIXED_FFN, MIXED_HIDDEN), "ffn_up": (MIXED_FFN, MIXED_HIDDEN),
        "ffn_down": (MIXED_HIDDEN, MIXED_FFN),
    }.get(part, (MIXED_HIDDEN, MIXED_HIDDEN))


def write_mixed(path, tokenizer, seed: int) -> None:
    random = np.random.default_rng(seed)
    writer = start(
        path, "llama", "tiny random llama-mixed", context=256, hidden=MIXED_HIDDEN, layers=2, ffn=MIXED_FFN,
        heads=MIXED_HEADS, kv_heads=MIXED_KV_HEADS, head_dim=MIXED_HEAD_DIM, eps=1e-5,
        theta=100_000.0)
    add_tokenizer(writer, tokenizer, "smollm")
    norms = ["output_norm.weight"] + [
        f"blk.{layer}.{part}_norm.weight" for layer in range(2) for part in ("attn", "ffn")]
    for name in norms:
        writer.add_tensor(name, (1 + 0.3 * random.standard_normal(MIXED_HIDDEN)).astype(np.float32))
    for name, kind in MIXED_TYPES.items():
        rows, cols = mixed_shape(name)
        std = {"token_embd.weight": 1.0, "output.weight": 3.0 / cols**0.5}.get(name, 1.3 / cols**0.5)
        writer.add_tensor(name, random_rows(random, rows, cols, std, kind), raw_dtype=kind)
    finish(writer)


def random_rows(random, rows: int, cols: int, std: float, kind: Q) -> np.ndarray:
    """Random weights of a type: quantised by gguf-py where it can, else as random valid blocks."""
    blocks = rows * cols // 256
    if kind in (Q.Q4_K, Q.Q5_K):
        packed = k_blocks(random, blocks, std, high_bits=kind == Q.Q5_K)
    elif kind == Q.Q6_K:
        packed = q6_k_blocks(random, blocks, std)
    else:
        values = std * random.standard_normal((rows, cols)).astype(np.float32)
        return gguf.quants.quantize(values, kind)
    return packed.reshape(rows, -1)


def as_f16_bytes(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16).reshape(-1, 1).view(np.uint8)


def jitter(random, blocks: int) -> np.ndarray:
    return random.uniform(0.7, 1.4, blocks)


def k_blocks(random, blocks: int, std: float, high_bits: bool) -> np.ndarray:
    """Q4_K or Q5_K: d, dmin, twelve bytes of 6-bit scales and minima, [high bits], low bits.

    A value is d*scale*q - dmin*min; with dmin = d * mean(q) and min near scale its mean is near 0.
    """
    levels = 32 if high_bits else 16
    scale = random.integers(1, 64, (blocks, 8))
    low = np.clip(scale + random.integers(-3, 4, (blocks, 8)), 0, 63)
    spread = 37.0 * levels / 12**0.5  # rms of a uniform scale, times the deviation of q
    d = std / spread * jitter(random, blocks)
    packed = np.concatenate([
        (scale[:, :4] | (scale[:, 4:] >> 4 << 6)),
        (low[:, :4] | (low[:, 4:] >> 4 << 6)),
        (scale[:, 4:] & 15) | (low[:, 4:] & 15) << 4,
    ], axis=1).astype(np.uint8)
    bits = random.integers(0, 256, (blocks, 160 if high_bits else 128), dtype=np.uint8)
    return np.hstack([as_f16_bytes(d), as_f16_bytes(d * (levels - 1) / 2), packed, bits])


def q6_k_blocks(random, blocks: int, std: float) -> np.ndarray:
    """Q6_K: low bits, high bits, sixteen signed scales, d. A value is d*scale*(q - 32)."""
    scales = random.integers(-128, 128, (blocks, 16)).astype(np.int8).view(np.uint8)
    d = std / (73.9 * 18.5) * jitter(random, blocks)
    bits = random.integers(0, 256, (blocks, 192), dtype=np.uint8)
    return np.hstack([bits, scales, as_f16_bytes(d)])
