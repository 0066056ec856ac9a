"""Which glances tell what reading a text anew with nothing distant tells: variants, in PyTorch.

    python tests/oracle/glance_variants.py SmolLM2-135M-Instruct.Q4_1.gguf DOCUMENT...

Reads each document whole and in blocks of 256 tokens after the 256 before them, both after the lead of
the model's chat template, and then glances at the blocks in several ways: from several layers on, with the
block's own keys and values made anew or kept, scored among all tokens, the document's own, or by logits
alone. Prints, of |log P_whole - log P_near|, the correlation over tokens with the true one and the rank
correlation over chunks of 1,024. Llama-like models only. Some minutes a document.
"""

import argparse
import re
from pathlib import Path

import gguf_reference
import llama_cpp
import numpy as np
import torch
import torch.nn.functional as F
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

WINDOW, CHUNK = 256, 1024
LEAD = (b"<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        b"<|im_end|>\n<|im_start|>user\nRead this document.\n\n")
# First layer, whether the block's keys and values are made anew.
VARIANTS = [(0, True), (6, True), (10, True), (15, True), (17, True), (18, True), (19, True),
            (20, True), (24, True), (10, False), (20, False)]


class Reader:
    def __init__(self, path: Path):
        self.model = gguf_reference.load(path, attention="sdpa").model
        self.config = self.model.config
        self.own = None
        # Of the whole reading: keys and values of each layer, and the rows that enter it.
        self.keys, self.values, self.rows = [], [], []

    def project(self, layer, x, positions):
        def heads(weight):
            return (normed @ weight.T).view(len(x), -1, layer.self_attn.head_dim).transpose(0, 1)[None]

        normed, attention = layer.input_layernorm(x), layer.self_attn
        cos, sin = self.model.rotary_emb(x[None], positions[None])
        q, k = apply_rotary_pos_emb(
            heads(attention.q_proj.weight), heads(attention.k_proj.weight), cos, sin)
        return q, k, heads(attention.v_proj.weight)

    def after_attention(self, layer, x, q, k, v, seen):
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)
        x = x + layer.self_attn.o_proj(attended[0].transpose(0, 1).reshape(len(x), -1))
        return x + layer.mlp(layer.post_attention_layernorm(x))

    def scores(self, x, targets):
        """A column each: log P, log P among the text's own tokens, the logit above the mean, the logit."""
        found = []
        for rows, ids in zip(x.split(WINDOW), targets.split(WINDOW)):
            logits = self.model.norm(rows) @ self.model.embed_tokens.weight.T
            logit = logits.gather(1, ids[:, None])[:, 0]
            found.append(torch.stack([
                logit - logits.logsumexp(-1), logit - logits[:, self.own].logsumexp(-1),
                logit - logits.mean(-1), logit], dim=1))
        return torch.cat(found)

    def read(self, ids, keep=False):
        """The rows that leave the last layer, one pass over all."""
        positions = torch.arange(len(ids))
        seen = positions[None] <= positions[:, None]
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            if keep:
                self.rows.append(x)
            q, k, v = self.project(layer, x, positions)
            if keep:
                self.keys.append(k)
                self.values.append(v)
            x = self.after_attention(layer, x, q, k, v, seen)
        return x

    def glance(self, lead, rows, first_layer, anew):
        """The last layer's rows of `rows`, which see the lead, a window before them and themselves."""
        near = torch.cat([torch.arange(lead), torch.arange(rows.start - WINDOW + 1, rows.stop)])
        positions = torch.arange(rows.start, rows.stop)
        seen = near[None] <= positions[:, None]
        x = self.rows[first_layer][rows.start:rows.stop]
        for index in range(first_layer, len(self.model.layers)):
            layer = self.model.layers[index]
            q, k, v = self.project(layer, x, positions)
            keys, values = self.keys[index][:, :, near], self.values[index][:, :, near]
            if anew:
                keys[:, :, -len(rows):], values[:, :, -len(rows):] = k, v
            x = self.after_attention(layer, x, q, keys, values, seen)
        return x


def rank_correlation(a, b) -> float:
    ranks = [np.argsort(np.argsort(values)) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def tokens_of(path: Path, document: Path):
    """The lead and the text, and how many tokens the lead has."""
    tokenizer = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    text = re.sub(rb"\r\n?", b"\n", document.read_bytes())
    lead, body = (tokenizer.tokenize(part, add_bos=False, special=special)
                  for part, special in ((LEAD, True), (text, False)))
    return torch.tensor(lead + body), len(lead)


def by_chunk(change, size=CHUNK):
    """Tokens that see all that came before them change nothing, as in `inscribe utility`."""
    change = np.concatenate([np.zeros(2 * WINDOW), change])
    return [change[at:at + size].mean() for at in range(0, len(change), size)]


@torch.no_grad()
def compare(path: Path, document: Path) -> None:
    ids, first = tokens_of(path, document)
    reader = Reader(path)
    reader.own = ids.unique()
    whole = reader.scores(reader.read(ids, keep=True)[:-1], ids[1:])
    # Row r predicts token r + 1; the first two blocks see all there is.
    blocks = [range(start, min(start + WINDOW, len(ids) - 1))
              for start in range(first + 2 * WINDOW - 1, len(ids) - 1, WINDOW)]

    def change(near, column):
        scored = torch.cat([reader.scores(x, ids[rows.start + 1:rows.stop + 1])[:, column]
                            for rows, x in zip(blocks, near)])
        there = whole[blocks[0].start:blocks[-1].stop, column]
        return (there - scored).abs().numpy()

    def anew(rows):
        context = torch.cat([ids[:first], ids[rows.start - WINDOW + 1:rows.stop]])
        return reader.read(context)[-len(rows):]

    true = change([anew(rows) for rows in blocks], 0)
    print(f"{document.name}: {len(ids) - first} tokens, by chunk {np.round(by_chunk(true), 3)}")
    columns = ("all tokens", "its own tokens", "over the mean", "the logit")
    for first_layer, own_anew in VARIANTS:
        near = [reader.glance(first, rows, first_layer, own_anew) for rows in blocks]
        for column, name in enumerate(columns):
            found = change(near, column)
            print(f"  layer {first_layer:2}, own keys {'anew' if own_anew else 'kept'}, {name:14}: "
                  f"{np.corrcoef(found, true)[0, 1]:.3f} over tokens, "
                  f"{rank_correlation(by_chunk(found), by_chunk(true)):.3f} over chunks", flush=True)


def for_each_document(compare, what: str) -> None:
    parser = argparse.ArgumentParser(description=what.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("documents", type=Path, nargs="+")
    args = parser.parse_args()
    torch.set_num_threads(2)
    for document in args.documents:
        compare(args.model, document)


if __name__ == "__main__":
    for_each_document(compare, __doc__)
