"""Which part of *Alice* (Project Gutenberg 11), written in several, does `inscribe ask` choose?

    inscribe write alice_pg11.txt --out MEMORY --budget 48
    python tests/oracle/parts_of_a_book.py MEMORY [--inscribe target/release/inscribe]

For each question: the part that answered, the parts in which the answer stands, and the answer.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from pathlib import Path

# What is asked, and words that stand where the answer does.
QUESTIONS = [
    ("What was written on the label of the bottle that Alice found?", "DRINK ME"),
    ("What did the White Rabbit take out of its waistcoat-pocket?", "took a watch out of its"),
    ("What kind of race dried the animals?", "Caucus-race"),
    ("Who sat on a mushroom and smoked a hookah?", "hookah"),
    ("What did the Duchess's baby turn into?", "neither more nor less than a pig"),
    ("Why is a raven like a writing-desk?", "raven like a writing-desk"),
    ("What were the mallets of the Queen's croquet game?", "live flamingoes"),
    ("Which dance did the Gryphon and the Mock Turtle show?", "Lobster Quadrille"),
    ("Who stole the tarts?", "stole those tarts"),
    ("What was the name of Alice's cat?", "Dinah"),
    ("Which poem about Father William did Alice repeat?", "old, Father William"),
    ("What did the Dormouse's three sisters live in, at the bottom?", "treacle-well"),
]


def spans(memory: Path) -> list[tuple[int, int]]:
    """The bytes of the text of each part."""
    parts: dict[int, list[int]] = {}
    for line in (memory / "events.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "utility":
            for chunk in event["chunks"]:
                parts.setdefault(event["segment"], []).extend(chunk["text"].values())
    return [(min(ends), max(ends)) for _, ends in sorted(parts.items())]


def ask(inscribe: str, memory: Path) -> list[dict]:
    command = [inscribe, "-q", "ask", "--memory", str(memory), "--json", "--max-tokens", "24"]
    questions = "\n".join(question for question, _ in QUESTIONS) + "\n"
    done = subprocess.run(command, input=questions, stdout=subprocess.PIPE, text=True, check=True)
    decoder, rest, answers = json.JSONDecoder(), done.stdout.strip(), []
    while rest:
        answer, end = decoder.raw_decode(rest)
        answers.append(answer["answers"][0])
        rest = rest[end:].strip()
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("memory", type=Path)
    parser.add_argument("--inscribe", default="target/release/inscribe", metavar="BINARY")
    args = parser.parse_args()
    text = (args.memory / "document.txt").read_bytes()
    parts = spans(args.memory)
    right = 0
    for (question, words), answer in zip(QUESTIONS, ask(args.inscribe, args.memory), strict=True):
        pattern = rb"\s+".join(re.escape(word.encode()) for word in words.split())
        places = [match.start() for match in re.finditer(pattern, text)]
        stands = {n + 1 for n, (a, b) in enumerate(parts) if any(a <= p < b for p in places)}
        right += answer["part"] in stands
        mark = "right" if answer["part"] in stands else "wrong"
        print(f"{mark}  part {answer['part']} of {sorted(stands)}  {question}  |  {answer['answer'][:60]!r}")
    print(f"{right} of {len(QUESTIONS)}")


if __name__ == "__main__":
    main()
