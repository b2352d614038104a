"""FAISS's three forms: when it changes over, what it loses by it, and snapshots that a process of its own makes."""

import io
import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import faiss
import numpy as np
import pytest

from server.kb.rows import SegmentRows
from server.kb.segments import write_segment
from server.kb.snapshots import check_file, read_manifest, read_segments
from server.kb.training import BUSY, Task, main, make_snapshot
from server.kb.vectorstores.faiss import FaissIndex, Sizes
from server.kb.vectorstores.reading import ReadWriteLock
from tests.conftest import ROOT

DIMENSION = 96
PER_SEGMENT = 50


def _like_passages(n: int, seed: int = 0) -> np.ndarray:
    """Topics of some passages each, all of them near one direction, as an embedding model's vectors are."""
    rng, topics = np.random.default_rng(seed), np.random.default_rng(7)
    shape = np.arange(1, DIMENSION + 1) ** -0.3
    shape /= np.linalg.norm(shape)
    mean = topics.normal(size=DIMENSION)
    mean *= 0.9 / np.linalg.norm(mean)
    centres = topics.normal(size=(300, DIMENSION)) * shape * 0.33
    vectors = mean + centres[rng.integers(0, 300, n)] + rng.normal(size=(n, DIMENSION)) * shape * 0.27
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class Corpus:
    """Segments on disk, as ingestion leaves them, with ids that jump where other documents came in between."""

    def __init__(self, folder: Path, vectors: np.ndarray) -> None:
        self.folder, self.vectors = folder, vectors
        self.segments: list[tuple[str, str, list[int]]] = []
        self.ids = np.arange(len(vectors), dtype=np.int64) + np.arange(len(vectors)) // 30 * 5
        for number in range(len(vectors) // PER_SEGMENT):
            part = slice(number * PER_SEGMENT, (number + 1) * PER_SEGMENT)
            name = f"doc_{number:04}.npy"
            digest = write_segment(folder / name, vectors[part])
            self.segments.append((name, digest, self.ids[part].tolist()))
        self.rows = SegmentRows(folder, DIMENSION)
        self.rows.change((name, np.array(ids, dtype=np.int64)) for name, _, ids in self.segments)

    def task(self, path: Path, lists: Literal["auto", "always", "never"] = "always") -> Task:
        return Task(str(path), str(self.folder), DIMENSION, self.segments, lists)

    def recall(self, index: FaissIndex, questions: np.ndarray) -> float:
        hits = 0
        for question in questions:
            best = set(self.ids[np.argsort(-(self.vectors @ question))[:10]].tolist())
            hits += len(best & {i for i, _ in index.search_vector(question, 10)})
        return hits / (10 * len(questions))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(tmp_path_factory.mktemp("segments"), _like_passages(6000))


@pytest.fixture(scope="module")
def snapshot(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "x.json"
    make_snapshot(corpus.task(path))
    return path


def _load(corpus: Corpus, path: Path) -> FaissIndex:
    manifest = read_manifest(path)
    assert manifest is not None
    segments = read_segments(path, manifest)
    ids = np.concatenate(list(segments.values()))
    return FaissIndex.load(path.parent / manifest.index, ids, corpus.rows.fetch)


def test_the_form_follows_the_number(corpus: Corpus) -> None:
    index = FaissIndex(DIMENSION, corpus.rows.fetch, Sizes(flat=1000, sq8=2000))
    forms = []
    for start in range(0, 3000, 500):
        part = slice(start, start + 500)
        index.add_vectors(corpus.ids[part], corpus.vectors[part])
        forms.append((index.kind, len(index)))
    assert forms == [
        ("flat", 500),
        ("flat", 1000),
        ("sq8", 1500),
        ("sq8", 2000),
        ("sq8", 2500),
        ("sq8", 3000),
    ]
    assert index.nbytes == 3000 * (DIMENSION + 8)
    ids = {
        i
        for question in corpus.vectors[:3000:100]
        for i, score in index.search_vector(question, 1)
        if score < 1e-5
    }
    assert ids == set(corpus.ids[:3000:100].tolist()), "what was in it before is in it still"
    assert index.remove_vectors(corpus.ids[:500]) == 500
    assert corpus.ids[0] not in {i for i, _ in index.search_vector(corpus.vectors[0], 10)}


def test_every_thread_uses_one_core() -> None:
    seen = []

    def use() -> None:
        index = FaissIndex(DIMENSION)
        index.add_vectors(range(10), _like_passages(10))
        seen.append(faiss.omp_get_max_threads())
        faiss.omp_set_num_threads(4)
        index.search_vector(_like_passages(1)[0], 1)
        seen.append(faiss.omp_get_max_threads())

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [1, 1]


def test_one_without_stored_vectors_stays_flat() -> None:
    index = FaissIndex(DIMENSION, sizes=Sizes(flat=10, sq8=20))
    index.add_vectors(range(100), _like_passages(100))
    assert index.kind == "flat"


def test_eight_bits_lose_nothing_that_is_compared_again(corpus: Corpus) -> None:
    index = FaissIndex(DIMENSION, corpus.rows.fetch, Sizes(flat=0, sq8=10**9))
    index.add_vectors(corpus.ids, corpus.vectors)
    assert index.kind == "sq8"
    assert corpus.recall(index, _like_passages(50, seed=3)) >= 0.998


def test_lists_find_what_the_training_measured(corpus: Corpus, snapshot: Path) -> None:
    manifest = read_manifest(snapshot)
    assert manifest is not None
    assert (manifest.vectors, manifest.dimension) == (6000, DIMENSION)
    assert manifest.recall >= 0.99
    assert 1 < manifest.probes < manifest.lists
    index = _load(corpus, snapshot)
    assert index.kind == "ivf"
    assert corpus.recall(index, _like_passages(50, seed=3)) >= 0.97
    question = corpus.vectors[11]
    found = index.search_vector(question, 5)
    exact = 2 - 2 * np.sort(corpus.vectors @ question)[::-1][:5]
    assert [score for _, score in found] == pytest.approx(exact.tolist(), abs=1e-5)
    mean, deviation = index.spread(question)
    distances = 2 - 2 * corpus.vectors @ question
    assert (mean, deviation) == pytest.approx((distances.mean(), distances.std()), abs=0.03)


def test_lists_are_used_only_where_they_are_faster(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for worth, has_lists in ((1e9, False), (0.0, True)):
        monkeypatch.setattr("server.kb.training._WORTH", worth)
        path = tmp_path / f"{has_lists}.json"
        made = make_snapshot(corpus.task(path, "auto"))
        assert (made["lists"] > 0) is has_lists
        index = _load(corpus, path)
        assert index.kind == ("ivf" if has_lists else "sq8")
        assert corpus.recall(index, _like_passages(30, seed=3)) >= (0.97 if has_lists else 0.998)


@pytest.mark.parametrize("number", [3, 400, 3000])
def test_some_of_many_are_found_wherever_they_are(corpus: Corpus, snapshot: Path, number: int) -> None:
    index = _load(corpus, snapshot)
    chosen = np.random.default_rng(number).choice(len(corpus.ids), number, replace=False)
    hits = wanted = 0
    for question in _like_passages(20, seed=5):
        best = corpus.ids[chosen[np.argsort(-(corpus.vectors[chosen] @ question))[:10]]].tolist()
        found = [i for i, _ in index.search_vector(question, 10, among=corpus.ids[chosen])]
        assert set(found) <= set(corpus.ids[chosen].tolist())
        hits, wanted = hits + len(set(best) & set(found)), wanted + len(best)
    assert hits / wanted >= 0.97


def test_lists_change(corpus: Corpus, snapshot: Path, tmp_path: Path) -> None:
    more = _like_passages(100, seed=9)
    index = _load(corpus, snapshot)
    digest_name = "doc_more.npy"
    write_segment(corpus.folder / digest_name, more)
    ids = np.arange(100, dtype=np.int64) + 1_000_000
    corpus.rows.change([(digest_name, ids)])
    index.add_vectors(ids, more)
    assert index.search_vector(more[5], 1)[0][0] == 1_000_005
    assert index.remove_vectors(ids) == 100
    corpus.rows.change((), {digest_name})
    assert index.search_vector(more[5], 1)[0][0] != 1_000_005
    assert len(index) == 6000


def test_a_new_subject_is_found_whatever_the_lists_know(corpus: Corpus, snapshot: Path) -> None:
    index = _load(corpus, snapshot)
    strange = np.random.default_rng(4).normal(size=(20, DIMENSION)).astype(np.float32)
    strange /= np.linalg.norm(strange, axis=1, keepdims=True)
    name, ids = "doc_strange.npy", np.arange(20, dtype=np.int64) + 2_000_000
    write_segment(corpus.folder / name, strange)
    corpus.rows.change([(name, ids)])
    index.add_vectors(ids, strange)
    asked = strange + np.random.default_rng(5).normal(size=strange.shape).astype(np.float32) * 0.06
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    assert [index.search_vector(question, 1)[0][0] for question in asked] == ids.tolist()
    index.add_vectors(ids[:5], strange[:5])
    assert len(index) == 6020
    assert index.search_vector(strange[0], 3, among=ids[[0, 7]])[0][0] == 2_000_000
    assert index.remove_vectors(ids) == 20
    corpus.rows.change((), {name})


def test_a_large_index_is_sampled_once_in_a_while(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    index = FaissIndex(DIMENSION, corpus.rows.fetch, Sizes(flat=0, sq8=10**9))
    samples: list[int] = []
    real = index.sample

    def sample(number: int, among: np.ndarray | None = None) -> np.ndarray:
        samples.append(number)
        return real(number, among)

    monkeypatch.setattr(index, "sample", sample)
    for start, end, expected in ((0, 1000, 1), (1000, 1090, 1), (1090, 1200, 2)):
        index.add_vectors(corpus.ids[start:end], corpus.vectors[start:end])
        index.spread(corpus.vectors[0])
        assert len(samples) == expected
    index.remove_vectors(corpus.ids[:500])
    index.spread(corpus.vectors[0])
    assert len(samples) == 3


def test_a_vector_whose_file_is_gone_keeps_its_estimate(corpus: Corpus, tmp_path: Path) -> None:
    own = Corpus(tmp_path, corpus.vectors[:500])
    index = FaissIndex(DIMENSION, own.rows.fetch, Sizes(flat=0, sq8=10**9))
    index.add_vectors(own.ids, own.vectors)
    for path in tmp_path.glob("*.npy"):
        path.unlink()
    ((chunk_id, score),) = index.search_vector(own.vectors[42], 1)
    assert chunk_id == own.ids[42]
    assert score == pytest.approx(0, abs=0.01)


class TestSnapshot:
    def test_the_process_makes_it(self, corpus: Corpus, tmp_path: Path) -> None:
        path = tmp_path / "index" / "y.json"
        task = json.dumps(_plain(corpus.task(path)))
        command = [sys.executable, "-W", "error", "-m", "server.kb.training"]
        done = subprocess.run(command, input=task, cwd=ROOT, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["vectors"] == 6000
        first = read_manifest(path)
        assert first is not None
        subprocess.run(command, input=task, cwd=ROOT, capture_output=True, text=True, check=True)
        second = read_manifest(path)
        assert second is not None
        assert second.index != first.index
        assert sorted(file.name for file in path.parent.iterdir()) == sorted(
            [".lock", path.name, second.index, second.segments]
        ), "the files of the one before are gone"

    def test_one_at_a_time(self, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import fcntl

        monkeypatch.setattr(os, "nice", lambda _: 0)
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(_plain(corpus.task(tmp_path / "z.json")))))
        with (tmp_path / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert main() == BUSY
        assert not (tmp_path / "z.json").exists()

    def test_segments_that_are_gone_are_left_out(self, corpus: Corpus, tmp_path: Path) -> None:
        own = Corpus(tmp_path, corpus.vectors[:1000])
        (tmp_path / own.segments[3][0]).unlink()
        damaged = tmp_path / own.segments[5][0]
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x01")
        path = tmp_path / "index" / "x.json"
        make_snapshot(own.task(path))
        manifest = read_manifest(path)
        assert manifest is not None
        there = read_segments(path, manifest)
        assert set(there) == {name for name, _, _ in own.segments} - {own.segments[3][0], own.segments[5][0]}
        assert manifest.vectors == 900

    def test_what_is_damaged_is_noticed(self, corpus: Corpus, tmp_path: Path) -> None:
        own = Corpus(tmp_path, corpus.vectors[:1000])
        path = tmp_path / "index" / "x.json"
        make_snapshot(own.task(path))
        manifest = read_manifest(path)
        assert manifest is not None
        for name, digest in (
            (manifest.index, manifest.index_sha256),
            (manifest.segments, manifest.segments_sha256),
        ):
            file = path.parent / name
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
            with pytest.raises(ValueError, match="not the one"):
                check_file(file, digest)
        path.write_text("{}")
        assert read_manifest(path) is None
        path.write_text("nonsense")
        assert read_manifest(path) is None


def _plain(task: Task) -> dict:
    return asdict(task)


class TestRows:
    def test_rows_of_many_files(self, corpus: Corpus) -> None:
        chosen = np.random.default_rng(1).permutation(len(corpus.ids))[:500]
        ids = np.concatenate([corpus.ids[chosen], [10**9, -5]])
        vectors, known = corpus.rows.fetch(ids)
        assert known.tolist() == [True] * 500 + [False] * 2
        assert np.array_equal(vectors[:500], corpus.vectors[chosen])
        assert not vectors[500:].any()

    def test_none(self, tmp_path: Path) -> None:
        rows = SegmentRows(tmp_path, 4)
        vectors, known = rows.fetch(np.array([1, 2], dtype=np.int64))
        assert not known.any()
        assert vectors.shape == (2, 4)


def test_readers_share_and_a_writer_is_alone() -> None:
    lock, inside, seen = ReadWriteLock(), [0], []
    together = threading.Barrier(3, timeout=60)

    def read() -> None:
        with lock.reading():
            together.wait()  # three at once, or it breaks

    def write() -> None:
        with lock.writing():
            inside[0] += 1
            seen.append(inside[0])
            inside[0] -= 1

    threads = [threading.Thread(target=read) for _ in range(3)] + [
        threading.Thread(target=write) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not together.broken
    assert seen == [1] * 5
