"""Large knowledge bases in FAISS: the worker makes their snapshots, and every process goes over to them while it is searched."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from server.auth.secret_files import make_secret_file
from server.core.settings import Settings
from server.kb.in_memory import InMemory
from server.kb.models import KnowledgeBase
from server.kb.snapshots import read_manifest, snapshot_path
from server.kb.store_keeper import StoreKeeper
from server.kb.vectorstores.faiss import FaissIndex
from server.services import Services, open_services
from server.worker import open_keeper
from tests.conftest import test_settings
from tests.support.api import Caller

TEXT = "\n\n".join(f"第{n}条 员工编号{n * 37}的年假是{n}天，由{n}号部门批准。" for n in range(1, 25)).encode()
pytestmark = pytest.mark.one_database


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """With numbers that a test can reach."""
    data_dir = tmp_path / "data"
    make_secret_file(data_dir / "secrets" / "master.key", "0f" * 32)
    numbers = {"FLAT": "6", "SQ8": "12", "LISTS": "always"}
    given = {f"VECTOR_STORE__FAISS_{key}": value for key, value in numbers.items()}
    return test_settings(data_dir, database_url, **given)


async def _kb(services: Services) -> KnowledgeBase:
    async with services.database.read() as session:
        return (await session.scalars(select(KnowledgeBase))).one()


async def _found(services: Services, question: str = "编号370的年假") -> list[tuple[int, float]]:
    hits, _ = await services.kb.search_in(await _kb(services), question, viewer=None, top_k=5, threshold=4.0)
    return [(hit.chunk_id, round(hit.score, 4)) for hit in hits]


async def _held(services: Services) -> InMemory:
    vectors = services.kb._indexes._loaded[(await _kb(services)).id].vectors
    assert isinstance(vectors, InMemory)
    return vectors


async def _index(services: Services) -> FaissIndex:
    return (await _held(services)).index


async def _fill(editor: Caller) -> None:
    await editor.create_kb()
    documents = await editor.ingest(
        "kb", {"制度.txt": TEXT, "密码.txt": "密码每九十天更换。".encode()}, chunk_size=40, chunk_overlap=0
    )
    assert sum(document["chunks"] for document in documents.values()) > 20


async def test_processes_go_over_to_a_snapshot(
    services: Services, editor: Caller, settings: Settings
) -> None:
    await _fill(editor)
    before = await _found(services)
    assert (await _index(services)).kind == "sq8"
    keeper = open_keeper(services)
    making = asyncio.create_task(keeper.step())
    while not making.done():
        assert await _found(services) == before, "searches go on meanwhile"
        await asyncio.sleep(0.01)
    await making
    manifest = read_manifest(snapshot_path(services.files, await _kb(services)))
    assert manifest is not None
    (await _held(services)).looked = 0.0
    for _ in range(500):
        assert await _found(services) == before
        if (await _index(services)).kind == "ivf":
            break
        await asyncio.sleep(0.01)
    assert (await _index(services)).kind == "ivf"
    assert await _found(services) == before
    assert not await keeper.keep_snapshot(await _kb(services)), "nothing has changed"
    async with open_services(settings) as later:
        assert await _found(later) == before
        assert (await _index(later)).kind == "ivf"


async def test_what_changed_since_is_taken_in(services: Services, editor: Caller, settings: Settings) -> None:
    await _fill(editor)
    await open_keeper(services).step()
    await editor.ingest(
        "kb", {"密码.txt": "密码每三十天更换。".encode(), "e.txt": "报销十天内。".encode()}, override=True
    )
    async with open_services(settings) as later:
        (best, *_) = await editor.search("kb", "密码多久更换一次", top_k=5)
        assert best["page_content"] == "密码每三十天更换。"
        hits, _ = await later.kb.search_in(
            await _kb(later), "密码多久更换一次", viewer=None, top_k=5, threshold=4.0
        )
        assert hits[0].text == "密码每三十天更换。"
        assert "密码每九十天更换。" not in [hit.text for hit in hits]
        assert (await _index(later)).kind == "ivf"
        hits, _ = await later.kb.search_in(
            await _kb(later), "报销十天内。", viewer=None, top_k=5, threshold=4.0
        )
        assert hits[0].text == "报销十天内。"


async def test_a_snapshot_without_lists(services: Services, editor: Caller, settings: Settings) -> None:
    """It saves the next start the filling; who runs has it already."""
    few = settings.vector_store.model_copy(update={"faiss_sq8": 10**6})
    await _fill(editor)
    before = await _found(services)
    keeper = StoreKeeper(services.database, services.files, services.runtime, services.slots, few)
    assert await keeper.keep_snapshot(await _kb(services))
    manifest = read_manifest(snapshot_path(services.files, await _kb(services)))
    assert manifest is not None
    assert (manifest.lists, manifest.recall) == (0, 1.0)
    async with open_services(settings) as later:
        assert await _found(later) == before
        assert (await _index(later)).kind == "sq8"
        assert (await _held(later)).snapshot == manifest.index
        await editor.ingest("kb", {"e.txt": "报销十天内。".encode()})
        hits, _ = await later.kb.search_in(
            await _kb(later), "报销十天内。", viewer=None, top_k=5, threshold=4.0
        )
        assert hits[0].text == "报销十天内。"


async def test_a_damaged_snapshot_is_not_used_and_made_again(
    services: Services, editor: Caller, settings: Settings
) -> None:
    await _fill(editor)
    before = await _found(services)
    keeper = open_keeper(services)
    await keeper.step()
    kb = await _kb(services)
    for what in ("faiss", "npz", "json"):
        (path,) = snapshot_path(services.files, kb).parent.glob(f"*.{what}")
        path.write_bytes(path.read_bytes()[:-9])
        async with open_services(settings) as later:
            assert await _found(later) == before
            assert (await _index(later)).kind == "sq8"
        assert await keeper.keep_snapshot(kb), "it is made again"
        async with open_services(settings) as later:
            assert await _found(later) == before
            assert (await _index(later)).kind == "ivf"


async def test_it_is_made_again_when_much_has_changed_and_goes_when_it_is_not_needed(
    services: Services, editor: Caller
) -> None:
    await _fill(editor)
    keeper = open_keeper(services)
    await keeper.step()
    path = snapshot_path(services.files, await _kb(services))
    first = read_manifest(path)
    await editor.ingest("kb", {"b.txt": "一条短文。".encode()})
    await keeper.step()
    assert read_manifest(path) == first
    await editor.ingest(
        "kb", {"c.txt": TEXT.replace("年假".encode(), "病假".encode())}, chunk_size=40, chunk_overlap=0
    )
    await keeper.step()
    second = read_manifest(path)
    assert first is not None
    assert second is not None
    assert second.vectors > first.vectors + 20
    body = {"knowledge_base_name": "kb", "file_names": ["c.txt", "制度.txt"], "delete_content": True}
    await editor.post("/knowledge_base/delete_docs", body)
    await keeper.step()
    assert list(path.parent.glob("*.faiss")) == []
