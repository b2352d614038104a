"""What every vector store must do, each in its real engine: FAISS in its three forms, pgvector, Milvus."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from server.core.errors import StoreUnavailable
from server.core.settings import VectorStoreSettings
from server.kb.vectorstores import SERVERS
from server.kb.vectorstores.base import Part, SharedIndex, SlotMissing, StoreServer, VectorIndex
from server.kb.vectorstores.faiss import FaissIndex, Sizes
from server.kb.vectorstores.milvus import MilvusServer
from server.kb.vectorstores.pg import PgServer
from tests.support import vector_servers

RNG = np.random.default_rng(0)
DIMENSION = 64
STORES = ("flat", "sq8", *vector_servers.SERVERS)


def _unit(n: int, dimension: int = DIMENSION) -> np.ndarray:
    vectors = RNG.normal(size=(n, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Store:
    """Any store, changed in the same words. `segment`: chunks change together, one segment at a time."""

    def __init__(self, index: VectorIndex, reopen: Callable[[], VectorIndex] | None = None) -> None:
        self.index, self.reopen = index, reopen
        self.segments: dict[str, list[int]] = {}

    def put(self, segment: str, ids: range | list[int], vectors: np.ndarray) -> None:
        if isinstance(self.index, FaissIndex):
            self.index.add_vectors(ids, vectors)
        else:
            assert isinstance(self.index, SharedIndex)
            self.index.put([Part(segment, ids, vectors)])
        self.segments[segment] = list(ids)

    def drop(self, *segments: str) -> None:
        if isinstance(self.index, FaissIndex):
            self.index.remove_vectors([i for s in segments for i in self.segments.get(s, [])])
        else:
            assert isinstance(self.index, SharedIndex)
            self.index.drop(segments)

    def count(self) -> int:
        return self.index.count() if isinstance(self.index, SharedIndex) else len(self.index)


class _Kept:
    """Stored vectors, as segments keep them."""

    def __init__(self, dimension: int = DIMENSION) -> None:
        self.vectors: dict[int, np.ndarray] = {}
        self.dimension = dimension

    def fetch(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = [self.vectors.get(int(i)) for i in ids]
        known = np.array([row is not None for row in rows], dtype=np.bool_)
        empty = np.zeros(self.dimension, np.float32)
        return np.array([empty if row is None else row for row in rows], np.float32).reshape(
            -1, self.dimension
        ), known


class _Keeping(FaissIndex):
    """One that remembers what it was given."""

    def __init__(self, sizes: Sizes) -> None:
        self.kept = _Kept()
        super().__init__(DIMENSION, self.kept.fetch, sizes)

    def add_vectors(self, ids, vectors) -> None:
        self.kept.vectors |= {int(i): v for i, v in zip(ids, vectors, strict=False)}
        super().add_vectors(ids, vectors)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], StoreServer]]:
    opened: dict[str, StoreServer] = {}
    contexts = []

    def get(kind: str) -> StoreServer:
        if kind not in opened:
            context = vector_servers.vector_server(kind, tmp_path_factory.mktemp(kind))
            given = context.__enter__()
            contexts.append(context)
            opened[kind] = SERVERS[kind](vector_servers.settings_of(given, pg_exact=500), "")
        return opened[kind]

    yield get
    for server in opened.values():
        server.close()
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, servers: Callable[[str], StoreServer]) -> Iterator[Store]:
    kind = request.param
    if kind in ("flat", "sq8"):
        yield Store(_Keeping(Sizes(flat=10**9 if kind == "flat" else 0, sq8=10**9)))
        return
    server, slot = servers(kind), f"kb_{RNG.integers(10**9)}"
    index = server.open(slot, DIMENSION)
    index.create()
    yield Store(index, lambda: server.open(slot, DIMENSION))
    index.remove()


def _expected(vectors: np.ndarray, question: np.ndarray, k: int, first: int = 0) -> list[tuple[int, float]]:
    distances = ((vectors.astype(np.float64) - question) ** 2).sum(axis=1)
    return [(first + int(i), float(distances[i])) for i in np.argsort(distances)[:k]]


def _same(found: list[tuple[int, float]], expected: list[tuple[int, float]]) -> None:
    assert [chunk_id for chunk_id, _ in found] == [chunk_id for chunk_id, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-5)


def test_the_closest_come_first_with_exact_distances(store: Store) -> None:
    vectors = _unit(300)
    store.put("a", range(100, 400), vectors)
    for question in (vectors[7], *_unit(5)):
        _same(store.index.search_vector(question, 10), _expected(vectors, question, 10, 100))
    assert store.index.search_vector(vectors[7], 1)[0][1] == pytest.approx(0, abs=1e-5)


def test_an_empty_store_and_odd_numbers(store: Store) -> None:
    question = _unit(1)[0]
    assert store.index.search_vector(question, 3) == []
    assert store.index.spread(question) == (0.0, 0.0)
    store.drop("nothing")
    store.put("a", [2**40], _unit(1))
    assert [i for i, _ in store.index.search_vector(question, 50)] == [2**40]
    assert store.index.search_vector(question, 0) == []
    assert store.index.search_vector(question, 5, among=np.empty(0, np.int64)) == []


def test_what_is_put_again_is_there_once(store: Store) -> None:
    vectors = _unit(20)
    store.put("a", range(20), vectors)
    store.put("a", range(20), vectors)
    assert store.count() == 20
    _same(store.index.search_vector(vectors[3], 5), _expected(vectors, vectors[3], 5))


def test_a_document_is_replaced_without_a_gap(store: Store) -> None:
    old, new = _unit(10), _unit(10)
    store.put("a.1", range(10), old)
    store.put("a.2", range(50, 60), new)
    found = {i for i, _ in store.index.search_vector(old[0], 20)}
    assert found == {*range(10), *range(50, 60)}, "both for a moment, never neither"
    store.drop("a.1")
    _same(store.index.search_vector(old[0], 20), _expected(new, old[0], 10, 50))


def test_deleted_is_gone(store: Store) -> None:
    vectors = _unit(30)
    for number in range(3):
        store.put(f"s{number}", range(number * 10, number * 10 + 10), vectors[number * 10 : number * 10 + 10])
    store.drop("s1", "s0")
    assert store.count() == 10
    _same(store.index.search_vector(vectors[3], 30), _expected(vectors[20:], vectors[3], 10, 20))


def test_only_some_are_searched(store: Store) -> None:
    vectors = _unit(800)
    store.put("a", range(800), vectors)
    for allowed in (np.arange(5, 800, 7), np.arange(0, 800, 2), np.array([3])):
        question = _unit(1)[0]
        expected = [(int(allowed[n]), score) for n, score in _expected(vectors[allowed], question, 8)]
        _same(store.index.search_vector(question, 8, among=allowed), expected)
    assert store.index.search_vector(vectors[0], 3, among=np.array([10**6])) == []


def test_vectors_of_another_size_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="64"):
        store.put("a", [1], _unit(1, 32))
    with pytest.raises(ValueError, match="expected"):
        store.put("a", [1, 2], _unit(1))
    assert store.count() == 0


def test_how_far_passages_are_in_general(store: Store) -> None:
    vectors = _unit(2000)
    store.put("a", range(2000), vectors)
    question = vectors[0]
    distances = 2 - 2 * vectors @ question
    mean, deviation = store.index.spread(question)
    assert mean == pytest.approx(float(distances.mean()), abs=0.05)
    assert deviation == pytest.approx(float(distances.std()), abs=0.05)


def test_another_knowledge_bases_vectors_are_never_seen(
    store: Store, servers: Callable[[str], StoreServer]
) -> None:
    if not isinstance(store.index, SharedIndex):
        pytest.skip("each index is an object of its own")
    server = servers("pg" if type(store.index).__module__.endswith("pg") else "milvus")
    vectors = _unit(20)
    other = server.open("kb_other", DIMENSION)
    other.create()
    try:
        other.put([Part("theirs", range(500, 520), vectors)])
        store.put("mine", range(10), _unit(10))
        assert all(i < 10 for i, _ in store.index.search_vector(vectors[0], 50))
        assert store.index.search_vector(vectors[0], 5, among=np.arange(500, 520)) == []
        store.drop("theirs")
        assert other.count() == 20
    finally:
        other.remove()


def test_it_is_there_after_a_restart(store: Store) -> None:
    if store.reopen is None:
        pytest.skip("memory: tests/kb/test_stores.py has its snapshots")
    vectors = _unit(40)
    store.put("a", range(40), vectors)
    again = store.reopen()
    _same(again.search_vector(vectors[5], 5), _expected(vectors, vectors[5], 5))
    assert isinstance(again, SharedIndex)
    assert (again.count(), again.census()) == (40, {"a": 40})


def test_a_slot_that_is_not_there_says_so(store: Store) -> None:
    if not isinstance(store.index, SharedIndex):
        pytest.skip("only on servers")
    store.index.remove()
    store.index.remove()
    for attempt in (
        lambda: store.index.search_vector(_unit(1)[0], 1),
        store.index.count,
        store.index.census,
        lambda: store.put("a", [1], _unit(1)),
        lambda: store.drop("a"),
    ):
        with pytest.raises(SlotMissing):
            attempt()
    store.index.create()
    store.index.create()
    assert store.index.count() == 0


def test_tuning_changes_neither_order_nor_scores(store: Store) -> None:
    """pgvector has its HNSW index beyond `pg_exact`."""
    if not isinstance(store.index, SharedIndex):
        pytest.skip("FAISS: tests/kb/vectorstores/test_faiss.py")
    vectors = _unit(1200)
    store.put("a", range(1200), vectors)
    store.index.tune()
    store.index.tune()
    hits = 0
    for question in _unit(20):
        found, expected = store.index.search_vector(question, 10), _expected(vectors, question, 10)
        hits += len({i for i, _ in found} & {i for i, _ in expected})
        scores = dict(_expected(vectors, question, 1200))
        assert [score for _, score in found] == pytest.approx([scores[i] for i, _ in found], abs=1e-5)
        assert [i for i, _ in found] == sorted((i for i, _ in found), key=lambda i: scores[i])
    assert hits >= 195
    if type(store.index).__module__.endswith("pg"):
        assert store.index._has_index()  # type: ignore[attr-defined]
    store.put("b", range(2000, 2001), vectors[:1] * 0.6 + vectors[1:2] * 0.8)
    store.drop("a")
    assert [i for i, _ in store.index.search_vector(vectors[0], 5)] == [2000]


def test_searches_beside_changes(store: Store) -> None:
    vectors = _unit(400)
    store.put("a", range(200), vectors[:200])
    rounds = 200 if isinstance(store.index, FaissIndex) else 10
    faults: list[BaseException] = []

    def search() -> None:
        try:
            for n in range(rounds):
                assert store.index.search_vector(vectors[n], 1)[0][0] == n
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(200, 400, 50):
        store.put(f"s{n}", range(n, n + 50), vectors[n : n + 50])
        store.put(f"t{n}", range(n + 1000, n + 1050), vectors[n : n + 50])
        store.drop(f"t{n}")
    for thread in threads:
        thread.join()
    assert faults == []
    assert store.count() == 400


# ── what is missing ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_postgresql_that_is_away() -> None:
    server = PgServer(VectorStoreSettings(pg_url="postgresql://u:secret-word@127.0.0.1:1/x"), "")
    with pytest.raises(StoreUnavailable, match="pg_url") as caught:
        server.check()
    assert caught.value.retry_after
    assert "secret-word" not in caught.value.text.en + caught.value.text.zh
    server.close()


def test_a_milvus_that_is_away() -> None:
    pytest.importorskip("pymilvus")
    server = MilvusServer(VectorStoreSettings(milvus_uri="http://127.0.0.1:1"), "")
    with pytest.raises(StoreUnavailable, match="milvus_uri"):
        server.check()
    server.close()


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pymilvus", None)
    server = MilvusServer(VectorStoreSettings(milvus_uri=str(tmp_path / "x.db")), "")
    with pytest.raises(StoreUnavailable, match="pip install") as caught:
        server.check()
    assert caught.value.retry_after is None
