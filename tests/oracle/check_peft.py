"""PEFT loads the LoRA and the prefix that Inscribe saves, and gives the same losses.

    cargo build --release --example adapter_losses
    python tests/oracle/check_peft.py MODEL.gguf TEXT.txt [--saved MEMORY/segments/0 ...]

The model is dequantised to float32 on PEFT's side. The LoRA covers all seven projections, so an
order of rows that is wrong for one of them shows. PEFT then saves the LoRA again, and Inscribe reads
that. `--saved` adds folders that `inscribe write` left. Exit status 1 where a loss differs by more
than 1e-3.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel

import gguf_reference
from adapter_rig import arguments, inscribe, loss

TOLERANCE = 1e-3
# An adapter that changes nothing would agree, too: a token's log-probability changes by so much.
LEAST_SHIFT = 0.05


@torch.inference_mode()
def logprobs(model, ids: list[int], before: int = 0) -> np.ndarray:
    """Of each id but the first; `before` virtual tokens stand before them."""
    logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    rows = logits[before:-1].log_softmax(-1)
    return rows[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].numpy()


def with_adapter(args, folder: Path):
    return PeftModel.from_pretrained(gguf_reference.load(args.model), str(folder)).eval()


def peft_logprobs(args, folder: Path, ids: list[int]) -> np.ndarray:
    model = with_adapter(args, folder)
    before = getattr(model.active_peft_config, "num_virtual_tokens", None) or 0
    return logprobs(model, ids, before=before)


def main() -> None:
    args = arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        ours = inscribe(args, "write", folder)
        ids = ours["ids"]
        base = logprobs(gguf_reference.load(args.model), ids)
        lora_model = with_adapter(args, folder / "lora")
        lora = logprobs(lora_model, ids)
        lora_model.save_pretrained(str(folder / "again"))
        again = inscribe(args, "read", folder / "again")["adapter"]
        rows = [
            ("no adapter", ours["base"], base),
            ("LoRA", ours["lora"], lora),
            ("LoRA saved by PEFT", again, lora),
            ("prefix", ours["prefix"], peft_logprobs(args, folder / "prefix", ids)),
        ]
        for saved in args.saved:
            own = inscribe(args, "read", saved)["adapter"]
            rows.append((str(saved), own, peft_logprobs(args, saved, ids)))
    sys.exit(not report(rows, base))


def report(rows, base: np.ndarray) -> bool:
    width = max(len(name) for name, *_ in rows)
    print(f"{'':{width}} {'Inscribe':>10} {'PEFT':>10} {'apart':>9} {'a token changes by':>19}")
    all_good = True
    for name, own, theirs in rows:
        apart, shift = loss(own) - loss(theirs), float(np.abs(theirs - base).mean())
        good = abs(apart) <= TOLERANCE and (theirs is base or shift >= LEAST_SHIFT)
        all_good &= good
        print(f"{name:{width}} {loss(own):10.5f} {loss(theirs):10.5f} {apart:9.1e} {shift:19.3f}"
              f"{'' if good else '  WRONG'}")
    return all_good


if __name__ == "__main__":
    main()
