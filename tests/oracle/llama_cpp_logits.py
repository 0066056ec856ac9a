"""llama.cpp's logits of a sequence of ids, saved as .npy: llama_cpp_logits.py MODEL IDS.json OUT.npy"""

import json
import sys

import numpy as np

from llama_cpp_model import open_model


def main() -> None:
    model, ids_path, out = sys.argv[1:]
    with open(ids_path) as file:
        ids = json.load(file)
    llm = open_model(model, plain_buffers=True, n_ctx=len(ids) + 8, n_batch=512, logits_all=True,
                     n_threads=2, n_threads_batch=2, type_k=0, type_v=0)
    llm.eval(ids)
    np.save(out, llm.scores[: len(ids)])


if __name__ == "__main__":
    main()
