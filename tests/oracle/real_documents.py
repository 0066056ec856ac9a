"""Cuts the real documents of docs/lab/results.md out of the files they come from.

    python tests/oracle/real_documents.py OUT FILE... [--length BYTES]

OUT gets `alice.txt`, `constitution.txt`, `nist.md`, `gov.txt` (9,000 bytes of each unless said: three seeds
of every arm take minutes then) and `dialogue-N.txt` with `dialogue-N.questions.jsonl`, of those whose source is
among the files: `alice_pg11.txt` (Project Gutenberg 11), `us_constitution.txt`, `nist_sp800-63b.md`,
and `gov_report_summ.jsonl` and `multidoc_qa.jsonl` of L-Eval.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

# Name of the source, name of the document, first byte.
PLAIN = [
    ("alice_pg11.txt", "alice.txt", 2199),
    ("us_constitution.txt", "constitution.txt", 0),
    ("nist_sp800-63b.md", "nist.md", 15000),
]
# Texts of 12,000 to 15,000 characters that end with questions.
DIALOGUES = [0, 1, 3, 5]


def cut(data: bytes, start: int, length: int) -> str:
    return data[start : start + length].decode(errors="ignore")


def records(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def documents(path: Path, length: int):
    """Names and texts of what a file holds."""
    for source, name, start in PLAIN:
        if path.name == source:
            yield name, cut(path.read_bytes(), start, length)
    if path.name == "gov_report_summ.jsonl":
        yield "gov.txt", records(path)[0]["input"][:length]
    if path.name == "multidoc_qa.jsonl":
        texts = records(path)
        for number in DIALOGUES:
            record = texts[number]
            yield f"dialogue-{number}.txt", record["input"]
            pairs = zip(record["instructions"], record["outputs"], strict=True)
            asked = [json.dumps({"question": q, "answer": a}, ensure_ascii=False) for q, a in pairs]
            yield f"dialogue-{number}.questions.jsonl", "\n".join(asked) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--length", type=int, default=9000, help="bytes of each plain document")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for path in args.files:
        found = list(documents(path, args.length))
        if not found:
            raise SystemExit(f"{path}: none of the documents is cut from a file of this name")
        for name, text in found:
            (args.out / name).write_text(text, encoding="utf-8")
            print(args.out / name)


if __name__ == "__main__":
    main()
