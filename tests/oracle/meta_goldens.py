"""Makes the tiny models of tests/golden/meta and what PyTorch's double backward says about training them.

    python tests/oracle/meta_goldens.py

Random llama and qwen3 models that are written to by K steps of gradient descent on memory rows and then
read (GradMem, arXiv 2603.13875). The gradient of the answers' loss, through those steps, with respect to
everything that is trained: all weights, the memory that writing starts from and, in the case `full`, a
projection of memory, a head for writing, control rows, the rate of writing, and the last writing loss
beside that of the answers. In float64 over the weights as stored; gradients are kept in float16.

`rmt` is the baseline that writes by forward passes alone (two of them): the memory, through its
projection, before and after the context, and the last rows behind the output norm as the new memory.

Of qwen2 (biases, a head of its own) and gemma3 (norms after blocks, gains less one, a sliding window) only
the case `k1`: what differs are their weights, not the steps of writing.

Each model's folder is a checkpoint (config.json, model.safetensors) with a golden.safetensors beside it.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

OUT = Path(__file__).resolve().parents[1] / "golden" / "meta"
VOCAB, HIDDEN, MEMORY, AROUND = 80, 32, 3, 2
# Tokens of each context; the shorter one is padded in a batch.
CONTEXTS, QUESTIONS, PROMPT, ANSWER = (17, 17, 12), 2, 5, 3
ALPHA, CLIP, ADDED = 0.4, 0.15, 0.5
BASE = dict(
    vocab_size=VOCAB, hidden_size=HIDDEN, num_hidden_layers=2, intermediate_size=48,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-5,
    tie_word_embeddings=True, rope_theta=10_000.0)
MODELS = {
    "llama": BASE | dict(head_dim=8),
    "qwen3": BASE | dict(head_dim=16),
    "qwen2": BASE | dict(tie_word_embeddings=False),
    "gemma3": BASE | dict(
        model_type="gemma3_text", head_dim=8, query_pre_attn_scalar=8, sliding_window=6,
        layer_types=["sliding_attention", "full_attention"], rope_local_base_freq=1_000.0,
        hidden_activation="gelu_pytorch_tanh", pad_token_id=None),
}
# Steps, clipping and whether all parts are there.
CASES = {"k1": (1, None, False), "k2": (2, None, False), "k5": (5, None, False),
         "clipped": (2, CLIP, False), "full": (2, CLIP, True)}


def random(generator, *shape, size: float = 1.0) -> torch.Tensor:
    return (size * torch.randn(shape, generator=generator)).to(torch.bfloat16)


def make_model(kind: str, out: Path, generator):
    (out / "config.json").write_text(json.dumps({"model_type": kind} | MODELS[kind], indent=1) + "\n")
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(out), attn_implementation="eager")
    less_one = kind == "gemma3"
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.1 if parameter.ndim == 1 else parameter.shape[1] ** -0.5
            is_gain = parameter.ndim == 1 and not name.endswith("bias")
            start = 1.0 if is_gain and not less_one else 0.0
            parameter.copy_(start + random(generator, *parameter.shape, size=spread))
            parameter.copy_(parameter.to(torch.bfloat16))
    parts = {"mem": random(generator, MEMORY, HIDDEN, size=0.3)}
    parts["mem_proj.weight"] = (torch.eye(HIDDEN) + random(generator, HIDDEN, HIDDEN, size=0.1)).to(torch.bfloat16)
    parts["mem_proj.bias"] = random(generator, HIDDEN, size=0.1)
    parts["write_head.weight"] = random(generator, VOCAB, HIDDEN, size=HIDDEN**-0.5)
    for name in ("write_st", "write_end", "read_st", "read_end"):
        parts[name] = random(generator, AROUND, HIDDEN, size=0.3)
    return model, parts


class Net:
    def __init__(self, model, parts: dict, full: bool):
        self.model = model
        self.parts = {name: value.double().requires_grad_() for name, value in parts.items()
                      if full or name == "mem"}
        self.log_alpha = torch.tensor(ALPHA, dtype=torch.float64).log().requires_grad_()

    def trained(self) -> dict:
        own = dict(self.model.named_parameters())
        return own | self.parts | {"log_lr": self.log_alpha}

    def loss(self, memory, ids, learned: int, phase: str):
        """Mean -log P of the last `learned` tokens of `ids`."""
        rows = memory
        if "mem_proj.weight" in self.parts:
            rows = F.linear(rows, self.parts["mem_proj.weight"], self.parts["mem_proj.bias"])
        ends = [self.parts.get(f"{phase}_{end}") for end in ("st", "end")]
        rows = torch.cat([t for t in (ends[0], rows, ends[1]) if t is not None])
        rows = torch.cat([rows, self.model.get_input_embeddings()(ids)])[None]
        hidden = self.model.model(inputs_embeds=rows, use_cache=False).last_hidden_state[0]
        head = self.parts.get("write_head.weight") if phase == "write" else None
        head = self.model.lm_head.weight if head is None else head
        return F.cross_entropy(F.linear(hidden[-learned - 1 : -1], head), ids[-learned:])


def case(net: Net, data, steps: int, clip, full: bool):
    total, answers = 0.0, []
    for context, questions in data:
        memory, last = net.parts["mem"], 0.0
        for _ in range(steps):
            last = net.loss(memory, context, len(context), "write")
            (grad,) = torch.autograd.grad(last, memory, create_graph=True)
            norm = grad.norm()
            if clip is not None and norm > clip:
                grad = grad * clip / (norm + 1e-6)
            memory = memory - net.log_alpha.exp() * grad
        answers += [net.loss(memory, question, ANSWER, "read") for question in questions]
        total = total + (ADDED * last / len(data) if full else 0.0)
    loss = torch.stack(answers).mean()
    trained = net.trained()
    grads = torch.autograd.grad(loss + total, list(trained.values()), allow_unused=True)
    return loss.item(), {name: g for name, g in zip(trained, grads) if g is not None}


def rmt_case(net: Net, data, passes: int):
    """Contexts of one length; memory is projected when it is written, not when it is read."""
    answers = []
    for context, questions in data:
        memory = net.parts["mem"]
        for _ in range(passes):
            rows = F.linear(memory, net.parts["mem_proj.weight"], net.parts["mem_proj.bias"])
            rows = torch.cat([rows, net.model.get_input_embeddings()(context), rows])[None]
            memory = net.model.model(inputs_embeds=rows, use_cache=False).last_hidden_state[0, -MEMORY:]
        own = {name: net.parts.pop(name) for name in ("mem_proj.weight", "mem_proj.bias")}
        answers += [net.loss(memory, question, ANSWER, "read") for question in questions]
        net.parts |= own
    loss, trained = torch.stack(answers).mean(), net.trained()
    grads = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    return loss.item(), {name: g for name, g in zip(trained, grads) if g is not None}


def main() -> None:
    torch.set_num_threads(1)
    for number, kind in enumerate(MODELS):
        generator = torch.Generator().manual_seed(11 + number)
        out = OUT / kind
        out.mkdir(parents=True, exist_ok=True)
        model, parts = make_model(kind, out, generator)
        ids = lambda count: torch.randint(0, VOCAB, (count,), generator=generator)
        data = [(ids(n), [ids(PROMPT + ANSWER) for _ in range(QUESTIONS)]) for n in CONTEXTS]
        tied = model.config.tie_word_embeddings
        state = {name: value.to(torch.bfloat16).contiguous()
                 for name, value in model.state_dict().items() if not (tied and name == "lm_head.weight")}
        save_file(state | parts, out / "model.safetensors", metadata={"format": "pt"})
        golden = {f"context.{i}": context.to(torch.int32) for i, (context, _) in enumerate(data)}
        golden |= {f"question.{i}.{j}": q.to(torch.int32)
                   for i, (_, questions) in enumerate(data) for j, q in enumerate(questions)}
        model = model.double()
        few = kind not in ("llama", "qwen3")
        for name, (steps, clip, full) in list(CASES.items())[: 1 if few else None]:
            loss, grads = case(Net(model, parts, full), data, steps, clip, full)
            golden[f"{name}.loss"] = torch.tensor([loss])
            golden |= {f"{name}.grad.{key}": g.half().contiguous() for key, g in grads.items()}
            print(f"{kind} {name}: loss {loss:.4f}, norm "
                  f"{torch.stack([g.norm() for g in grads.values()]).norm():.4f}")
        if few:
            save_file(golden, out / "golden.safetensors")
            continue
        projected = {name: parts[name] for name in ("mem", "mem_proj.weight", "mem_proj.bias")}
        equal = [(context, questions) for context, questions in data if len(context) == CONTEXTS[0]]
        loss, grads = rmt_case(Net(model, projected, True), equal, 2)
        golden["rmt.loss"] = torch.tensor([loss])
        golden |= {f"rmt.grad.{key}": g.half().contiguous() for key, g in grads.items()}
        save_file(golden, out / "golden.safetensors")
        for path in out.iterdir():
            path.chmod(0o644)
            print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
