"""Paired measurements: contestants take turns within each round, so that what else the machine does
falls on all of them alike. Trust the ratios; the absolute numbers are those of a busy machine.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys


class Worker:
    """A measuring process that stays alive between rounds: model loaded, one line asked, one answered."""

    def __init__(self, script: str, *arguments: str):
        self.process = subprocess.Popen(
            [sys.executable, script, "--worker", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ask()  # the first is warm-up

    def ask(self) -> dict:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"worker ended: {self.process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def serve(measure) -> None:
    """The worker's side: answers each line with measure()'s seconds and the peak memory so far."""
    for _ in sys.stdin:
        answer = {"seconds": measure(), "peak_rss_bytes": peak_rss_bytes()}
        print(json.dumps(answer), flush=True)


def peak_rss_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def bench_inscribe(binary: str, model: str, device: str, prefill: int, decode: int, only: str,
                   extra: list[str]) -> dict:
    """`inscribe bench` in a fresh process: two rounds, of which the first is warm-up."""
    command = [binary, "bench", "--model", model, "--device", device, "--only", only,
               "--prefill", str(prefill), "--decode", str(decode), "--rounds", "2", "--json", *extra]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}")
    return json.loads(done.stdout)


def row(name: str) -> dict:
    return {"name": name, "seconds": [], "peak_rss_bytes": 0}


def add(row: dict, answer: dict) -> None:
    row["seconds"].append(answer["seconds"])
    row["peak_rss_bytes"] = max(row["peak_rss_bytes"], answer["peak_rss_bytes"])


def table(rows: list[dict], baseline: str, tokens: int) -> list[dict]:
    """Medians, their spread, and how many times as fast as the baseline: the median over the rounds,
    and the best of each against the other, which is the fairer one where other work interferes."""
    base = next(row for row in rows if row["name"] == baseline)["seconds"]
    for row in rows:
        seconds = row["seconds"]
        row["median_seconds"] = statistics.median(seconds)
        row["tokens_per_second"] = tokens / row["median_seconds"]
        row["speedup"] = statistics.median(b / s for b, s in zip(base, seconds))
        row["best_speedup"] = min(base) / min(seconds)
    print(f"{'':30} {'tokens/s':>9} {'seconds: median (least .. most)':>34} {'times as fast (best)':>21} "
          f"{'peak MB':>8}")
    for row in rows:
        spread = f"{row['median_seconds']:.3f} ({min(row['seconds']):.3f} .. {max(row['seconds']):.3f})"
        ratio = f"{row['speedup']:.2f} ({row['best_speedup']:.2f})"
        print(f"{row['name']:30} {row['tokens_per_second']:9.1f} {spread:>34} {ratio:>21} "
              f"{row['peak_rss_bytes'] / 1e6:8.0f}")
    return rows
