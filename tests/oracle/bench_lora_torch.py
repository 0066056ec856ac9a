"""A LoRA step over 1024 tokens: PyTorch and PEFT in float32 with two threads against `inscribe bench`,
by turns.

    python tests/oracle/bench_lora_torch.py MODEL.gguf [--frozen] [--rounds 5] [--json OUT.json]

LoRA of rank 16 on the query and output projections, mean loss over all tokens, clipping, AdamW. The
weights are those of the file, dequantised; attention is SDPA. `--frozen` measures the step against a
frozen cache instead: 32 spans of eight tokens, gradients through queries only.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from paired import Worker, add, bench_inscribe, row, serve, table

RANK = 16
SPANS = 32
SPAN = 8


def worker(args) -> None:
    import torch
    import torch.nn.functional as F
    from peft import LoraConfig, get_peft_model

    import gguf_reference
    import train_goldens

    torch.set_num_threads(args.threads)
    model = gguf_reference.load(args.model, attention="sdpa")
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, bias="none",
                        target_modules=["q_proj", "o_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    model.train()
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(10, model.config.vocab_size - 10, (args.tokens,), generator=generator)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01)
    if args.frozen:
        starts = torch.randperm(args.tokens // SPAN - 1, generator=generator)[:SPANS] * SPAN
        positions = (starts.sort().values[:, None] + torch.arange(SPAN)).reshape(-1)
        model.base_model.model.set_attn_implementation("frozen")
        train_goldens.prefill(model, ids)

    def loss_of():
        if args.frozen:
            logits = train_goldens.frozen_logits(model, ids, positions)
            return F.cross_entropy(logits, ids[positions + 1])
        logits = model(input_ids=ids[None], use_cache=False).logits[0]
        return F.cross_entropy(logits[:-1], ids[1:])

    def measure() -> float:
        start = time.perf_counter()
        optimiser.zero_grad()
        loss_of().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        return time.perf_counter() - start

    serve(measure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frozen", action="store_true", help="against a frozen cache")
    parser.add_argument("--device", default="cpu", help="as inscribe's --device (default: cpu)")
    parser.add_argument("--inscribe", default="target/release/inscribe", metavar="BINARY")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the numbers here")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(args)

    torch = Worker(__file__, "--worker", args.model, "--tokens", str(args.tokens),
                   "--threads", str(args.threads), *(["--frozen"] if args.frozen else []))
    name = "PyTorch + PEFT f32"
    rows = {name: row(name), "inscribe": row("inscribe")}
    step = "frozen_step" if args.frozen else "step"
    for _ in range(args.rounds):
        add(rows[name], torch.ask())
        found = bench_inscribe(args.inscribe, args.model, args.device, 1, 1, "step",
                               ["--step", str(args.tokens)])
        add(rows["inscribe"], {"seconds": found[step]["seconds"][-1],
                               "peak_rss_bytes": found["peak_rss_bytes"] or 0})
    torch.close()
    found = table(list(rows.values()), name, SPANS * SPAN if args.frozen else args.tokens)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
