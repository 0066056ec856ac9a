"""Makes the tiny random models of tests/golden/tiny and what transformers says about them.

    python tests/golden/make_tiny_models.py            # all of them
    python tests/golden/make_tiny_models.py qwen3      # one
    python tests/golden/make_tiny_models.py --check    # the GGUF files against llama.cpp, too

For each NAME: `NAME/` (config.json, safetensors, tokenizer.json; where config.json is in the hub's
older style, config.v5.json says the same in the newer), `NAME.gguf` with the same weights,
`NAME.logits.safetensors` (logits f32 [40, 320]) and `NAME.golden.json` (ids, log-probabilities, a
greedy continuation, tokenizer cases, a rendered chat). All numbers are computed by transformers in
float32 over the weights as stored. `llama-mixed` is a GGUF alone, with every supported weight type.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.numpy import save_file
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
from transformers.utils import logging

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "oracle")]
import tiny_gguf  # noqa: E402
import tiny_tokenizers  # noqa: E402
from gguf_reference import load as load_gguf, logits_of, log_softmax  # noqa: E402

OUT = HERE / "tiny"
VOCAB = tiny_tokenizers.VOCAB
TOKENS = 40
GREEDY = 16
# Of the local pass: blocks of so many tokens, each given only the block before it.
WINDOW = 8
# A greedy choice nearer than this to the runner-up would test rounding, not the model.
LEAST_MARGIN = 0.05

COMMON = dict(vocab_size=VOCAB, max_position_embeddings=256, attn_implementation="eager")


def rope(theta: float, **scaling) -> dict:
    return {"rope_type": "default", "rope_theta": theta} | scaling


def llama():
    """Plain llama: grouped heads, a head of its own, rows that fill no power of two."""
    return LlamaForCausalLM(LlamaConfig(
        **COMMON, hidden_size=48, num_hidden_layers=2, intermediate_size=96,
        num_attention_heads=3, num_key_value_heads=1, rms_norm_eps=1e-5,
        tie_word_embeddings=True, rope_parameters=rope(10_000.0)))


def llama3():
    """Llama 3's rope scaling, with an original context short enough to matter in 40 tokens."""
    return LlamaForCausalLM(LlamaConfig(
        **COMMON, hidden_size=64, num_hidden_layers=2, intermediate_size=96,
        num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        rope_parameters=rope(500.0, rope_type="llama3", factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=64)))


def qwen2():
    """Biases on q, k and v."""
    return Qwen2ForCausalLM(Qwen2Config(
        **COMMON, hidden_size=48, num_hidden_layers=2, intermediate_size=160,
        num_attention_heads=6, num_key_value_heads=2, rms_norm_eps=1e-6,
        tie_word_embeddings=True, rope_parameters=rope(1_000_000.0)))


def qwen3():
    """QK norm, and heads that together are wider than the hidden state."""
    return Qwen3ForCausalLM(Qwen3Config(
        **COMMON, hidden_size=48, num_hidden_layers=2, intermediate_size=96, head_dim=32,
        num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-6,
        tie_word_embeddings=False, rope_parameters=rope(1_000_000.0)))


def gemma3():
    """QK norm, sandwich norms, a window of 8 in all layers but the sixth, two rope bases."""
    return Gemma3ForCausalLM(Gemma3TextConfig(
        **COMMON, hidden_size=32, num_hidden_layers=7, intermediate_size=96, head_dim=16,
        num_attention_heads=4, num_key_value_heads=1, query_pre_attn_scalar=16, rms_norm_eps=1e-6,
        sliding_window=8, bos_token_id=2, eos_token_id=1, pad_token_id=0,
        rope_parameters={"full_attention": rope(1_000_000.0), "sliding_attention": rope(10_000.0)}))


# name: maker, stored type, tokenizer, in how many files, config.json as the hub's older files have it
MODELS = {
    "llama": (llama, torch.float32, "gpt-2", 1, False),
    "llama3": (llama3, torch.bfloat16, "llama-bpe", 2, True),
    "qwen2": (qwen2, torch.float16, "qwen2", 1, False),
    "qwen3": (qwen3, torch.bfloat16, "qwen2", 1, True),
    "gemma3": (gemma3, torch.bfloat16, "gemma", 1, True),
}


OUTPUT_NORMS = ("post_attention_layernorm", "post_feedforward_layernorm", "model.norm")


