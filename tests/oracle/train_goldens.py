"""What PyTorch says about gradients and training: writes tests/golden/train.

    python tests/oracle/train_goldens.py                          # the tiny models
    python tests/oracle/train_goldens.py --smollm2 MODEL.gguf     # the default model, too

Three kinds of training, in float32 (SmolLM2 in float64, because its gradients in float32 are off by up
to 3e-4 of their norm). The loss is the mean over the scored tokens of -log P.

`qo` and `all`: LoRA (PEFT) on the query and output projections, or on all seven, over the whole
sequence; AdamW with clipping by the global norm.
`prefix`: four embeddings before the sequence, as the layers see them (Gemma's factor is in them
already). The last of them predicts the first token, so every token is scored. Gradient descent with
clipping.
`frozen`: LoRA on the query and output projections against a frozen cache. Keys and values of the
whole sequence come from the model without LoRA and are detached. The scored tokens then run again
with LoRA, each attending to the frozen entries up to its own position, itself included.

Of every kind the file holds the losses before each step and after the last, and the first step's
gradients. A tiny model's file holds all numbers (`NAME.safetensors`); that of SmolLM2 holds of each
gradient its norm, its products with vectors of signs, and a few entries (`smollm2.json`), and its A
and B and the noise on its memory tokens follow from seeds. Rows are in Hugging Face's order.
"""

from __future__ import annotations

import argparse
import json
import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM
from transformers.masking_utils import AttentionMaskInterface
from transformers.modeling_utils import AttentionInterface
from transformers.utils import logging

HERE = Path(__file__).resolve().parent
TINY = HERE.parent / "golden" / "tiny"
OUT = HERE.parent / "golden" / "train"
MODELS = ["llama", "llama3", "qwen2", "qwen3", "gemma3"]

PROJECTIONS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj",
               "gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
STEPS = 10
PREFIX_STEPS = 5
PREFIX_TOKENS = 4
WEIGHT_DECAY = 0.01
MAX_NORM = 1.0


# --- LoRA -----------------------------------------------------------------------------------------


def with_lora(model, projections, rank: int, initial):
    """The model with PEFT's LoRA, alpha twice the rank, filled by `initial(layer, name, side, shape)`."""
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, bias="none",
                        target_modules=[PROJECTIONS[p] for p in projections], task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    model.eval()
    with torch.no_grad():
        for (layer, name, side), parameter in lora_parameters(model).items():
            parameter.copy_(initial(layer, name, side, tuple(parameter.shape)))
    return model


def lora_parameters(model) -> dict:
    """(layer, projection, "A" or "B") -> parameter, in the order of layers."""
    found = {}
    for name, parameter in model.named_parameters():
        match = re.search(r"layers\.(\d+)\.\w+\.(\w+)_proj\.lora_([AB])\.default\.weight", name)
        if match:
            found[int(match[1]), match[2], match[3]] = parameter
        assert parameter.requires_grad == bool(match), name
    return found


def train(parameters, optimiser, steps: int, loss_of) -> tuple[list[float], list[torch.Tensor]]:
    """Losses before each step and after the last, and the first gradients, not yet clipped."""
    losses, first = [], None
    for _ in range(steps):
        optimiser.zero_grad()
        loss = loss_of()
        loss.backward()
        losses.append(loss.item())
        first = first or [p.grad.detach().clone() for p in parameters]
        torch.nn.utils.clip_grad_norm_(parameters, MAX_NORM)
        optimiser.step()
    with torch.no_grad():
        losses.append(loss_of().item())
    return losses, first


def train_lora(model, lr: float, loss_of) -> tuple[list[float], dict]:
    named = lora_parameters(model)
    parameters = list(named.values())
    optimiser = torch.optim.AdamW(parameters, lr=lr, weight_decay=WEIGHT_DECAY)
    losses, grads = train(parameters, optimiser, STEPS, lambda: loss_of(model))
    return losses, dict(zip(named, grads))


