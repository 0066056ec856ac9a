"""Loads a GGUF file into the transformers model of its architecture, in float32.

Every tensor is dequantised by gguf-py, so the result is what the file *says*, computed by code
that shares nothing with ours. Used by the scripts beside it and by tests/golden.
"""

from __future__ import annotations

import re
from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

LAYER_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_norm": "post_attention_layernorm",
}
# Gemma 3 normalises the input and the output of both halves of a layer.
GEMMA3_LAYER_NAMES = LAYER_NAMES | {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
TOP_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
# llama.cpp's fixed choices for Gemma 3 where the file has no key for them.
GEMMA3_LOCAL_ROPE_BASE = 10_000.0
GEMMA3_PATTERN = 6


class Metadata:
    """The key-value part of a GGUF file, with keys of the architecture by their short names."""

    def __init__(self, reader: gguf.GGUFReader):
        self.reader = reader
        self.architecture = self.key("general.architecture")

    def key(self, name: str, default=None):
        field = self.reader.get_field(name)
        return default if field is None else field.contents()

    def of_architecture(self, name: str, default=None):
        return self.key(f"{self.architecture}.{name}", default)


def hf_name(name: str, architecture: str) -> str:
    """`blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`."""
    stem, _, kind = name.rpartition(".")
    layer = re.fullmatch(r"blk\.(\d+)\.(\w+)", stem)
    if layer is None:
        return f"{TOP_NAMES[stem]}.{kind}"
    names = GEMMA3_LAYER_NAMES if architecture == "gemma3" else LAYER_NAMES
    return f"model.layers.{layer[1]}.{names[layer[2]]}.{kind}"


def unpermute(rows: np.ndarray, heads: int) -> np.ndarray:
    """Undoes llama's row order: GGUF pairs dimensions (2i, 2i+1), transformers (i, i + d/2)."""
    paired = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
    return paired.swapaxes(1, 2).reshape(rows.shape)


def config_of(meta: Metadata, tensors: set[str]):
    get = meta.of_architecture
    heads = get("attention.head_count")
    hidden = get("embedding_length")
    common = dict(
        hidden_size=hidden,
        num_hidden_layers=get("block_count"),
        intermediate_size=get("feed_forward_length"),
        num_attention_heads=heads,
        num_key_value_heads=get("attention.head_count_kv", heads),
        max_position_embeddings=get("context_length"),
        rms_norm_eps=get("attention.layer_norm_rms_epsilon"),
        vocab_size=len(meta.key("tokenizer.ggml.tokens")),
        tie_word_embeddings="output.weight" not in tensors,
        bos_token_id=meta.key("tokenizer.ggml.bos_token_id"),
        eos_token_id=meta.key("tokenizer.ggml.eos_token_id"),
        pad_token_id=None,
        attn_implementation="eager",
    )
    theta = get("rope.freq_base", 10_000.0)
    head_dim = get("attention.key_length", hidden // heads)
    rope = {"rope_type": "default", "rope_theta": theta}
    match meta.architecture:
        case "llama":
            return LlamaConfig(**common, head_dim=head_dim, rope_parameters=rope)
        case "qwen2":
            return Qwen2Config(**common, rope_parameters=rope)
        case "qwen3":
            return Qwen3Config(**common, head_dim=head_dim, rope_parameters=rope)
        case "gemma3":
            local = {"rope_type": "default", "rope_theta": GEMMA3_LOCAL_ROPE_BASE}
            pattern = [
                "full_attention" if (layer + 1) % GEMMA3_PATTERN == 0 else "sliding_attention"
                for layer in range(common["num_hidden_layers"])
            ]
            return Gemma3TextConfig(
                **common,
                head_dim=head_dim,
                query_pre_attn_scalar=head_dim,
                sliding_window=get("attention.sliding_window"),
                layer_types=pattern,
                rope_parameters={"full_attention": rope, "sliding_attention": local},
            )
    raise SystemExit(f"no reference for architecture {meta.architecture!r}")


MODELS = {
    "llama": LlamaForCausalLM,
    "qwen2": Qwen2ForCausalLM,
    "qwen3": Qwen3ForCausalLM,
    "gemma3": Gemma3ForCausalLM,
}


def load(path: str | Path, attention: str = "eager"):
    """The transformers model of a GGUF file, every weight dequantised to float32."""
    reader = gguf.GGUFReader(path)
    meta = Metadata(reader)
    tensors = {t.name: t for t in reader.tensors}
    config = config_of(meta, set(tensors))
    config._attn_implementation = attention
    # Built without memory, then given the weights one by one: the peak is the model and one tensor.
    with torch.device("meta"):
        model = MODELS[meta.architecture](config)
    state = {}
    for name, tensor in tensors.items():
        if name == "rope_freqs.weight":
            continue
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=True)
        if meta.architecture == "llama" and re.search(r"attn_[qk]\.", name):
            heads = config.num_attention_heads if "attn_q" in name else config.num_key_value_heads
            values = np.ascontiguousarray(unpermute(values, heads))
        if meta.architecture == "gemma3" and name.endswith("norm.weight"):
            values -= 1.0  # the file stores 1 + w, transformers stores w
        state[hf_name(name, meta.architecture)] = torch.from_numpy(values)
    if config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True, assign=True)
    model.tie_weights()
    rebuild_buffers(model, config, tensors.get("rope_freqs.weight"))
    return model.eval()


def rebuild_buffers(model, config, rope_freqs) -> None:
    """Non-persistent buffers are not in a file: make them again, in real memory."""
    rotary = type(model.model.rotary_emb)(config)
    if rope_freqs is not None:
        # llama.cpp stores Llama 3's scaling as one divisor a frequency.
        rotary.inv_freq /= torch.from_numpy(np.array(rope_freqs.data, dtype=np.float32))
    model.model.rotary_emb = rotary
    if config.model_type == "gemma3_text":
        embedding = model.model.embed_tokens
        embedding.embed_scale = torch.tensor(config.hidden_size**0.5)
    left = [n for n, t in (*model.named_parameters(), *model.named_buffers()) if t.is_meta]
    if left:
        raise SystemExit(f"not in the file: {', '.join(left)}")


@torch.inference_mode()
def logits_of(model, ids: list[int]) -> np.ndarray:
    """Logits [tokens, vocabulary] of one sequence, without a cache."""
    out = model(input_ids=torch.tensor([ids]), use_cache=False)
    return out.logits[0].float().numpy()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).log_softmax(-1).numpy()
