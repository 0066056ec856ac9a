"""What PEFT and llama.cpp say of a text with adapters that Inscribe saved, for tests/models/adapters.rs.

    cargo build --release --example adapter_losses
    python tests/oracle/adapter_goldens.py

Writes tests/golden/adapters: a LoRA on all seven projections (as PEFT's folder and as GGUF) and a prefix
for the tiny llama, made of random numbers, and the log-probability of each token but the first with each,
by PEFT over transformers in f32 and by llama.cpp in f32.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from adapter_rig import ROOT, inscribe
from check_llama_adapter import logprobs as llama_logprobs
from check_peft import logprobs, peft_logprobs
import gguf_reference

FOLDER = ROOT / "tests/golden/adapters"
MODEL = ROOT / "tests/golden/tiny/llama.gguf"
TEXT = ROOT / "assets/sample.md"
TOKENS = 60


def rounded(values) -> list[float]:
    return [round(float(value), 6) for value in values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/examples/adapter_losses")
    args = parser.parse_args()
    args.model, args.text, args.tokens = MODEL, TEXT, TOKENS
    shutil.rmtree(FOLDER, ignore_errors=True)
    ids = inscribe(args, "write", FOLDER)["ids"]
    golden = {
        "ids": ids,
        "peft": {
            "base": rounded(logprobs(gguf_reference.load(MODEL), ids)),
            "lora": rounded(peft_logprobs(args, FOLDER / "lora", ids)),
            "prefix": rounded(peft_logprobs(args, FOLDER / "prefix", ids)),
        },
        "llama.cpp": {
            "base": rounded(llama_logprobs(MODEL, ids)),
            "lora": rounded(llama_logprobs(MODEL, ids, lora_path=str(FOLDER / "lora.gguf"))),
        },
    }
    text = json.dumps(golden, separators=(",", ":"))
    (FOLDER / "golden.json").write_text(text.replace('],"', '],\n"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
