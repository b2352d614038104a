"""A cross-encoder from a folder, alone and in the engine process."""

import math
import shutil
import threading
import time
from pathlib import Path

import pytest

from embeddings.cross_encoder import LocalCrossEncoder
from embeddings.engine import Engine
from embeddings.engine_client import EngineCrossEncoder
from embeddings.reranking import CrossEncoderConfig, CrossEncoderModel, RerankError
from tests.embeddings.test_engine import is_listening, place, running, wait_until

__all__ = ["place"]
full = pytest.mark.full
QUESTION = "年假有几天？"
PASSAGES = ["年假有五天。", "病假有三天。" * 30, "天", "事假" * 5, "a\0b\ud800", ""] * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.cross_encoder_folder import write_cross_encoder

    return write_cross_encoder(tmp_path_factory.mktemp("reranker"))


@full
def test_the_folder_is_scored_as_transformers_does(folder: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    scores = LocalCrossEncoder(CrossEncoderConfig("r", folder, batch_size=4)).score(QUESTION, PASSAGES[:4])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for passage, score in zip(PASSAGES[:4], scores, strict=True):
        pair = tokenizer(QUESTION, passage, return_tensors="pt", truncation=True, max_length=128)
        with torch.no_grad():
            assert math.isclose(score, float(torch.sigmoid(model(**pair).logits)), abs_tol=1e-4)
    assert len({round(score, 4) for score in scores}) == 4


@full
def test_max_length_cuts(folder: Path) -> None:
    short = LocalCrossEncoder(CrossEncoderConfig("r", folder, max_length=16))
    one, other = short.score(QUESTION, [PASSAGES[1], PASSAGES[1] + "不同的结尾"])
    assert one == pytest.approx(other, abs=1e-5)


@full
def test_what_is_no_cross_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    from tests.support.cross_encoder_folder import write_cross_encoder

    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "config.json").write_text("[]")
    for path, words in (
        (tmp_path / "none", "no model in"),
        (tmp_path / "list", "no model in"),
        (write_cross_encoder(tmp_path / "encoder", head=False), "no cross-encoder: BertModel"),
        (write_cross_encoder(tmp_path / "classes", labels=3), "3 classes"),
        (broken, "cannot be loaded"),
    ):
        with pytest.raises(RerankError, match=words):
            LocalCrossEncoder(CrossEncoderConfig("r", path))


@full
def test_weights_that_are_no_numbers_are_noticed(folder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    sick = shutil.copytree(folder, tmp_path / "sick")
    weights = load_file(sick / "model.safetensors")
    weights["classifier.bias"][:] = math.nan
    save_file(weights, sick / "model.safetensors", {"format": "pt"})
    with pytest.raises(RerankError, match="no numbers"):
        LocalCrossEncoder(CrossEncoderConfig("r", sick)).score(QUESTION, PASSAGES[:2])


@full
def test_the_engine_gives_the_scores_of_the_model(folder: Path, place: Path) -> None:
    config = CrossEncoderConfig("r", folder, batch_size=4)
    alone = LocalCrossEncoder(config).score(QUESTION, PASSAGES)
    with running(place):
        client = EngineCrossEncoder(config, place)
        assert client.score(QUESTION, PASSAGES, 60) == pytest.approx(alone, abs=1e-4)
        with pytest.raises(RerankError, match="no model in"):
            EngineCrossEncoder(CrossEncoderConfig("r", folder / "none"), place).score(QUESTION, ["x"], 60)


class _Slow(CrossEncoderModel):
    """Takes its time, and counts."""

    def __init__(self, _: CrossEncoderConfig) -> None:
        self.scored = 0

    def score(self, question: str, passages: list[str]) -> list[float]:  # type: ignore[override]
        time.sleep(0.2)
        self.scored += len(passages)
        return [float(len(passage)) for passage in passages]


@pytest.fixture
def slow(tmp_path: Path) -> list[_Slow]:
    """An engine in a thread, whose cross-encoder is slow. Its socket outlives the test, as the thread does."""
    made: list[_Slow] = []

    def load(config: CrossEncoderConfig) -> CrossEncoderModel:
        made.append(_Slow(config))
        return made[-1]

    threading.Thread(
        target=Engine(load_reranker=load).serve, args=(tmp_path / "e" / "s",), daemon=True
    ).start()
    wait_until(lambda: is_listening(tmp_path / "e" / "s"))
    return made


def test_late_is_late_and_nobody_computes_the_rest(slow: list[_Slow], tmp_path: Path) -> None:
    client = EngineCrossEncoder(CrossEncoderConfig("r", tmp_path, batch_size=1), tmp_path / "e" / "s")
    assert client.score("q", ["aaa", "a", "aa"], 30) == [3.0, 1.0, 2.0]
    started = time.monotonic()
    with pytest.raises(RerankError):
        client.score("q", ["a"] * 20, 0.5)
    assert time.monotonic() - started < 3  # all would take four
    time.sleep(0.5)
    assert 3 < slow[0].scored < 15
    assert client.score("q", ["aaaa"], 30) == [4.0]


def test_without_an_engine(place: Path, tmp_path: Path) -> None:
    with pytest.raises(RerankError, match="does not answer"):
        EngineCrossEncoder(CrossEncoderConfig("r", tmp_path), place).score("q", ["a"], 1)
