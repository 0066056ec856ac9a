"""Makes the tiny model of tests/golden/gradmem and what autograd says about writing to it.

    python tests/oracle/gradmem_goldens.py

A random llama with everything that a GradMem checkpoint may carry (arXiv 2603.13875; names as in the
authors' code: mem, mem_proj, read_mem_proj, write_head, write_st, ...). The write is computed here in
float64 over the weights as stored: K steps of clipped gradient descent on the memory tokens, down the
mean -log P of the text that follows them. Two kinds: `full` with all parts, `proj` with `mem` and
`mem_proj` alone.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

OUT = Path(__file__).resolve().parents[1] / "golden" / "gradmem"
VOCAB, HIDDEN, MEMORY, AROUND, TOKENS = 320, 32, 5, 2, 37
STEPS, RATE, CLIP = 5, 0.8, 0.25
BASE = dict(
    vocab_size=VOCAB, hidden_size=HIDDEN, num_hidden_layers=2, intermediate_size=64,
    num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=256, rms_norm_eps=1e-5,
    tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0})


def random(generator, *shape, size: float = 1.0) -> torch.Tensor:
    return (size * torch.randn(shape, generator=generator)).to(torch.bfloat16)


def make_model(generator) -> tuple[LlamaForCausalLM, dict]:
    model = LlamaForCausalLM(LlamaConfig(**BASE, attn_implementation="eager"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.1 if parameter.ndim == 1 else 1.5 * parameter.shape[1] ** -0.5
            start = 1.0 if parameter.ndim == 1 else 0.0
            parameter.copy_(start + random(generator, *parameter.shape, size=spread))
            parameter.copy_(parameter.to(torch.bfloat16))
    near_identity = lambda: (torch.eye(HIDDEN) + random(generator, HIDDEN, HIDDEN, size=0.1)).to(torch.bfloat16)
    parts = {"mem": random(generator, MEMORY, HIDDEN, size=0.3)}
    for name in ("mem_proj", "read_mem_proj"):
        parts[f"{name}.weight"] = near_identity()
        parts[f"{name}.bias"] = random(generator, HIDDEN, size=0.1)
    parts["write_head.weight"] = random(generator, VOCAB, HIDDEN, size=1.5 * HIDDEN**-0.5)
    for name in ("write_st", "write_end", "read_st", "read_end"):
        parts[name] = random(generator, AROUND, HIDDEN, size=0.3)
    return model, parts


def entered(parts: dict, memory, projection: str, phase: str):
    rows = F.linear(memory, parts[f"{projection}.weight"], parts[f"{projection}.bias"])
    ends = [parts.get(f"{phase}_{end}") for end in ("st", "end")]
    return torch.cat([t for t in (ends[0], rows, ends[1]) if t is not None])


def text_loss(model, before, ids, head):
    rows = torch.cat([before, model.get_input_embeddings()(ids)])[None]
    hidden = model.model(inputs_embeds=rows, use_cache=False).last_hidden_state[0]
    logits = F.linear(hidden[len(before) - 1 : -1], head)
    return F.cross_entropy(logits, ids)


def write(model, parts: dict, ids, kind: str) -> dict:
    head = parts.get("write_head.weight", model.lm_head.weight)
    memory, losses, found = parts["mem"].clone().requires_grad_(), [], {}
    for step in range(STEPS + 1):
        loss = text_loss(model, entered(parts, memory, "mem_proj", "write"), ids, head)
        losses.append(loss.item())
        (grad,) = torch.autograd.grad(loss, memory)
        if step == 0:
            found["grad"] = grad
        if step == STEPS:
            break
        norm = grad.norm()
        scale = CLIP / (norm + 1e-6) if norm > CLIP else 1.0
        memory = (memory - RATE * scale * grad).detach().requires_grad_()
    projection = "read_mem_proj" if "read_mem_proj.weight" in parts else "mem_proj"
    read = entered(parts, memory.detach(), projection, "read")
    found |= {"losses": torch.tensor(losses), "memory": memory.detach(), "read": read,
              "read_loss": text_loss(model, read, ids, model.lm_head.weight).detach()[None]}
    print(f"{kind}: {losses[0]:.4f} -> {losses[-1]:.4f}, read {found['read_loss'].item():.4f}")
    return {f"{kind}.{name}": value for name, value in found.items()}


def main() -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(3)
    model, parts = make_model(generator)
    ids = torch.randint(0, VOCAB, (TOKENS,), generator=generator)
    OUT.mkdir(exist_ok=True)
    state = {f"model.{name}": value.to(torch.bfloat16).contiguous()
             for name, value in model.state_dict().items() if name != "lm_head.weight"}
    save_file(state | parts, OUT / "model.safetensors", metadata={"format": "pt"})
    config = {
        "model_type": "grad_memgpt", "architectures": ["GradMemGPT"], "pretrained_model": None,
        "base_config": {"model_type": "llama", **BASE}, "n_mem_tokens": MEMORY, "K": STEPS, "lr": RATE,
        "use_adam": False, "grad_mode": "second", "n_ctrl_tokens": AROUND, "inner_clip_value": None,
        "inner_clip_norm": CLIP, "use_mem_proj": True, "mem_proj_mode": "proj_rw",
        "use_write_head": True}
    (OUT / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    model, parts = model.double(), {name: value.double() for name, value in parts.items()}
    few = {name: parts[name] for name in ("mem", "mem_proj.weight", "mem_proj.bias")}
    found = write(model, parts, ids, "full") | write(model, few, ids, "proj")
    found = {name: value.float().contiguous() for name, value in found.items()}
    save_file(found | {"ids": ids.to(torch.int32)}, OUT / "golden.safetensors")
    for path in OUT.iterdir():
        path.chmod(0o644)
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
