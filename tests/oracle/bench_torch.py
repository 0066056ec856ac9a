"""Prefill of 1024 tokens: PyTorch in float32 with two threads against `inscribe bench`, by turns.

    python tests/oracle/bench_torch.py MODEL.gguf [--rounds 5] [--json OUT.json]

PyTorch runs the same weights, dequantised, in transformers with SDPA: once with the logits of every
token and once with the last one's only, which is what inscribe's prefill computes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from paired import Worker, add, bench_inscribe, row, serve, table


def worker(model_path: str, mode: str, tokens: int, threads: int) -> None:
    import torch

    import gguf_reference

    torch.set_num_threads(threads)
    model = gguf_reference.load(model_path, attention="sdpa")
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(10, model.config.vocab_size - 10, (1, tokens), generator=generator)
    keep = {"logits_to_keep": 1} if mode == "last" else {}

    @torch.inference_mode()
    def measure() -> float:
        start = time.perf_counter()
        model(input_ids=ids, use_cache=False, **keep)
        return time.perf_counter() - start

    serve(measure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--inscribe", default="target/release/inscribe", metavar="BINARY")
    parser.add_argument("--torch-only", action="store_true")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the numbers here")
    parser.add_argument("--worker", choices=["all", "last"], help=argparse.SUPPRESS)
    parser.add_argument("extra", nargs="*", help="after --: further arguments for inscribe")
    args = parser.parse_args()
    if args.worker:
        return worker(args.model, args.worker, args.tokens, args.threads)

    shared = [args.model, "--tokens", str(args.tokens), "--threads", str(args.threads)]
    workers = {
        f"PyTorch f32, {what}": Worker(__file__, mode, *shared)
        for what, mode in (("all logits", "all"), ("last logits", "last"))
    }
    rows = {name: row(name) for name in workers}
    ours = {"all logits": ["--score"], "last logits": []}
    if not args.torch_only:
        rows |= {f"inscribe, {what}": row(f"inscribe, {what}")
                 for what in ours}
    for _ in range(args.rounds):
        for name, process in workers.items():
            add(rows[name], process.ask())
        for what, flags in ours.items():
            if not args.torch_only:
                found = bench_inscribe(args.inscribe, args.model, args.device, args.tokens, 1,
                                       "prefill", [*flags, *args.extra])
                add(rows[f"inscribe, {what}"], {
                    "seconds": found["prefill"]["seconds"][-1],
                    "peak_rss_bytes": found["peak_rss_bytes"] or 0})
    for process in workers.values():
        process.close()
    found = table(list(rows.values()), "PyTorch f32, last logits", args.tokens)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
