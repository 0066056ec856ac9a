"""How well a sampled estimate of utility ranks the chunks of a document, and what it costs.

    python tests/oracle/sampled_utility.py target/release/inscribe DOCUMENT... --part 0.25 --seeds 5

Runs `inscribe utility` once with every block of the local pass and once a seed with a part of them,
and prints Spearman's rank correlation of the chunks' utilities, and the ratio of the local pass's
times. What follows `--` goes to the program, such as `-- --chunk 512`. Needs nothing but Python.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys


def ranks(values: list[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end < len(order) and values[order[end]] == values[order[at]]:
            end += 1
        for i in order[at:end]:
            found[i] = (at + end - 1) / 2
        at = end
    return found


def rank_correlation(a: list[float], b: list[float]) -> float:
    return statistics.correlation(ranks(a), ranks(b))


def utilities(program: str, document: str, more: list[str]) -> tuple[list[float], float]:
    call = [program, "utility", document, "--format", "jsonl", *more]
    run = subprocess.run(call, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(run.stderr)
    seconds = float(re.search(r"locally in ([\d.]+) s", run.stderr).group(1))
    return [json.loads(line)["utility"] for line in run.stdout.splitlines()], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("documents", nargs="+")
    parser.add_argument("--part", default="0.25")
    parser.add_argument("--seeds", type=int, default=5)
    own, _, more = " ".join(sys.argv[1:]).partition(" -- ")
    args = parser.parse_args(own.split())
    for document in args.documents:
        whole, cost = utilities(args.program, document, more.split())
        found = []
        for seed in range(args.seeds):
            sampled = ["--utility-sample", args.part, "--seed", str(seed), *more.split()]
            values, seconds = utilities(args.program, document, sampled)
            found.append((rank_correlation(whole, values), seconds / cost))
        correlations, costs = zip(*found)
        print(
            f"{document}: {len(whole)} chunks, rank correlation {statistics.mean(correlations):.3f} "
            f"({min(correlations):.3f} to {max(correlations):.3f}), "
            f"{statistics.mean(costs):.2f} of the local pass's time",
            flush=True,
        )


if __name__ == "__main__":
    main()
