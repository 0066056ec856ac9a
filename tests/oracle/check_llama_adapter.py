"""llama.cpp loads the GGUF adapter that Inscribe saves, and its answers move the same way.

    python tests/oracle/check_llama_adapter.py MODEL.gguf TEXT.txt

Compared is how much the adapter changes the log-probability of each token: llama.cpp rounds
activations to 8 bits, so that its log-probabilities themselves are off by more than small adapters
do. Exit status 1 where the changes correlate by less than 0.99 or the mean change differs by more
than a tenth.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from adapter_rig import arguments, inscribe
from llama_cpp_model import open_model

LEAST_CORRELATION = 0.99
MOST_APART = 0.1


def logprobs(model: Path, ids: list[int], **adapter) -> np.ndarray:
    llm = open_model(model, plain_buffers=True, n_ctx=len(ids) + 8, logits_all=True, n_threads=2,
                     n_threads_batch=2, type_k=0, type_v=0, **adapter)
    llm.eval(ids)
    logits = llm.scores[: len(ids) - 1].astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    own = logits[np.arange(len(ids) - 1), ids[1:]]
    return own - np.log(np.exp(logits).sum(-1))


def main() -> None:
    args = arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        ours = inscribe(args, "write", Path(folder))
        ids = ours["ids"]
        adapter = str(Path(folder) / "lora.gguf")
        theirs = logprobs(args.model, ids, lora_path=adapter) - logprobs(args.model, ids)
    own = np.array(ours["lora"]) - np.array(ours["base"])
    correlation = float(np.corrcoef(own, theirs)[0, 1])
    apart = abs(own.mean() - theirs.mean()) / abs(own.mean())
    print(f"mean change of log P: Inscribe {own.mean():.4f}, llama.cpp {theirs.mean():.4f}")
    print(f"largest change of one token: {np.abs(own).max():.2f}; correlation {correlation:.5f}")
    sys.exit(correlation < LEAST_CORRELATION or apart > MOST_APART)


if __name__ == "__main__":
    main()
