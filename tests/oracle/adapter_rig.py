"""What check_peft.py and check_llama_adapter.py share: Inscribe's side of the comparison."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument("text", type=Path)
    parser.add_argument("--tokens", type=int, default=160)
    parser.add_argument("--saved", type=Path, nargs="*", default=[], metavar="ADAPTER",
                        help="also hold these: what `inscribe write` or `export` left")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/examples/adapter_losses")
    return parser.parse_args()


def inscribe(args: argparse.Namespace, verb: str, place: Path) -> dict:
    """Runs adapter_losses.rs: see there."""
    if not args.binary.exists():
        raise SystemExit(f"{args.binary} is missing: cargo build --release --example adapter_losses")
    command = [args.binary, args.model, args.text, args.tokens, verb, place]
    done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def loss(logprob) -> float:
    return -float(np.mean(logprob))
