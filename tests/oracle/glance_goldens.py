"""Glances at blocks of a text, by transformers: what tests/models/glance.rs holds ours against.

    python tests/oracle/glance_goldens.py        # tests/golden/glance.json from the tiny models

The whole text is read once, and keys and values of every layer are kept. Then it is read again with
another attention from a layer on (after a third or 4/7 of the layers): each token, at the place that
predicts a token of a block, sees the lead, the window before the block as they were kept, and the block's
own rows up to itself as they are now. A token's change is `log Q_whole - log Q_near`, Q being the probabilities among the tokens
that the text has.
"""

from __future__ import annotations

import json

import torch
from transformers import AutoModelForCausalLM
from transformers.masking_utils import AttentionMaskInterface
from transformers.modeling_utils import AttentionInterface

from train_goldens import HERE, MODELS, TINY

OUT = HERE.parent / "golden" / "glance.json"
LEAD = 3
WINDOW = 6


class Near:
    """Keeps keys and values of a whole reading; then attends to what is near."""

    def __init__(self):
        self.kept = {}
        self.first_layer = None

    def attend(self, module, query, key, value, attention_mask, scaling, **_):
        layer, rows = module.layer_idx, query.shape[2]
        window = getattr(module, "sliding_window", None) or rows
        if self.first_layer is None:
            self.kept[layer] = key, value
        if self.first_layer is None or layer < self.first_layer:
            places = torch.arange(rows)
            out = attention(query, key, value, places, places, window, scaling)
        else:
            out = torch.cat([self.block(layer, query, key, value, rows, window, scaling)
                             for rows in blocks(rows)], dim=2)
        return out.transpose(1, 2).contiguous(), None

    def block(self, layer, query, key, value, rows, window, scaling):
        first, end = rows
        kept_key, kept_value = self.kept[layer]
        before = list(range(LEAD)) + list(range(max(LEAD, first - WINDOW + 1), first))
        own = slice(first, end)
        key = torch.cat([kept_key[:, :, before], key[:, :, own]], dim=2)
        value = torch.cat([kept_value[:, :, before], value[:, :, own]], dim=2)
        places = torch.arange(len(before), key.shape[2])
        return attention(query[:, :, own], key, value, places, torch.arange(key.shape[2]), window, scaling)


def blocks(rows: int):
    """Row r predicts token r + 1; the lead and the first block's rows come first."""
    starts = [0, *range(LEAD + WINDOW - 1, rows, WINDOW)]
    return zip(starts, [*starts[1:], rows])


def attention(query, key, value, places, keys, window, scaling):
    groups = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    distance = places[:, None] - keys[None, :]
    seen = (distance >= 0) & (distance < window)
    scores = (query @ key.transpose(2, 3) * scaling).masked_fill(~seen, float("-inf"))
    return torch.softmax(scores, dim=-1) @ value


NEAR = Near()
AttentionInterface.register("near", lambda *args, **kwargs: NEAR.attend(*args, **kwargs))
AttentionMaskInterface.register("near", lambda *_, **__: None)


@torch.no_grad()
def changes(name: str) -> dict[str, list[float]]:
    ids = torch.tensor(json.loads((TINY / f"{name}.golden.json").read_text())["ids"])
    model = AutoModelForCausalLM.from_pretrained(
        TINY / name, dtype=torch.float32, attn_implementation="near").eval()
    own, targets = ids.unique(return_inverse=True)

    def logprobs():
        logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1, own]
        return torch.log_softmax(logits, -1).gather(1, targets[1:, None])[:, 0]

    NEAR.first_layer = None
    whole = logprobs()
    found = {}
    layers = model.config.num_hidden_layers
    for first, key in ((layers // 3, "third"), (layers * 4 // 7, "sevenths")):
        NEAR.first_layer = first
        # Token t is scored by row t - 1; blocks count from after the lead, and the first has nothing before it.
        change = (whole - logprobs())[LEAD + WINDOW - 1:]
        found[key] = [round(c, 7) for c in change.tolist()]
    return found


def main() -> None:
    found = {"what": "made by tests/oracle/glance_goldens.py", "lead": LEAD, "window": WINDOW,
             "changes": {name: changes(name) for name in MODELS}}
    lines = json.dumps(found, indent=1)
    OUT.write_text(lines + "\n")
    for name, both in found["changes"].items():
        print(name, *(f"{key}: {len(values)}, {max(map(abs, values)):.2f}" for key, values in both.items()))


if __name__ == "__main__":
    main()
