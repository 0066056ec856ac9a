"""Holds Inscribe's tokenizers against llama.cpp's test vectors.

    python tests/oracle/check_tokenizers.py VECTORS --tokenize target/release/examples/tokenize \
        gpt-2=tokenizer.json llama-bpe=tokenizer.json qwen2=tokenizer.json llama-spm=vocab.gguf

VECTORS is a folder of `ggml-vocab-NAME.gguf.inp` and `.out` (llama.cpp's `models`). A `tokenizer.json`
is tried twice: as a model folder has it, and as a GGUF file that carries its vocabulary, merges and
the name of its pre-tokenizer, made here. Needs gguf==0.19.0.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf

CASE = "\n__ggml_vocab_test__\n"
CONTROL, NORMAL = 3, 1


def as_gguf(source: pathlib.Path, pre: str, path: pathlib.Path) -> None:
    """A GGUF file with nothing but the tokenizer."""
    parsed = json.loads(source.read_text(encoding="utf-8"))
    tokens = {id: token for token, id in parsed["model"]["vocab"].items()}
    types = dict.fromkeys(tokens, NORMAL)
    for added in parsed["added_tokens"]:
        tokens[added["id"]] = added["content"]
        types[added["id"]] = CONTROL
    merges = parsed["model"]["merges"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    order = range(max(tokens) + 1)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([tokens.get(id, f"[unused {id}]") for id in order])
    writer.add_token_types([types.get(id, CONTROL) for id in order])
    writer.add_token_merges(merges)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def ids(tokenize: str, path: pathlib.Path, cases: list[str]) -> list[list[int]]:
    run = subprocess.run([tokenize, path], input=json.dumps(cases), capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{path}: {run.stderr}")
    return json.loads(run.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vectors", type=pathlib.Path)
    parser.add_argument("tokenizers", nargs="+", help="NAME=FILE")
    parser.add_argument("--tokenize", required=True)
    args = parser.parse_args()
    wrong = 0
    for name, _, file in (given.partition("=") for given in args.tokenizers):
        stem = args.vectors / f"ggml-vocab-{name}.gguf"
        cases = stem.with_suffix(".gguf.inp").read_bytes().decode().split(CASE)
        lines = stem.with_suffix(".gguf.out").read_text().split("\n")
        wanted = [[int(id) for id in line.split()] for line in lines[: len(cases)]]
        with tempfile.TemporaryDirectory() as folder:
            places = [pathlib.Path(file)]
            if file.endswith(".json"):
                made = pathlib.Path(folder) / "vocab.gguf"
                as_gguf(pathlib.Path(file), name, made)
                places = [pathlib.Path(file).parent, made]
            for place in places:
                found = ids(args.tokenize, place, cases)
                bad = [i for i, pair in enumerate(zip(found, wanted, strict=True)) if pair[0] != pair[1]]
                print(f"{name}, {place.name}: {len(cases) - len(bad)} of {len(cases)} cases agree")
                for i in bad:
                    print(f"  {cases[i]!r}\n    {found[i]}\n    {wanted[i]}")
                wrong += len(bad)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
