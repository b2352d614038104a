"""What every vector store must do, as LangChain's interface and by vector."""

import threading

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from embeddings import EmbedderConfig, load_embedder
from server.kb.vectorstores import VECTOR_STORES
from server.kb.vectorstores.faiss import FaissStore

RNG = np.random.default_rng(0)


def _unit(n: int, dimension: int = 64) -> np.ndarray:
    vectors = RNG.normal(size=(n, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def embedding() -> Embeddings:
    return load_embedder(EmbedderConfig(name="e5-small", kind="bundled"))


@pytest.fixture(params=sorted(VECTOR_STORES))
def store(request: pytest.FixtureRequest, embedding: Embeddings) -> FaissStore:
    return VECTOR_STORES[request.param](embedding, 64)


def test_the_closest_come_first_with_squared_distances(store: FaissStore) -> None:
    vectors = _unit(50)
    store.add_vectors(range(100, 150), vectors)
    found = store.search_vector(vectors[7], 5)
    expected = ((vectors - vectors[7]) ** 2).sum(axis=1)
    order = np.argsort(expected)[:5]
    assert [chunk_id for chunk_id, _ in found] == [100 + int(i) for i in order]
    assert [score for _, score in found] == pytest.approx([float(expected[i]) for i in order], abs=1e-5)
    assert found[0][0] == 107


def test_an_empty_store_and_odd_numbers(store: FaissStore) -> None:
    assert store.search_vector(_unit(1)[0], 3) == []
    assert store.remove_vectors([1, 2]) == 0
    store.add_vectors([1], _unit(1))
    assert len(store.search_vector(_unit(1)[0], 50)) == 1
    assert store.search_vector(_unit(1)[0], 0) == []


def test_an_id_is_there_once(store: FaissStore) -> None:
    vectors = _unit(2)
    store.add_vectors([5], vectors[:1])
    store.add_vectors([5], vectors[1:])
    assert len(store) == 1
    ((chunk_id, score),) = store.search_vector(vectors[1], 3)
    assert chunk_id == 5
    assert score == pytest.approx(0, abs=1e-5)


def test_removed_is_gone(store: FaissStore) -> None:
    vectors = _unit(10)
    store.add_vectors(range(10), vectors)
    assert store.remove_vectors([3, 4, 99]) == 2
    assert {3, 4}.isdisjoint(chunk_id for chunk_id, _ in store.search_vector(vectors[3], 10))
    assert len(store) == 8


def test_vectors_of_another_size_are_refused(store: FaissStore) -> None:
    with pytest.raises(ValueError, match="64"):
        store.add_vectors([1], _unit(1, 32))
    with pytest.raises(ValueError, match="expected"):
        store.add_vectors([1, 2], _unit(1))
    assert len(store) == 0


def test_searches_beside_changes(store: FaissStore) -> None:
    vectors = _unit(400)
    store.add_vectors(range(200), vectors[:200])
    faults: list[BaseException] = []

    def search() -> None:
        try:
            for n in range(200):
                assert store.search_vector(vectors[n], 1)[0][0] == n
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(200, 400, 10):
        store.add_vectors(range(n, n + 10), vectors[n : n + 10])
        store.remove_vectors(range(n, n + 5))
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(store) == 300


class TestLangChain:
    """The interface as LangChain's users know it, with the real model."""

    @pytest.fixture(params=sorted(VECTOR_STORES))
    def texts(self, request: pytest.FixtureRequest, embedding: Embeddings) -> FaissStore:
        store = VECTOR_STORES[request.param](embedding, 384)
        store.add_texts(
            ["年假五天", "住宿标准四百元", "密码每九十天更换"],
            [{"page": n} for n in (1, 2, 3)],
            ids=["1", "2", "3"],
        )
        return store

    def test_search(self, texts: FaissStore) -> None:
        (best, score), *_ = texts.similarity_search_with_score("出差住酒店一晚多少钱", k=3)
        assert (best.page_content, best.metadata, best.id) == ("住宿标准四百元", {"page": 2}, "2")
        assert 0 < score < 0.5
        assert texts.similarity_search("密码多久换一次", k=1)[0].id == "3"
        assert texts.similarity_search_by_vector(texts.embeddings.embed_query("年休假几天"), k=1)[0].id == "1"
        assert texts.similarity_search_with_relevance_scores("年休假几天", k=1)[0][1] == pytest.approx(
            0.9, abs=0.1
        )

    async def test_async_and_retriever(self, texts: FaissStore) -> None:
        assert (await texts.asimilarity_search("年休假几天", k=1))[0].id == "1"
        found = await texts.as_retriever(search_kwargs={"k": 2}).ainvoke("年休假几天")
        assert next(document.id for document in found) == "1"

    def test_get_and_delete(self, texts: FaissStore) -> None:
        assert [document.page_content for document in texts.get_by_ids(["3", "9"])] == ["密码每九十天更换"]
        assert texts.delete(["3"])
        assert texts.get_by_ids(["3"]) == []
        assert "3" not in [document.id for document in texts.similarity_search("密码", k=5)]

    def test_add_documents_and_from_texts(self, embedding: Embeddings) -> None:
        store = FaissStore.from_texts(["甲"], embedding)
        assert store.add_documents([Document("乙"), Document("丙")]) == ["2", "3"]
        assert len(store) == 3
        assert store.add_texts([]) == []
