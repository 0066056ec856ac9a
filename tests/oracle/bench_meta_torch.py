"""Speed and memory of training through the steps of writing, beside plain PyTorch, in one paired run.

    python tests/oracle/bench_meta_torch.py [--pairs 8] [--inner-steps 2] [--rounds 3]

The same net (four layers of 128, eight memory rows), batch (16 contexts of 8 questions) and optimiser on
both sides, two threads each, by turns: `inscribe train gradmem --device cpu`, and eager PyTorch with
create_graph through every step on the memory. The first steps of a run are not counted. With
--inner-steps 0 it is the plain training step: questions, and the gradients of all weights.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAYERS, WIDTH, HEADS, MEMORY, VOCAB = 4, 128, 4, 8, 70
CONTEXTS, QUESTIONS, ALPHA = 16, 8, 0.4
FIRST = 5


def peer(pairs: int, inner_steps: int, steps: int) -> list[float]:
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(2)
    torch.manual_seed(1)
    size = WIDTH // HEADS
    weights = {"embedding": (VOCAB, WIDTH), "memory": (MEMORY, WIDTH)}
    for layer in range(LAYERS):
        weights |= {f"{layer}.qkv": (3 * WIDTH, WIDTH), f"{layer}.o": (WIDTH, WIDTH),
                    f"{layer}.gate_up": (8 * WIDTH, WIDTH), f"{layer}.down": (WIDTH, 4 * WIDTH)}
    weights = {name: (0.02 * torch.randn(shape)).requires_grad_() for name, shape in weights.items()}
    gains = {name: torch.ones(WIDTH).requires_grad_()
             for name in ["out"] + [f"{layer}.{part}" for layer in range(LAYERS) for part in "ab"]}
    frequencies = 500_000.0 ** (-torch.arange(0, size, 2) / size)

    def norm(x, name):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * gains[name]

    def turned(x):
        angles = torch.arange(x.shape[2])[:, None] * frequencies
        near, far = x.chunk(2, -1)
        return torch.cat([near * angles.cos() - far * angles.sin(), far * angles.cos() + near * angles.sin()], -1)

    def logits(memory, ids):
        x = torch.cat([memory, weights["embedding"][ids]], 1)
        batch, rows, _ = x.shape
        hidden = torch.full((rows, rows), -torch.inf).triu(1)
        for layer in range(LAYERS):
            heads = F.linear(norm(x, f"{layer}.a"), weights[f"{layer}.qkv"]).view(batch, rows, 3 * HEADS, size)
            q, k, v = heads.transpose(1, 2).chunk(3, 1)
            shares = (turned(q) @ turned(k).mT / size**0.5 + hidden).softmax(-1)
            x = x + F.linear((shares @ v).transpose(1, 2).reshape(batch, rows, WIDTH), weights[f"{layer}.o"])
            gate, up = F.linear(norm(x, f"{layer}.b"), weights[f"{layer}.gate_up"]).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, weights[f"{layer}.down"])
        return F.linear(norm(x, "out"), weights["embedding"])

    parameters = list(weights.values()) + list(gains.values())
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, weight_decay=0.0)
    seconds = []
    for _ in range(FIRST + steps):
        context = torch.randint(4, 66, (CONTEXTS, 7 * pairs + 1))
        questions = torch.randint(4, 66, (CONTEXTS * QUESTIONS, 9))
        started = time.perf_counter()
        memory = weights["memory"].expand(CONTEXTS, -1, -1)
        for _ in range(inner_steps):
            found = logits(memory, context[:, :-1])[:, MEMORY - 1:]
            loss = F.cross_entropy(found.mT, context, reduction="none").mean(1).sum()
            (slope,) = torch.autograd.grad(loss, memory, create_graph=True)
            memory = memory - ALPHA * slope
        found = logits(memory.repeat_interleave(QUESTIONS, 0), questions[:, :-1])[:, -4:]
        F.cross_entropy(found.mT, questions[:, -4:]).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - started)
    return seconds[FIRST:]


def own(program: str, pairs: int, inner_steps: int, steps: int) -> tuple[list[float], int]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        call = [program, "train", "gradmem", "--quiet", "--device", "cpu", "--threads", "2",
                "--curriculum", f"{pairs}:{inner_steps}", "--steps", str(FIRST + steps),
                "--checkpoint", "3600", "--out", str(out)]
        running = subprocess.Popen(call, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(running.pid, 0)
        if status != 0:
            raise SystemExit(f"{' '.join(call)}: status {status}")
        most = usage.ru_maxrss
        events = map(json.loads, (out / "events.jsonl").read_text().splitlines())
        at = [event["seconds"] for event in events if event["event"] == "step"]
    return [b - a for a, b in zip(at[FIRST - 1:], at[FIRST:])], most


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=str(ROOT / "target/release/inscribe"))
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--inner-steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        seconds = peer(args.pairs, args.inner_steps, args.steps)
        print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
        return
    ours, theirs, memory = [], [], [0, 0]
    for turn in range(args.rounds):
        mine, most = own(args.program, args.pairs, args.inner_steps, args.steps)
        ours.append(statistics.median(mine))
        memory[0] = max(memory[0], most)
        call = [sys.executable, __file__, "--peer", "--pairs", str(args.pairs),
                "--inner-steps", str(args.inner_steps), "--steps", str(args.steps)]
        seconds, most = json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
        theirs.append(statistics.median(seconds))
        memory[1] = max(memory[1], most)
        print(f"round {turn + 1}: inscribe {ours[-1]:.3f} s, PyTorch {theirs[-1]:.3f} s a step, "
              f"{theirs[-1] / ours[-1]:.2f} times as fast")
    print(f"{args.pairs} pairs, K={args.inner_steps}: median {statistics.median(theirs) / statistics.median(ours):.2f} "
          f"times as fast, {memory[0] // 1024} MB against {memory[1] // 1024} MB at most")


if __name__ == "__main__":
    main()
