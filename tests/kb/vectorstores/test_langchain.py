"""Our index as LangChain's VectorStore."""

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from embeddings import EmbedderConfig, load_embedder
from server.kb.vectorstores.langchain import FaissStore


@pytest.fixture(scope="module")
def embedding() -> Embeddings:
    return load_embedder(EmbedderConfig(name="e5-small", kind="bundled"))


class TestLangChain:
    """The interface as LangChain's users know it, with the real model."""

    @pytest.fixture
    def texts(self, embedding: Embeddings) -> FaissStore:
        store = FaissStore(embedding, 384)
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
