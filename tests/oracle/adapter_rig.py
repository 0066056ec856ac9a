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
    return parser.parse_args()


def inscribe(args: argparse.Namespace, verb: str, place: Path) -> dict:
    """Runs adapter_losses.rs: see there."""
    command = ["cargo", "run", "--quiet", "--example", "adapter_losses", "--"]
    command += [str(args.model.resolve()), str(args.text.resolve()), str(args.tokens), verb, str(place)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def loss(logprob) -> float:
    return -float(np.mean(logprob))
