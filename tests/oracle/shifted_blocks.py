"""How far the local pass agrees with itself when its blocks begin elsewhere, in PyTorch.

    python tests/oracle/shifted_blocks.py SmolLM2-135M-Instruct.Q4_1.gguf DOCUMENT...

Where blocks begin decides which 256 to 512 tokens before it a token sees, and nothing recommends one place over
another. Reads each document whole and then in blocks of 256 tokens after the 256 before them, beginning 0,
64, 128 and 192 tokens in; prints, of |log P_whole - log P_near|, the correlation over tokens with the
first and the rank correlation over chunks of 1,024, 512 and 256: what an estimate that does not read
those very blocks can hope for. Llama-like models only. Some minutes a document.
"""

from pathlib import Path

import numpy as np
import torch
from glance_variants import (
    WINDOW, Reader, by_chunk, for_each_document, rank_correlation, tokens_of)

CHUNKS = (1024, 512, 256)
SHIFTS = (0, 64, 128, 192)


@torch.no_grad()
def compare(path: Path, document: Path) -> None:
    ids, lead = tokens_of(path, document)
    reader = Reader(path)
    reader.own = ids.unique()

    def scores(rows, targets):
        """Log P of targets."""
        return reader.scores(rows, targets)[:, 0]

    whole = scores(reader.read(ids)[:-1], ids[1:])

    def changes(shift):
        """Of every token from two windows on."""
        found = torch.zeros(len(ids) - lead)
        for start in range(WINDOW + shift, len(found), WINDOW):
            start, end = lead + start, min(lead + start + WINDOW, len(ids))
            context = torch.cat([ids[:lead], ids[start - WINDOW:end]])
            rows = reader.read(context)[-1 - (end - start):-1]
            near = scores(rows, ids[start:end])
            found[start - lead:end - lead] = (whole[start - 1:end - 1] - near).abs()
        return found[2 * WINDOW:].numpy()

    first = changes(SHIFTS[0])
    for shift in SHIFTS[1:]:
        moved = changes(shift)
        ranks = [rank_correlation(by_chunk(moved, size), by_chunk(first, size)) for size in CHUNKS]
        print(f"{document.name}, {shift:3} tokens on: {np.corrcoef(moved, first)[0, 1]:.3f} over tokens, over chunks of "
              + ", ".join(f"{size}: {rank:.3f}" for size, rank in zip(CHUNKS, ranks)), flush=True)


if __name__ == "__main__":
    for_each_document(compare, __doc__)
