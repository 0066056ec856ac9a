"""Greedy text of stories260K, id by id, against the reference kept beside the model.

    python tests/oracle/stories260k.py FOLDER [--device cpu]

FOLDER holds config.json, model.safetensors, tok512.model (SentencePiece) and reference_greedy.json.
The model is run twice: from a GGUF file and from a folder of safetensors, both made here in a
temporary place, since the original carries neither a GGUF nor a tokenizer.json. --llama-cpp runs
llama.cpp on the GGUF instead, as a check of this script.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
from gguf.constants import TokenType
from safetensors.numpy import load_file
from tokenizers import Tokenizer, decoders, models, normalizers
from tokenizers.processors import TemplateProcessing

sys.path.append(str(Path(__file__).resolve().parent.parent / "golden"))
from tiny_gguf import finish, gguf_name, permute, start  # noqa: E402


def write_gguf(source: Path, path: Path, pieces: sentencepiece.SentencePieceProcessor) -> None:
    config = json.loads((source / "config.json").read_text())
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    count = pieces.vocab_size()
    writer = start(
        path, "llama", "stories260K", vocab=count, context=config["max_position_embeddings"],
        hidden=config["hidden_size"], layers=config["num_hidden_layers"],
        ffn=config["intermediate_size"], heads=heads, kv_heads=kv_heads, head_dim=config["head_dim"],
        eps=config["rms_norm_eps"], theta=config["rope_theta"])
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([pieces.id_to_piece(i) for i in range(count)])
    writer.add_token_scores([pieces.get_score(i) for i in range(count)])
    writer.add_token_types([
        TokenType.UNKNOWN if pieces.is_unknown(i) else TokenType.CONTROL if pieces.is_control(i)
        else TokenType.BYTE if pieces.is_byte(i) else TokenType.NORMAL for i in range(count)])
    writer.add_bos_token_id(pieces.bos_id())
    writer.add_eos_token_id(pieces.eos_id())
    writer.add_add_bos_token(True)
    for name, values in load_file(source / "model.safetensors").items():
        if name == "lm_head.weight" and config["tie_word_embeddings"]:
            continue
        if "q_proj" in name or "k_proj" in name:
            values = permute(values, heads if "q_proj" in name else kv_heads)
        writer.add_tensor(gguf_name(name, "llama"), np.ascontiguousarray(values, np.float32))
    finish(writer)


def write_folder(source: Path, folder: Path, pieces: sentencepiece.SentencePieceProcessor) -> None:
    """The safetensors as they are, and a tokenizer.json of Llama's kind from the SentencePiece model."""
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(source / name, folder)
    ids = {pieces.id_to_piece(i): i for i in range(pieces.vocab_size())}
    scored = [
        (ids[left + right], left, right)
        for piece in ids for left, right in ((piece[:at], piece[at:]) for at in range(1, len(piece)))
        if left in ids and right in ids]
    merges = [(left, right) for _, left, right in sorted(scored)]
    tokenizer = Tokenizer(
        models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", pieces.bos_id())])
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(special))


def by_inscribe(binary: str, model: Path, device: str, prompt: str, count: int) -> dict:
    """Continues the reference's first word: an empty prompt is refused."""
    command = [binary, "generate", "--model", str(model), "--raw", "--prompt", prompt,
               "--temperature", "0", "--max-tokens", str(count - 1), "--device", device, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}")
    found = json.loads(done.stdout.splitlines()[-1])
    # The prompt is the beginning-of-sequence token and the first word, each one token.
    return {"ids": found["prompt_ids"][1:] + found["ids"], "text": prompt + found["text"]}


def by_llama_cpp(model: Path, prompt: list[int], count: int) -> dict:
    import llama_cpp

    llm = llama_cpp.Llama(str(model), n_ctx=512, verbose=False)
    stream = llm.generate(prompt, temp=0.0, repeat_penalty=1.0)
    ids = [next(stream) for _ in range(count)]
    return {"ids": ids, "text": llm.detokenize(ids).decode()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--inscribe", default="target/release/inscribe", metavar="BINARY")
    parser.add_argument("--llama-cpp", action="store_true")
    args = parser.parse_args()
    expected = json.loads((args.folder / "reference_greedy.json").read_text())
    ids = expected["greedy_ids"]
    pieces = sentencepiece.SentencePieceProcessor(str(args.folder / "tok512.model"))
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        as_gguf, as_folder = Path(temporary) / "stories260K.gguf", Path(temporary) / "stories260K"
        write_gguf(args.folder, as_gguf, pieces)
        write_folder(args.folder, as_folder, pieces)
        for model in [as_gguf] if args.llama_cpp else [as_gguf, as_folder]:
            found = (by_llama_cpp(model, expected["prompt_ids"], len(ids)) if args.llama_cpp
                     else by_inscribe(args.inscribe, model, args.device, pieces.decode(ids[:1]), len(ids)))
            same = next((i for i, (a, b) in enumerate(zip(found["ids"], ids)) if a != b),
                        min(len(found["ids"]), len(ids)))
            text_same = found["text"].strip() == expected["text"].strip()
            good &= same == len(ids) and text_same
            print(f"{model.name}: {same} of {len(ids)} ids equal, text "
                  f"{'equal' if text_same else 'differs: ' + found['text'][:200]}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