@torch.no_grad()
def randomise(model, seed: int) -> None:
    """Weights large enough that every part of the model moves the logits."""
    generator = torch.Generator().manual_seed(seed)
    gemma = model.config.model_type == "gemma3_text"

    def normal(parameter, mean: float, std: float):
        parameter.copy_(mean + std * torch.randn(parameter.shape, generator=generator))

    tied = model.config.tie_word_embeddings
    hidden = model.config.hidden_size
    for name, parameter in model.named_parameters():
        if "norm" in name:
            # Gemma scales by 1 + w. Its layers' sums are doubled and its embedding halved, or else
            # the embedding outweighs them and the likeliest token is the last one, again and again.
            doubled = not gemma or name.removesuffix(".weight").endswith(OUTPUT_NORMS)
            normal(parameter, 1.0 if doubled else 0.0, 0.3)
        elif name.endswith("bias"):
            normal(parameter, 0.0, 0.7)
        elif "embed_tokens" in name:
            normal(parameter, 0.0, (1.5 if gemma else 3.0) / hidden**0.5 if tied else 1.0)
        elif name.startswith("lm_head"):
            normal(parameter, 0.0, 3.0 / hidden**0.5)
        else:
            normal(parameter, 0.0, 1.3 / parameter.shape[1] ** 0.5)


def as_stored(model, dtype: torch.dtype) -> None:
    """Rounds every weight to the stored type and back, as reading the file again would."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype).float()


def golden_of(model, seed: int) -> dict | None:
    """What the model says about one random sequence; None where a choice is too close."""
    ids = np.random.default_rng(seed).integers(tiny_tokenizers.FIRST_PLAIN, VOCAB, TOKENS).tolist()
    logits = logits_of(model, ids)
    greedy, least = [], np.inf
    for _ in range(GREEDY):
        last = logits_of(model, ids + greedy)[-1]
        best, second = np.sort(last)[:-3:-1]
        least = min(least, float(best - second))
        greedy.append(int(last.argmax()))
    varied = len(set(greedy)) >= 8 and min(greedy) >= tiny_tokenizers.FIRST_PLAIN
    if least < LEAST_MARGIN or not varied:
        return None
    logprobs = log_softmax(logits)
    return {
        "seed": seed,
        "ids": ids,
        "logprobs": [None] + [float(logprobs[t, ids[t + 1]]) for t in range(TOKENS - 1)],
        "window": WINDOW,
        "local_logprobs": local_logprobs(model, ids),
        "greedy": greedy,
        "greedy_least_margin": least,
        "logits": logits,
    }


def local_logprobs(model, ids: list[int]) -> list[float | None]:
    """Log-probability of each token given the WINDOW to 2*WINDOW tokens before it."""
    found: list[float | None] = []
    for start in range(0, len(ids), WINDOW):
        context = max(start - WINDOW, 0)
        block = ids[context : start + WINDOW]
        logprobs = log_softmax(logits_of(model, block))
        found += [
            None if at == 0 else float(logprobs[at - context - 1, ids[at]])
            for at in range(start, min(start + WINDOW, len(ids)))]
    return found


def write_golden(name: str, golden: dict, tokenizer) -> None:
    logits = golden.pop("logits").astype(np.float32)
    path = OUT / f"{name}.logits.safetensors"
    save_file({"logits": np.ascontiguousarray(logits)}, path)
    path.chmod(0o644)
    golden["tokenizer"] = tiny_tokenizers.cases(tokenizer)
    golden["chat"] = tiny_tokenizers.chat_case(tokenizer)
    text = json.dumps(golden, ensure_ascii=False, indent=1)
    (OUT / f"{name}.golden.json").write_text(text + "\n", encoding="utf-8")
    print(f"{name}: seed {golden['seed']}, logits {logits.min():.2f}..{logits.max():.2f}, "
          f"std {logits.std():.2f}, least margin {golden['greedy_least_margin']:.3f}")


def older_config(config: dict) -> dict:
    """config.json as transformers 4 wrote it, which is what most models on the hub still carry."""
    rope_parameters = config.pop("rope_parameters")
    if "full_attention" in rope_parameters:
        config["rope_theta"] = rope_parameters["full_attention"]["rope_theta"]
        config["rope_local_base_freq"] = rope_parameters["sliding_attention"]["rope_theta"]
        config["rope_scaling"] = None
    else:
        config["rope_theta"] = rope_parameters.pop("rope_theta")
        scaled = rope_parameters["rope_type"] != "default"
        config["rope_scaling"] = rope_parameters if scaled else None
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.51.0"
    return config


def chat_template_inside(folder: Path) -> None:
    """Moves the chat template into tokenizer_config.json, where older files have it."""
    beside, inside = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    config = json.loads(inside.read_text()) | {"chat_template": beside.read_text()}
    inside.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    beside.unlink()


def write_folder(name: str, model, dtype, shards: int, old: bool, tokenizer) -> None:
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stored = type(model)(model.config)
    stored.load_state_dict(model.state_dict())
    stored = stored.to(dtype)
    size = sum(p.numel() * p.element_size() for p in stored.parameters())
    stored.save_pretrained(folder, max_shard_size=size // shards + 2048 if shards > 1 else "1GB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    if old:
        (folder / "config.v5.json").write_text(json.dumps(config, indent=2) + "\n")
        config = older_config(config)
        chat_template_inside(folder)
    path.write_text(json.dumps(config, indent=2) + "\n")
    for file in folder.iterdir():
        file.chmod(0o644)


def reread(folder: Path):
    """The model as a stranger's transformers reads the folder, in float32."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()