def next_token_loss(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Of the last `len(ids)` tokens, each predicted from the one before it."""
    return F.cross_entropy(logits[-len(ids) - 1 : -1], ids)


# --- the frozen cache -----------------------------------------------------------------------------


class Frozen:
    """Keys and values of a whole sequence, and the attention that reads them."""

    def __init__(self):
        self.cache = {}
        self.positions = None

    def attend(self, module, query, key, value, attention_mask, scaling, **_):
        """transformers' attention interface. Without positions it attends causally and records."""
        if self.positions is None:
            self.cache[module.layer_idx] = key.detach().clone(), value.detach().clone()
            positions = torch.arange(query.shape[2])
        else:
            key, value = self.cache[module.layer_idx]
            positions = self.positions
        groups = query.shape[1] // key.shape[1]
        key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
        distance = positions[:, None] - torch.arange(key.shape[2])[None, :]
        seen = distance >= 0
        window = getattr(module, "sliding_window", None)
        if window is not None:
            seen &= distance < window
        scores = (query @ key.transpose(2, 3)) * scaling
        scores = scores.masked_fill(~seen, float("-inf"))
        out = torch.softmax(scores, dim=-1) @ value
        return out.transpose(1, 2).contiguous(), None


FROZEN = Frozen()
AttentionInterface.register("frozen", lambda *args, **kwargs: FROZEN.attend(*args, **kwargs))
AttentionMaskInterface.register("frozen", lambda *_, **__: None)


@contextmanager
def frozen_attention(model):
    before = model.config._attn_implementation
    model.set_attn_implementation("frozen")
    yield
    model.set_attn_implementation(before)


def prefill(model, ids: torch.Tensor) -> torch.Tensor:
    """Fills the frozen cache without LoRA; the logits."""
    FROZEN.positions = None
    with torch.no_grad(), model.disable_adapter():
        return model(input_ids=ids[None], use_cache=False).logits[0]


def frozen_logits(model, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Logits after the tokens at `positions`, which attend to the frozen cache."""
    FROZEN.positions = positions
    return model(input_ids=ids[positions][None], position_ids=positions[None], use_cache=False).logits[0]


def train_frozen(model, ids: torch.Tensor, positions: torch.Tensor, lr: float):
    with torch.no_grad(), model.disable_adapter():
        plain = model(input_ids=ids[None], use_cache=False).logits[0]
    with frozen_attention(model.base_model.model):
        torch.testing.assert_close(prefill(model, ids), plain, atol=1e-3, rtol=1e-4)
        with torch.no_grad(), model.disable_adapter():
            again = frozen_logits(model, ids, positions)
        torch.testing.assert_close(again, plain[positions], atol=1e-3, rtol=1e-4)
        targets = ids[positions + 1]
        return train_lora(
            model, lr, lambda m: F.cross_entropy(frozen_logits(m, ids, positions), targets))


# --- memory tokens --------------------------------------------------------------------------------


def train_prefix(model, ids: torch.Tensor, start_of, lr: float):
    """Losses, the first gradient, and the memory tokens before and after."""
    model.requires_grad_(False)
    embedded = model.get_input_embeddings()(ids)
    start = start_of(embedded)
    memory = start.clone().requires_grad_()

    def loss_of():
        both = torch.cat([memory, embedded])[None]
        return next_token_loss(model(inputs_embeds=both, use_cache=False).logits[0], ids)

    optimiser = torch.optim.SGD([memory], lr=lr)
    losses, (grad,) = train([memory], optimiser, PREFIX_STEPS, loss_of)
    return losses, grad, start, memory


# --- the tiny models ------------------------------------------------------------------------------


TINY_LR = 1e-2
TINY_PREFIX_LR = 0.3
# One span that windows do not reach back from, one longer than Gemma's window, one at the end.
TINY_SPANS = [range(2, 5), range(11, 23), range(34, 39)]


def read_tiny(name: str):
    return AutoModelForCausalLM.from_pretrained(
        TINY / name, dtype=torch.float32, attn_implementation="eager").eval()


def tiny_initial(name: str) -> dict:
    """A and B of all seven projections, rank 4, large enough that every part moves the loss."""
    generator = torch.Generator().manual_seed(7)
    linear = read_tiny(name).model.layers
    found = {}
    for layer, module in enumerate(linear):
        for short, path in PROJECTIONS.items():
            half = module.mlp if short in ("gate", "up", "down") else module.self_attn
            outputs, inputs = getattr(half, path).weight.shape
            for side, shape in (("A", (4, inputs)), ("B", (outputs, 4))):
                std = 0.5 * inputs**-0.5 if side == "A" else 0.3
                found[layer, short, side] = std * torch.randn(shape, generator=generator)
    return found


def cut(initial: dict, rank: int):
    """The first `rank` of every pair."""
    def of(layer, name, side, _):
        whole = initial[layer, name, side]
        return whole[:rank] if side == "A" else whole[:, :rank]
    return of


def key(layer: int, name: str, side: str) -> str:
    return f"{layer}.{name}.{side}"


def tiny_prefix(name: str, ids: torch.Tensor) -> dict:
    model = read_tiny(name)
    generator = torch.Generator().manual_seed(8)

    def noisy(embedded: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(PREFIX_TOKENS, embedded.shape[1], generator=generator)
        return embedded[:PREFIX_TOKENS] + 0.3 * embedded.std() * noise

    losses, grad, start, memory = train_prefix(model, ids, noisy, TINY_PREFIX_LR)
    return {"prefix.start": start, "prefix.grad": grad, "prefix.after": memory.detach(),
            "prefix.losses": torch.tensor(losses)}


def make_tiny(name: str) -> None:
    golden = json.loads((TINY / f"{name}.golden.json").read_text())
    ids = torch.tensor(golden["ids"])
    initial = tiny_initial(name)
    positions = torch.tensor([p for span in TINY_SPANS for p in span])
    found = {f"init.{key(*k)}": v for k, v in initial.items()}
    whole = lambda m: next_token_loss(m(input_ids=ids[None], use_cache=False).logits[0], ids[1:])
    kinds = {
        "qo": ("qo", 4, lambda m: train_lora(m, TINY_LR, whole)),
        "all": (list(PROJECTIONS), 4, lambda m: train_lora(m, TINY_LR, whole)),
        # A rank that fills no vector.
        "frozen": ("qo", 3, lambda m: train_frozen(m, ids, positions, TINY_LR)),
    }
    for kind, (projections, rank, run) in kinds.items():
        model = with_lora(read_tiny(name), projections, rank, cut(initial, rank))
        losses, grads = run(model)
        found[f"{kind}.losses"] = torch.tensor(losses)
        found |= {f"{kind}.grad.{key(*k)}": g for k, g in grads.items()}
    found |= tiny_prefix(name, ids)
    found["rates"] = torch.tensor([TINY_LR, WEIGHT_DECAY, MAX_NORM, TINY_PREFIX_LR])
    arrays = {k: np.ascontiguousarray(v.numpy().astype(np.float32)) for k, v in found.items()}
    arrays |= {"ids": ids.numpy().astype(np.uint32),
               "frozen.positions": positions.numpy().astype(np.uint32)}
    path = OUT / f"{name}.safetensors"
    save_file(arrays, path)
    path.chmod(0o644)
    print(f"{name}: {path.stat().st_size >> 10} KiB; "
          + "; ".join(f"{k} {arrays[f'{k}.losses'][0]:.4f} -> {arrays[f'{k}.losses'][-1]:.4f}"
                      for k in (*kinds, "prefix")))


# --- SmolLM2 --------------------------------------------------------------------------------------


SMOLLM2_RANK = 16
SMOLLM2_LR = 1e-3
SMOLLM2_TOKENS = 144
SMOLLM2_SPANS = [range(20, 28), range(64, 80), range(127, 143)]
SMOLLM2_PREFIX_LR = 0.3
SMOLLM2_PREFIX_SEED = 9
ENTRIES = 4


def bits(seed: int, count: int) -> np.ndarray:
    """SplitMix64."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return z ^ z >> np.uint64(31)


def units(seed: int, count: int) -> np.ndarray:
    """Uniform in -1 to 1, exact in float32."""
    return ((bits(seed, count) >> np.uint64(40)).astype(np.float64) / 2**23 - 1).astype(np.float32)


def seeded(layer: int, name: str, side: str, shape) -> torch.Tensor:
    """A between -1 / sqrt(inputs) and that, B between -0.02 and 0.02."""
    seed = 1000 * layer + 10 * list(PROJECTIONS).index(name) + "AB".index(side)
    size = np.float32(1 / np.sqrt(shape[1])) if side == "A" else np.float32(0.02)
    return torch.from_numpy(size * units(seed, shape[0] * shape[1]).reshape(shape))


def seeded_prefix(embedded: torch.Tensor) -> torch.Tensor:
    """The first tokens' embeddings and noise between -0.05 and 0.05."""
    start = embedded[:PREFIX_TOKENS].float()
    noise = units(SMOLLM2_PREFIX_SEED, start.numel()).reshape(start.shape)
    return (start + torch.from_numpy(np.float32(0.05) * noise)).to(embedded.dtype)


def in_double(model):
    """The model in float64, its norms too, which transformers computes in float32."""
    def norm(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    for module in model.modules():
        if type(module).__name__ == "LlamaRMSNorm":
            module.forward = norm.__get__(module)
    return model.double()


def outline(grad: torch.Tensor) -> dict:
    """Enough of a gradient to tell it from another: products with signs see every element."""
    flat = grad.numpy().astype(np.float64).ravel()
    signs = [1.0 - 2.0 * (bits(seed, len(flat)) >> np.uint64(63)).astype(np.float64)
             for seed in (1, 2, 3)]
    places = [int(b % np.uint64(len(flat))) for b in bits(4, ENTRIES)]
    return {"norm": float(np.linalg.norm(flat)),
            "signs": [float(flat @ s) for s in signs],
            "entries": [[p, float(flat[p])] for p in places]}


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list) else value


def make_smollm2(path: Path) -> None:
    import gguf_reference
    import llama_cpp

    tokeniser = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    text = (HERE.parent.parent / "assets" / "sample.md").read_bytes()
    ids = torch.tensor(tokeniser.tokenize(text, add_bos=False, special=False)[:SMOLLM2_TOKENS])
    positions = torch.tensor([p for span in SMOLLM2_SPANS for p in span])
    whole = lambda m: next_token_loss(m(input_ids=ids[None], use_cache=False).logits[0], ids[1:])

    def lora(run):
        plain = gguf_reference.load(path, attention="sdpa")
        losses, grads = run(in_double(with_lora(plain, "qo", SMOLLM2_RANK, seeded)))
        return losses, {key(*k): g for k, g in grads.items()}

    def prefix():
        plain = gguf_reference.load(path, attention="sdpa")
        losses, grad, _, _ = train_prefix(in_double(plain), ids, seeded_prefix, SMOLLM2_PREFIX_LR)
        return losses, {"memory": grad}

    kinds = {
        "qo": lambda: lora(lambda m: train_lora(m, SMOLLM2_LR, whole)),
        "frozen": lambda: lora(lambda m: train_frozen(m, ids, positions, SMOLLM2_LR)),
        "prefix": prefix,
    }
    found = {
        "what": "made by tests/oracle/train_goldens.py from the first tokens of assets/sample.md",
        "rank": SMOLLM2_RANK, "alpha": 2 * SMOLLM2_RANK, "lr": SMOLLM2_LR,
        "weight_decay": WEIGHT_DECAY, "max_norm": MAX_NORM,
        "ids": ids.tolist(), "positions": positions.tolist(),
        "prefix_tokens": PREFIX_TOKENS, "prefix_lr": SMOLLM2_PREFIX_LR}
    for kind, run in kinds.items():
        losses, grads = run()
        found[kind] = {"losses": losses, "grads": {k: outline(g) for k, g in grads.items()}}
        print(f"smollm2: {kind} {losses[0]:.4f} -> {losses[-1]:.4f}")
    out = OUT / "smollm2.json"
    head = {k: v for k, v in found.items() if k not in kinds}
    lines = [f"{json.dumps(k)}: {json.dumps(rounded(v))}" for k, v in head.items()]
    for kind in kinds:
        grads = ",\n  ".join(f"{json.dumps(k)}: {json.dumps(rounded(v))}"
                             for k, v in found[kind]["grads"].items())
        losses = json.dumps(rounded(found[kind]["losses"]))
        lines.append(f'"{kind}": {{"losses": {losses}, "grads": {{\n  {grads}}}}}')
    out.write_text("{" + ",\n".join(lines) + "}\n")
    json.loads(out.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--smollm2", type=Path, metavar="MODEL.gguf")
    args = parser.parse_args()
    torch.set_num_threads(2 if args.smollm2 else 1)
    logging.disable_progress_bar()
    OUT.mkdir(exist_ok=True)
    for name in args.names or ([] if args.smollm2 else MODELS):
        make_tiny(name)
    if args.smollm2:
        make_smollm2(args.smollm2)


if __name__ == "__main__":
    main()
