"""Per-token log-probabilities of `inscribe surprisal` against transformers in float32.

    python tests/oracle/compare_logprobs.py MODEL.gguf TEXT.txt --device cpu --tokens 700

Both read the same GGUF; the reference dequantises it with gguf-py. The ids must be llama.cpp's, every
log-probability within the tolerance, and the most likely token the same wherever the reference
prefers it to the next by more than 1e-2. Exit status 1 where one of these does not hold.

With `--window N` both see the local context only, blocks of N tokens after the N before them. With
`--window 4` every product has seven rows at most, so that the code that decodes is what is compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import llama_cpp
import numpy as np
import torch

import gguf_reference

TOLERANCE = {"cpu": 2e-3, "gpu": 5e-3}
CLEAR_MARGIN = 1e-2


def tokenizer_of(model: Path):
    return llama_cpp.Llama(str(model), vocab_only=True, verbose=False)


def tokenise(llm, text: bytes) -> list[int]:
    """Ids with the beginning-of-sequence token where the file asks for one."""
    add_bos = llm.metadata.get("tokenizer.ggml.add_bos_token", "false") == "true"
    return llm.tokenize(text, add_bos=add_bos, special=False)


def first_tokens(llm, text: str, count: int) -> tuple[str, list[int]]:
    """The beginning of a text that is about `count` tokens long, and its ids."""
    ids = tokenise(llm, text.encode())
    if len(ids) < count:
        raise SystemExit(f"the text has {len(ids)} tokens only; ask for fewer with --tokens")
    plain = ids[1:count] if ids[0] == llm.token_bos() else ids[:count]
    # Cut between characters: the last token may end inside one.
    cut = llm.detokenize(plain).decode("utf-8", "ignore")
    return cut, tokenise(llm, cut.encode())


def from_logits(ids: list[int], rows) -> dict[str, np.ndarray]:
    """What is compared, out of logits that come row by row."""
    logprob, top, margin = [], [], []
    for position, row in enumerate(rows):
        row = torch.as_tensor(np.array(row)).double()
        best = row.topk(2)
        top.append(int(best.indices[0]))
        margin.append(float(best.values[0] - best.values[1]))
        if position + 1 < len(ids):
            logprob.append(float(row[ids[position + 1]] - row.logsumexp(-1)))
    return {
        "ids": np.array(ids),
        "logprob": np.array([np.nan, *logprob]),
        # The most likely token *at* a position, given those before it.
        "top": np.array([-1, *top[:-1]]),
        "margin": np.array([0.0, *margin[:-1]]),
    }


def local_rows(loaded, ids: list[int], lead: int, window: int) -> list:
    """The logits that predict each next token from its block and the one before it."""
    body, rows = ids[lead:], []
    for start in range(0, len(body), window):
        end = min(len(body), start + window)
        context = ids[:lead] + body[max(0, start - window):end]
        logits = list(gguf_reference.logits_of(loaded, context))
        first = len(context) - (end - start)
        rows += logits[max(first - 1, 0):len(context) - 1]
    # What follows the last token is not compared.
    return [*rows, rows[-1]]


def reference(model: Path, ids: list[int], lead: int, window: int | None,
              cache: Path | None) -> dict[str, np.ndarray]:
    what = f"{model.stat().st_size} {ids}" + (f" {lead} {window}" if window else "")
    key = hashlib.sha256(what.encode()).hexdigest()[:12]
    path = cache / f"{model.stem}-{len(ids)}-{key}.npz" if cache else None
    if path and path.exists():
        return dict(np.load(path))
    loaded = gguf_reference.load(model)
    rows = (local_rows(loaded, ids, lead, window) if window
            else gguf_reference.logits_of(loaded, ids))
    found = from_logits(ids, rows)
    if path:
        cache.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **found)
    return found


def by_llama_cpp(model: Path, ids: list[int]) -> dict[str, np.ndarray]:
    """llama.cpp over the same weights in f32; from the quantised file it rounds activations, too.

    In processes of their own: torch and llama.cpp each bring an OpenMP runtime.
    """
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        plain, ids_path, out = (Path(folder) / n for n in ("f32.gguf", "ids.json", "logits.npy"))
        ids_path.write_text(json.dumps(ids))
        for script in (["dequantise_gguf.py", model, plain],
                       ["llama_cpp_logits.py", plain, ids_path, out]):
            subprocess.run([sys.executable, here / script[0], *script[1:]], check=True)
        return from_logits(ids, np.load(out, mmap_mode="r"))


def by_inscribe(binary: str, model: Path, text: str, device: str, extra: list[str]) -> dict:
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        command = [binary, "surprisal", "--model", str(model), "--text-file", file.name,
                   "--format", "jsonl", "--top", "--device", device, *extra]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {
        "ids": np.array([row["id"] for row in rows]),
        "logprob": np.array([np.nan if row["logprob"] is None else row["logprob"] for row in rows]),
        "top": np.array([-1 if row.get("top") is None else row["top"] for row in rows]),
    }


def report(name: str, theirs: dict, expected: dict, tolerance: float) -> bool:
    """Prints how far apart they are; whether that is near enough."""
    if not np.array_equal(theirs["ids"], expected["ids"]):
        shorter = min(len(theirs["ids"]), len(expected["ids"]))
        differ = np.flatnonzero(theirs["ids"][:shorter] != expected["ids"][:shorter])
        at = int(differ[0]) if len(differ) else shorter
        print(f"{name}: the ids differ from position {at}: "
              f"{theirs['ids'][at:at + 4]} where {expected['ids'][at:at + 4]} is right")
        return False
    off = np.abs(theirs["logprob"][1:] - expected["logprob"][1:])
    clear = expected["margin"] > CLEAR_MARGIN
    clear[0] = False
    agree = theirs["top"][clear] == expected["top"][clear]
    good = bool(np.all(off <= tolerance) and agree.all())
    print(f"{name}: {len(off)} log-probabilities, off by at most {off.max():.2e} (position "
          f"{1 + int(off.argmax())}), mean {off.mean():.2e}, tolerance {tolerance:.0e}; most likely "
          f"token agrees at {agree.sum()} of {len(agree)} clear positions: "
          f"{'good' if good else 'NOT GOOD'}")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--device", default="cpu", help="as inscribe's --device (default: cpu)")
    parser.add_argument("--tokens", type=int, default=700)
    parser.add_argument("--inscribe", default="target/release/inscribe", metavar="BINARY")
    parser.add_argument("--tolerance", type=float, help="default: 2e-3 on cpu, 5e-3 elsewhere")
    parser.add_argument("--window", type=int, help="local context of this many tokens")
    parser.add_argument("--cache", type=Path, help="a folder that keeps the reference's numbers")
    parser.add_argument("--llama-cpp", action="store_true",
                        help="compare llama.cpp instead, over the weights dequantised to f32")
    parser.add_argument("--text-out", type=Path, help="also write the text as it was cut")
    parser.add_argument("extra", nargs="*", help="after --: further arguments for inscribe")
    args = parser.parse_args()
    torch.set_num_threads(2)

    # newline="" keeps the text as it is: the ids depend on it.
    with args.text.open(encoding="utf-8-sig", newline="") as file:
        llm = tokenizer_of(args.model)
        text, ids = first_tokens(llm, file.read(), args.tokens)
    if args.text_out:
        args.text_out.write_bytes(text.encode())
    lead = int(ids[0] == llm.token_bos())
    expected = reference(args.model, ids, lead, args.window, args.cache)
    if args.window:
        args.extra += ["--window", str(args.window)]
    if args.llama_cpp:
        # It looks GELU up in an f16 table, which costs Gemma 4e-3; the others are within 2e-4.
        theirs = by_llama_cpp(args.model, ids)
        good = report(f"{args.model.stem}, llama.cpp in f32", theirs, expected, 1e-2)
    else:
        kind = "cpu" if args.device == "cpu" else "gpu"
        tolerance = args.tolerance or TOLERANCE[kind]
        theirs = by_inscribe(args.inscribe, args.model, text, args.device, args.extra)
        good = report(f"{args.model.stem} on {args.device}", theirs, expected, tolerance)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
