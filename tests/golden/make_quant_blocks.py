"""Writes tests/golden/quant.safetensors: blocks of every weight type and what gguf-py reads in them.

    python tests/golden/make_quant_blocks.py      # versions: tests/oracle/requirements.txt

For each TYPE: `TYPE.blocks` (random bytes with sane scales, one block a row) and `TYPE.values`
(gguf-py's dequantisation). Where gguf-py can quantise TYPE also `TYPE.quantised`: its blocks for
the values under `source`.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q
from safetensors.numpy import save_file

OUT = Path(__file__).resolve().parent / "quant.safetensors"

# Type -> where a block's f16 scales lie.
SCALES = {
    Q.F16: [], Q.BF16: [], Q.Q8_0: [0], Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2],
    Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208],
}
K_TYPES = (Q.Q4_K, Q.Q5_K, Q.Q6_K)
# Zero, negative, subnormal and large ones among them.
SCALE_VALUES = [0.0125, -0.37, 0.0, 6.0e-8, 1.5e-5, 97.0]


def random_blocks(kind: Q, random: np.random.Generator) -> np.ndarray:
    if kind == Q.F16:
        values = random.standard_normal(64).astype(np.float16)
        values[:4] = [0.0, -0.0, 6.0e-8, -65504.0]
        return values.view(np.uint8).reshape(1, -1)
    if kind == Q.BF16:
        bits = (random.standard_normal(64).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        return bits.view(np.uint8).reshape(1, -1)
    _, size = gguf.GGML_QUANT_SIZES[kind]
    count = 3 if kind in K_TYPES else len(SCALE_VALUES)
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
    for i, at in enumerate(SCALES[kind]):
        scales = np.roll(np.float16(SCALE_VALUES), i)[:count]
        blocks[:, at:at + 2] = scales.view(np.uint8).reshape(count, 2)
    return blocks


def source(random: np.random.Generator) -> np.ndarray:
    """Rows of 256: ordinary, all zero, constant, one outlier, all negative."""
    rows = random.standard_normal((5, 256)).astype(np.float32)
    rows[1] = 0.0
    rows[2] = 0.25
    rows[3, 17] = 40.0
    rows[4] = -np.abs(rows[4]) - 1.0
    return rows


def main() -> None:
    random = np.random.default_rng(20)
    tensors = {"source": source(random)}
    for kind in SCALES:
        blocks = random_blocks(kind, random)
        tensors[f"{kind.name}.blocks"] = blocks
        tensors[f"{kind.name}.values"] = gguf.quants.dequantize(blocks, kind)
        if kind not in K_TYPES:
            tensors[f"{kind.name}.quantised"] = gguf.quants.quantize(
                tensors["source"], kind).view(np.uint8)
    save_file({name: np.ascontiguousarray(t) for name, t in tensors.items()}, OUT)
    print(f"{OUT.name}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
