"""PEFT loads the LoRA and the prefix that Inscribe saves, and gives the same losses.

    python tests/oracle/check_peft.py MODEL.gguf TEXT.txt

The model is dequantised to float32 on PEFT's side. The LoRA covers all seven projections, so an
order of rows that is wrong for one of them shows. PEFT then saves the LoRA again, and Inscribe reads
that. Exit status 1 where a loss differs by more than 1e-3.
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
# An adapter that changes nothing would agree, too.
LEAST_SHIFT = 0.05


@torch.inference_mode()
def logprobs(model, ids: list[int], before: int = 0) -> np.ndarray:
    """Of each id but the first; `before` virtual tokens stand before them."""
    logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    rows = logits[before:-1].log_softmax(-1)
    return rows[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].numpy()


def with_adapter(args, folder: Path):
    return PeftModel.from_pretrained(gguf_reference.load(args.model), str(folder)).eval()


def main() -> None:
    args = arguments(__doc__)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        ours = inscribe(args, "write", folder)
        ids = ours["ids"]
        base = loss(logprobs(gguf_reference.load(args.model), ids))
        lora_model = with_adapter(args, folder / "lora")
        lora = loss(logprobs(lora_model, ids))
        lora_model.save_pretrained(str(folder / "again"))
        again = inscribe(args, "read", folder / "again")
        prefix_model = with_adapter(args, folder / "prefix")
        rows = prefix_model.active_peft_config.num_virtual_tokens
        prefix = loss(logprobs(prefix_model, ids, before=rows))
        rows = [
            ("no adapter", loss(ours["base"]), base, 0.0),
            ("LoRA", loss(ours["lora"]), lora, LEAST_SHIFT),
            ("LoRA saved by PEFT", loss(again["lora"]), lora, LEAST_SHIFT),
            ("prefix", loss(ours["prefix"]), prefix, LEAST_SHIFT),
        ]
    print(f"{'':20} {'Inscribe':>10} {'PEFT':>10} {'apart':>9}")
    for name, own, theirs, least in rows:
        good = abs(own - theirs) <= TOLERANCE and abs(theirs - base) >= least
        failed |= not good
        print(f"{name:20} {own:10.5f} {theirs:10.5f} {own - theirs:9.1e} {'' if good else 'WRONG'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
