"""Shortens the numbers of an events file so that it is small enough to ship.

    python3 round_events.py events.jsonl > sample-run.jsonl

Surprisals keep 3 decimals of a nat, every other measured number 5. Settings stay as they are.
"""

import json
import sys


def rounded(value, digits):
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, list):
        return [rounded(item, digits) for item in value]
    if isinstance(value, dict):
        return {name: rounded(item, digits) for name, item in value.items()}
    return value


def main(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            if event["event"] != "started":
                event = {
                    name: rounded(value, 3 if name == "surprisal" else 5)
                    for name, value in event.items()
                }
            print(json.dumps(event, separators=(",", ":"), ensure_ascii=False))


if __name__ == "__main__":
    main(sys.argv[1])