def find_golden(make, dtype) -> tuple:
    for seed in range(1, 500):
        model = make().eval()
        randomise(model, seed)
        as_stored(model, dtype)
        golden = golden_of(model, seed)
        if golden is not None:
            return model, golden
    raise SystemExit("no seed has clear margins")


def make_model(name: str) -> None:
    make, dtype, pre, shards, old = MODELS[name]
    tokenizer = tiny_tokenizers.make(pre, HERE)
    model, golden = find_golden(make, dtype)
    model.config.bos_token_id = tokenizer.bos_token_id
    model.config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
    write_folder(name, model, dtype, shards, old, tokenizer)
    tiny_gguf.write(OUT / f"{name}.gguf", name, model, dtype, tokenizer, pre)
    # The files must say what the model in memory said.
    for other in (reread(OUT / name), load_gguf(OUT / f"{name}.gguf")):
        np.testing.assert_allclose(logits_of(other, golden["ids"]), golden["logits"], atol=3e-5)
    write_golden(name, golden, tokenizer)


def make_mixed() -> None:
    name = "llama-mixed"
    tokenizer = tiny_tokenizers.make("smollm", HERE)
    for seed in range(1, 500):
        tiny_gguf.write_mixed(OUT / f"{name}.gguf", tokenizer, seed)
        golden = golden_of(load_gguf(OUT / f"{name}.gguf"), seed)
        if golden is not None:
            return write_golden(name, golden, tokenizer)
    raise SystemExit("no seed has clear margins")


def check_with_llama_cpp(name: str) -> None:
    """A second opinion: llama.cpp reads the file as we meant it."""
    import llama_cpp

    golden = json.loads((OUT / f"{name}.golden.json").read_text())
    llm = llama_cpp.Llama(str(OUT / f"{name}.gguf"), n_ctx=256, logits_all=True, verbose=False,
                          n_threads=1, swa_full=True)
    llm.eval(golden["ids"])
    theirs = llm.scores[:TOKENS]
    from safetensors.numpy import load_file

    ours = load_file(OUT / f"{name}.logits.safetensors")["logits"]
    off = np.abs(theirs - ours)
    disagree = [
        case["text"] for case in golden["tokenizer"]
        if llm.tokenize(case["text"].encode(), add_bos=False, special=True)
        != case.get("gguf_ids", case["ids"])]
    print(f"{name}: llama.cpp logits differ by at most {off.max():.4f}, mean {off.mean():.5f}; "
          f"argmax agrees {(theirs.argmax(1) == ours.argmax(1)).mean():.3f}; "
          f"texts tokenised otherwise: {disagree}")


def main() -> None:
    names = [*MODELS, "llama-mixed"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--check", action="store_true", help="only compare with llama.cpp")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    OUT.mkdir(exist_ok=True)
    for name in args.names or names:
        if args.check:
            check_with_llama_cpp(name)
        elif name == "llama-mixed":
            make_mixed()
        else:
            make_model(name)


if __name__ == "__main__":
    main()
