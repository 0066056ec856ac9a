"""llama.cpp loads the GGUF adapter that Inscribe saves, and its answers move the same way.

    cargo build --release --example adapter_losses
    python tests/oracle/check_llama_adapter.py MODEL.gguf TEXT.txt [--saved EXPORTED.gguf ...]

Compared is how much the adapter changes the log-probability of each token, twice: over the model's
weights dequantised to f32, where llama.cpp computes in f32, and over the file as it is, where it
rounds activations to 8 bits and is off by more than an adapter changes most tokens. `--saved` adds
adapters that `inscribe export` made. Exit status 1 where, in f32, a token's change differs by more
than 0.01 or the mean change by more than 1e-3; or where the changes over the file as it is correlate
by less than 0.8.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from adapter_rig import arguments, inscribe
from llama_cpp_model import open_model

MOST_APART = 0.01
MEAN_APART = 1e-3
LEAST_CORRELATION = 0.8


def logprobs(model: Path, ids: list[int], **adapter) -> np.ndarray:
    llm = open_model(model, plain_buffers=True, n_ctx=len(ids) + 8, logits_all=True, n_threads=2,
                     n_threads_batch=2, type_k=0, type_v=0, **adapter)
    llm.eval(ids)
    logits = llm.scores[: len(ids) - 1].astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    own = logits[np.arange(len(ids) - 1), ids[1:]]
    return own - np.log(np.exp(logits).sum(-1))


def dequantised(model: Path, folder: Path) -> Path:
    out = folder / "f32.gguf"
    # A process of its own: the tensors' memory is given back.
    subprocess.run([sys.executable, Path(__file__).with_name("dequantise_gguf.py"), model, out],
                   check=True)
    return out


def hold(what: str, own: np.ndarray, exact: np.ndarray, rounded: np.ndarray) -> bool:
    apart = float(np.abs(own - exact).max())
    mean_apart = float(abs(own.mean() - exact.mean()))
    correlation = float(np.corrcoef(own, rounded)[0, 1])
    good = apart <= MOST_APART and mean_apart <= MEAN_APART and correlation >= LEAST_CORRELATION
    print(f"{what}: log P changes by {own.mean():+.4f} in the mean, by up to {np.abs(own).max():.2f}\n"
          f"  llama.cpp in f32: {exact.mean():+.4f} in the mean, a token off by at most {apart:.1e}\n"
          f"  llama.cpp as it is: {rounded.mean():+.4f} in the mean, correlation {correlation:.3f}"
          f"{'' if good else '  WRONG'}")
    return good


def main() -> None:
    args = arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        ours = inscribe(args, "write", folder)
        ids, base = ours["ids"], np.array(ours["base"])
        adapters = {"random": (folder / "lora.gguf", ours["lora"])}
        adapters |= {str(p): (p, inscribe(args, "read", p)["adapter"]) for p in args.saved}
        models = [dequantised(args.model, folder), args.model]
        plain = [logprobs(model, ids) for model in models]
        good = []
        for name, (path, own) in adapters.items():
            theirs = [logprobs(model, ids, lora_path=str(path)) - before
                      for model, before in zip(models, plain)]
            good.append(hold(name, np.array(own) - base, *theirs))
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
