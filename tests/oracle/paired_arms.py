"""Holds the arms of `inscribe compare --json` against each other, seed by seed, over several documents.

    python tests/oracle/paired_arms.py RUN.json... [--arm utility] [--against uniform]

For each file the means of every arm, then `--arm` minus `--against` within each seed: in held-out loss,
in that of high-utility chunks (lower is better), and in the log-probability of the right answers
(higher is better); last over all files, with the standard error over the pairs.
"""

from __future__ import annotations

import argparse
import json
from math import nan, sqrt
from pathlib import Path
from statistics import mean, stdev

COLUMNS = ["all tokens", "held out", "high", "answers"]


def numbers(outcome: dict) -> list[float]:
    answers = outcome["answers"]
    return [outcome["loss_after"], outcome["held_out_after"], outcome["high_after"],
            answers["logprob"] if answers else nan]


def before(run: dict) -> list[float]:
    """Of the first arm's seeds: each draws its own held-out tokens, the same for every arm."""
    first = [o for o in run["outcomes"] if o["arm"] == run["outcomes"][0]["arm"]]
    answers = run["answers_with_document"]
    return [mean(o[key] for o in first) for key in ("loss_before", "held_out_before", "high_before")
            ] + [answers["logprob"] if answers else nan]


def differences(run: dict, arm: str, against: str) -> list[list[float]]:
    found = {(o["arm"], o["seed"]): numbers(o) for o in run["outcomes"]}
    seeds = sorted({seed for _, seed in found})
    return [[a - b for a, b in zip(found[arm, seed], found[against, seed])] for seed in seeds]


def show(name: str, values: list[float]) -> None:
    print(f"  {name:<32}" + "".join("           -" if v != v else f"{v:>12.4f}" for v in values))


def summary(pairs: list[list[float]]) -> tuple[list[float], list[float]]:
    columns = [[v for v in column if v == v] for column in zip(*pairs)]
    means = [mean(c) if c else nan for c in columns]
    errors = [stdev(c) / sqrt(len(c)) if len(c) > 1 else nan for c in columns]
    return means, errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--arm", default="utility")
    parser.add_argument("--against", default="uniform")
    args = parser.parse_args()
    every: list[list[float]] = []
    for path in args.runs:
        run = json.loads(path.read_text(encoding="utf-8"))
        print(f"{path}: {run['tokens']} tokens, {len(run['utilities'])} chunks")
        print(" " * 34 + "".join(f"{column:>12}" for column in COLUMNS))
        show("before", before(run))
        arms = dict.fromkeys(o["arm"] for o in run["outcomes"])
        for arm in arms:
            of_arm = [numbers(o) for o in run["outcomes"] if o["arm"] == arm]
            show(arm, [mean(column) for column in zip(*of_arm)])
        if {args.arm, args.against} <= arms.keys():
            pairs = differences(run, args.arm, args.against)
            for pair in pairs:
                show(f"{args.arm} - {args.against}, a seed", pair)
            every += pairs
    if every:
        means, errors = summary(every)
        print(f"{args.arm} - {args.against}, {len(every)} pairs")
        show("mean", means)
        show("standard error", errors)


if __name__ == "__main__":
    main()
