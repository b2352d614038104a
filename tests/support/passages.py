"""Is what stands in SQL, in the segments, in the index of words and in the indexes of vectors the same?"""

from typing import Any

import numpy as np
from sqlalchemy import select

from server.kb import chunk_edit_repository, document_repository, lexical_repository
from server.kb.anchors import searched_text
from server.kb.embedding import content_of
from server.kb.lexicon import analyse, token
from server.kb.models import Chunk, Document, KnowledgeBase
from server.kb.segments import read_segment
from server.kb.splitters import Passage
from server.services import Services


async def the_kb(services: Services) -> KnowledgeBase:
    async with services.database.read() as session:
        return (await session.scalars(select(KnowledgeBase))).one()


async def check_all_agree(services: Services) -> None:
    """Every document of the one knowledge base: rows, vectors, words, counts; and the index of this process."""
    kb = await the_kb(services)
    async with services.database.read() as session:
        documents = list(await session.scalars(select(Document).where(Document.slot == "live")))
    enabled: dict[int, Any] = {}
    for document in documents:
        enabled |= await _check(services, kb, document)
    index = await services.kb.retriever.indexes.get(kb)
    await services.runtime.lanes.run("search", _check_index, index.store, enabled)
    assert index.lexicon.passages == len(enabled)
    async with services.database.read() as session:
        ids = {int(n) for _, n in await lexical_repository.look_up(session, [token(kb.id, "规定")], 10_000)}
        rows = await document_repository.load_segments(session, [document.id for document in documents])
        with_it = {
            row.id
            for row in await session.scalars(select(Chunk).where(Chunk.id.in_(enabled)))
            if "规定" in row.text
        }
    assert with_it <= ids <= enabled.keys()
    assert sorted(number for row in rows for number in row.chunk_ids) == sorted(enabled)


async def _check(services: Services, kb: KnowledgeBase, document: Document) -> dict[int, Any]:
    async with services.database.read() as session:
        chunks = list(
            await session.scalars(
                select(Chunk).where(Chunk.document_id == document.id).order_by(Chunk.position)
            )
        )
        terms = await chunk_edit_repository.get_terms(session, document.id)
        tokens = {row.id: row.tokens for row in await session.execute(select(Chunk.id, Chunk.tokens))}
    assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
    on = [chunk for chunk in chunks if chunk.enabled]
    assert (document.chunk_count, document.disabled_count) == (len(on), len(chunks) - len(on))
    assert document.char_count == sum(len(chunk.text) for chunk in on)
    texts = [searched_text(document.file_name, chunk.anchor, chunk.text) for chunk in on]
    found_by, counts = analyse(kb.id, document.id, texts)
    assert terms == counts
    assert [tokens[chunk.id] for chunk in on] == found_by
    assert {tokens[chunk.id] for chunk in chunks if not chunk.enabled} <= {None}
    path = services.files.segment_path(kb.id, kb.embed_model, document.segment or "")
    assert [other.name for other in path.parent.glob(f"{document.id}.*")] == [path.name]
    vectors = read_segment(path, document.segment_sha256 or "")
    contents = [
        content_of(document.file_name, Passage(chunk.text, chunk.anchor), is_plain=True) for chunk in on
    ]
    assert [chunk.content_hash for chunk in on] == [content.hash for content in contents]
    embedder = await services.embedders.get(kb.embed_model)
    expected = embedder.embed_passages([content.text for content in contents])
    assert vectors.shape == expected.shape
    assert np.allclose(vectors, expected, atol=1e-3)
    return {chunk.id: vector for chunk, vector in zip(on, vectors, strict=True)}


def _check_index(store: Any, enabled: dict[int, Any]) -> None:
    for chunk_id, vector in enabled.items():
        found = store.search_vector(vector, len(enabled) + 5)
        assert {number for number, _ in found} == enabled.keys()
        assert dict(found)[chunk_id] < 1e-3
