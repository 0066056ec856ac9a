"""Decoding: llama.cpp with two threads against `inscribe bench` on the same file, by turns.

    python tests/oracle/bench_llama_cpp.py MODEL.gguf [--rounds 5] [--context 128] [--json OUT.json]

llama.cpp is measured as it loads a file by default (weights repacked for AMX where the machine has
it) and with plain buffers; the faster of the two is the one to beat. Its prefill is measured with
plain buffers only (see llama_cpp_model.py).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from paired import Worker, add, bench_inscribe, row, serve, table

NAMES = {"repacked": "llama.cpp", "plain": "llama.cpp, plain buffers"}


def worker(model_path: str, mode: str, context: int, tokens: int, threads: int) -> None:
    import numpy as np

    from llama_cpp_model import open_model

    room = context + tokens + 8
    llm = open_model(model_path, plain_buffers=mode != "repacked", n_ctx=room, n_threads=threads,
                     n_threads_batch=threads, n_batch=512)
    ids = [10 + 7 * i % 1000 for i in range(context)]
    if mode == "prefill":
        def measure_prefill() -> float:
            llm.reset()
            start = time.perf_counter()
            llm.eval(ids)
            return time.perf_counter() - start

        return serve(measure_prefill)

    # One at a time: with repacked weights more would reach the AMX kernels.
    for token in ids:
        llm.eval([token])

    def measure() -> float:
        llm.n_tokens = context
        token = ids[-1]
        start = time.perf_counter()
        for _ in range(tokens):
            llm.eval([token])
            logits = np.ctypeslib.as_array(llm._ctx.get_logits(), shape=(llm.n_vocab(),))
            token = int(logits.argmax())
        return time.perf_counter() - start

    serve(measure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--context", type=int, default=128, help="tokens before the first decoded")
    parser.add_argument("--tokens", type=int, default=64, help="tokens to decode")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--inscribe", default="target/release/inscribe", metavar="BINARY")
    parser.add_argument("--llama-cpp-only", action="store_true")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the numbers here")
    parser.add_argument("--worker", choices=["repacked", "plain", "prefill"], help=argparse.SUPPRESS)
    parser.add_argument("extra", nargs="*", help="after --: further arguments for inscribe")
    args = parser.parse_args()
    if args.worker:
        return worker(args.model, args.worker, args.context, args.tokens, args.threads)

    shared = [args.model, "--context", str(args.context), "--tokens", str(args.tokens),
              "--threads", str(args.threads)]
    workers = {NAMES[mode]: Worker(__file__, mode, *shared) for mode in NAMES}
    prefill = Worker(__file__, "prefill", *shared)
    names = [*workers] if args.llama_cpp_only else [*workers, "inscribe"]
    decode_rows = {name: row(name) for name in names}
    prefill_names = [NAMES["plain"]] if args.llama_cpp_only else [NAMES["plain"], "inscribe"]
    prefill_rows = {name: row(name) for name in prefill_names}
    for _ in range(args.rounds):
        for name, process in workers.items():
            add(decode_rows[name], process.ask())
        add(prefill_rows[NAMES["plain"]], prefill.ask())
        if not args.llama_cpp_only:
            found = bench_inscribe(args.inscribe, args.model, args.device, args.context, args.tokens,
                                   "prefill,decode", args.extra)
            for rows, part in ((decode_rows, "decode"), (prefill_rows, "prefill")):
                add(rows["inscribe"], {"seconds": found[part]["seconds"][-1],
                                       "peak_rss_bytes": found["peak_rss_bytes"] or 0})
    for process in (*workers.values(), prefill):
        process.close()
    print(f"decoding {args.tokens} tokens after {args.context}")
    decode = table(list(decode_rows.values()), NAMES["repacked"], args.tokens)
    print(f"prefill of {args.context} tokens")
    first = table(list(prefill_rows.values()), NAMES["plain"], args.context)
    if args.json:
        args.json.write_text(json.dumps({"decode": decode, "prefill": first}, indent=1) + "\n")


if __name__ == "__main__":
    main()
