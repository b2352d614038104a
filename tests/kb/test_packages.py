"""A knowledge base as one package: out, in under another name and another client's, and whatever a stranger may send instead."""

import asyncio
import dataclasses
import hashlib
import io
import json
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from sqlalchemy import func, select, update

from server.core.errors import Invalid, TooLarge
from server.core.settings import Settings
from server.kb import (
    lexical_repository,
    package_import,
    package_notes,
    package_reading,
    package_taking,
    package_writing,
)
from server.kb.anchors import searched_text
from server.kb.files import FileStore
from server.kb.lexicon import token
from server.kb.loaders.base import Findings
from server.kb.models import Chunk, Document, Job, KnowledgeBase, Question
from server.kb.package_import import discard_abandoned
from server.kb.sweep import sweep
from server.services import Services, open_services
from tests.conftest import Callers, test_settings
from tests.support.api import Caller
from tests.support.commands import run_command
from tests.support.provider import KEY, Provider, provider_server

PATH = "/knowledge_base"
NAME = {"knowledge_base_name": "kb"}
EVALUATION = "/knowledge_base/evaluation"
GIVEN = {"b.txt": [{"page_content": "试用期三个月。", "metadata": {"heading": "入职"}}]}
FILES = {
    "a.txt": "年假五天，须提前申请。".encode(),
    "b.txt": "病假三天。".encode(),
    "人事/c.md": b"# X\n\nhello world",
}


@pytest.fixture(scope="module")
def vendor() -> Iterator[Provider]:
    with provider_server() as running:
        yield running


@pytest.fixture
def settings(settings: Settings, vendor: Provider) -> Settings:
    far = {
        "EMBEDDING__FAR__KIND": "openai",
        "EMBEDDING__FAR__MODEL": "vectors",
        "EMBEDDING__FAR__BASE_URL": vendor.openai,
        "EMBEDDING__FAR__API_KEY": KEY,
        "KB__MAX_PACKAGE_SIZE": "4MiB",
        "KB__MAX_FILE_SIZE": "1MiB",
    }
    return test_settings(settings.server.data_dir, settings.database_url, **far)


async def _fill(editor: Caller, **fields: Any) -> None:
    await editor.create_kb(chunk_size=40, chunk_overlap=0, **fields)
    await editor.ingest("kb", FILES, docs=json.dumps(GIVEN), tags='["人事"]', properties='{"年": 2024}')
    labelled = NAME | {"file_name": "a.txt", "visible_to": ["boss"]}
    assert (await editor.post(f"{PATH}/update_document", labelled)).status_code == 200
    question = {"query": "年假有几天？", "kb_name": "kb", "answer": "五天。"}
    assert (await editor.post("/recommend/question", question)).status_code == 200
    created = await editor.post(f"{EVALUATION}/sets", NAME | {"name": "常问"})
    gold = {
        "set_id": created.json()["data"]["set_id"],
        "question": "年假几天？",
        "gold_files": ["a.txt"],
        "tags": ["假"],
    }
    assert (await editor.post(f"{EVALUATION}/questions", gold)).status_code == 200
    style = NAME | {"words": 0.4, "synonyms": [["年假", "年休假"]]}
    assert (await editor.post(f"{PATH}/update_retrieval", style)).status_code == 200


async def _export(caller: Caller, name: str = "kb") -> bytes:
    answer = await caller.get(f"{PATH}/export", knowledge_base_name=name)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    return answer.content


async def _import(caller: Caller, data: bytes, **fields: str) -> httpx2.Response:
    return await caller.http.post(f"{PATH}/import", data=fields, files=[("file", ("kb.zip", data))])


def _unpack(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _pack(parts: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return target.getvalue()


def _part(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _resealed(
    parts: dict[str, bytes], change: Callable[[dict[str, Any], list[dict[str, Any]]], object]
) -> bytes:
    """The package with another manifest and other lines about documents, all sums as they should be."""
    manifest = json.loads(parts["manifest.json"])
    lines = [json.loads(line) for line in parts["documents.jsonl"].splitlines()]
    change(manifest, lines)
    documents = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    manifest["documents"] = _part(documents)
    return _pack(parts | {"documents.jsonl": documents, "manifest.json": json.dumps(manifest).encode()})


def _with_part(parts: dict[str, bytes], kind: str, number: int, name: str, data: bytes) -> bytes:
    """… with another file of a document."""

    def change(_: dict[str, Any], lines: list[dict[str, Any]]) -> None:
        lines[number - 1][kind] = _part(data)

    return _resealed(parts | {name: data}, change)


async def _count(services: Services, table: type) -> int:
    async with services.database.read() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def _until_dropped(services: Services) -> None:
    """What a package was made of goes after its last byte."""
    folder = services.settings.server.data_dir / "packages"
    for _ in range(200):
        if not list(folder.glob("*")):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(list(folder.glob("*")))


def _folders(services: Services) -> int:
    return len(list(services.settings.server.data_dir.glob("kb_*")))


def _embedded(vendor: Provider) -> list[str]:
    """Passages that the vendor was asked to embed since."""
    texts = [text for call in vendor.asked("vectors") for text in call.body["input"]]
    return [text for text in texts if "须提前" in text or "三个月" in text or "hello" in text]


async def test_elsewhere_it_is_the_same_without_embedding(
    editor: Caller, callers: Callers, services: Services, vendor: Provider
) -> None:
    await _fill(editor, embed_model="far")
    await editor.upload("kb", {"d.txt": "婚假十天。".encode()}, to_vector_store=False)
    await editor.upload("kb", {"e.txt": "产假很长。".encode()})
    data = await _export(editor)
    await _until_dropped(services)
    await callers.client("other")
    other = await callers.key("other", "chat", "kb:read", "kb:write")
    vendor.calls.clear()
    answer = await _import(other, data, knowledge_base_name="副本")
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == {
        "knowledge_base_name": "副本",
        "documents": 5,
        "embedded_again": False,
        "waiting": 1,
        "failed_files": {},
    }
    assert _embedded(vendor) == []
    before, after = await editor.documents("kb"), await other.documents("副本")
    assert set(after) == set(before)
    for name, row in after.items():
        assert row["document_id"] != before[name]["document_id"]
        for key in ("state", "size", "chunks", "chars", "custom_docs", "tags", "properties", "create_time"):
            assert row[key] == before[name][key], (name, key)
        where = {"knowledge_base_name": "副本", "file_name": name}
        content = (await other.get(f"{PATH}/download_doc", **where)).content
        assert content == (await editor.get(f"{PATH}/download_doc", **NAME, file_name=name)).content
    assert (before["a.txt"]["visible_to"], after["a.txt"]["visible_to"]) == (["boss"], []), (
        "no user of theirs"
    )
    (row,) = (await other.get(f"{PATH}/list_knowledge_bases_v2")).json()["data"]
    assert (row["kb_zh_name"], row["chunk_size"], row["embed_model"]) == ("检查", 40, "far")
    retrieval = (await other.get(f"{PATH}/retrieval", knowledge_base_name="副本")).json()["data"]
    assert retrieval["own"] == {"words": 0.4, "synonyms": [["年假", "年休假"]]}
    listed = (await other.get("/recommend/question/list", kb_name="副本")).json()["data"]["items"]
    assert [(one["query"], one["answer"]) for one in listed] == [("年假有几天？", "五天。")]
    (made,) = (await other.get(f"{EVALUATION}/sets", knowledge_base_name="副本")).json()["data"]
    (gold,) = (await other.get(f"{EVALUATION}/questions", set_id=made["set_id"])).json()["data"]["items"]
    assert (made["name"], gold["question"], gold["gold_files"]) == ("常问", "年假几天？", ["a.txt"])
    async with services.database.read() as session:
        kb = (await session.scalars(select(KnowledgeBase).where(KnowledgeBase.name == "副本"))).one()
        found = await lexical_repository.look_up(session, [token(kb.id, "年假")], 9)
        chunk = await session.get(Chunk, int(found[0, 1]))
        assert (len(found), chunk and chunk.text) == (1, "年假五天，须提前申请。"), "by words"
    for question in ("年假", "试用期", "hello"):
        same = [
            await one.search(kb, question, top_k=9, score_threshold=1)
            for one, kb in ((editor, "kb"), (other, "副本"))
        ]
        said = [
            [(hit["page_content"], round(hit["score"], 4), hit["marks"]) for hit in hits] for hits in same
        ]
        assert said[0] == said[1]
    rows = [await _rows(services, name) for name in ("kb", "副本")]
    assert rows[0] == rows[1]
    await editor.post(f"{PATH}/delete_knowledge_base", "kb")
    assert other.worker is not None
    await other.worker.run_until_idle()
    assert (await other.documents("副本"))["e.txt"]["state"] == "ready"
    again = await _export(other, "副本")
    assert (await _import(editor, again)).json()["data"]["knowledge_base_name"] == "副本"


async def _rows(services: Services, kb_name: str) -> list[Any]:
    """What passages say and their vectors, and what they are found by but for the knowledge base's own tokens."""
    found = []
    async with services.database.read() as session:
        kb = (await session.scalars(select(KnowledgeBase).where(KnowledgeBase.name == kb_name))).one()
        query = select(Document, Chunk).join(Chunk, Chunk.document_id == Document.id)
        rows = await session.execute(
            query.where(Document.kb_id == kb.id).order_by(Document.name_key, Chunk.position)
        )
        for document, chunk in rows:
            path = services.files.segment_path(kb.id, kb.embed_model, document.segment or "")
            vector = np.load(path)[chunk.position].tolist()
            found.append((document.file_name, chunk.text, chunk.anchor, chunk.content_hash, vector))
    assert found
    return found


@pytest.mark.one_database
async def test_under_another_model_it_is_read_again(
    editor: Caller, services: Services, vendor: Provider
) -> None:
    await _fill(editor)
    parts = _unpack(await _export(editor))

    def other_model(manifest: dict[str, Any], _: object) -> None:
        manifest["model"]["name"] = "theirs"
        manifest["model"]["fingerprint"]["probe"].reverse()

    answer = await _import(editor, _resealed(parts, other_model), knowledge_base_name="其他")
    assert answer.status_code == 200, answer.text
    told = answer.json()["data"]
    assert (told["embedded_again"], told["waiting"]) == (True, 3)
    assert {row["state"] for row in (await editor.documents("其他")).values()} == {"waiting"}
    assert editor.worker is not None
    await editor.worker.run_until_idle()
    documents = await editor.documents("其他")
    assert {row["state"] for row in documents.values()} == {"ready"}
    assert documents["b.txt"]["custom_docs"] is True
    hits = await editor.search("其他", "试用期", top_k=1)
    assert [hit["page_content"] for hit in hits] == ["试用期三个月。"], "what people gave"
    assert (await editor.documents("其他"))["a.txt"]["visible_to"] == ["boss"], "the same client"
    parts.pop("vectors/1.npy")

    def without(_: object, lines: list[dict[str, Any]]) -> None:
        lines[0]["vectors"] = None

    answer = await _import(editor, _resealed(parts, without), knowledge_base_name="第三", wait="0")
    assert (answer.json()["data"]["embedded_again"], answer.json()["data"]["waiting"]) == (True, 1)


def _npy(rows: list[list[float]], kind: str = "<f4") -> bytes:
    target = io.BytesIO()
    np.save(target, np.array(rows, dtype=kind), allow_pickle=kind == "O")
    return target.getvalue()


def _lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _set(**fields: Any) -> Callable[[dict[str, Any], list[dict[str, Any]]], None]:
    """Say something else of the first document."""
    return lambda _, lines: lines[0].update(fields)


def _manifest(**fields: Any) -> Callable[[dict[str, Any], list[dict[str, Any]]], None]:
    return lambda manifest, _: manifest.update(fields)


def _hostile(parts: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Packages that nobody should take, by what is wrong with them."""
    whole = _pack(parts)
    row = json.loads(parts["chunks/1.jsonl"])
    unit = [[1.0] + [0.0] * 383]
    yield "empty", b""
    yield "no zip", b"PK\x03\x04 and then nothing"
    yield "some other zip", _pack({"a.txt": b"x"})
    yield "cut off", whole[: len(whole) // 2]
    yield "without its beginning", whole[100:]
    yield "a flipped byte", whole[:60] + bytes([whole[60] ^ 255]) + whole[61:]
    yield "a directory larger than itself", whole[:-10] + struct.pack("<I", 2**32 - 2) + whole[-6:]
    for name in ("../evil.txt", "/etc/passwd", "originals/../../x", "C:\\x", "originals/99.txt", "x/"):
        yield f"an entry {name}", _pack(parts | {name: b"x"})
    yield "a missing part", _pack({name: data for name, data in parts.items() if name != "originals/1.txt"})
    yield "no manifest", _pack({name: data for name, data in parts.items() if name != "manifest.json"})
    yield "another content", _pack(parts | {"originals/1.txt": b"x" * len(parts["originals/1.txt"])})
    yield "a longer content", _pack(parts | {"originals/1.txt": parts["originals/1.txt"] + b"x"})
    for name in (
        "manifest.json",
        "documents.jsonl",
        "questions.jsonl",
        "chunks/1.jsonl",
        "vectors/1.npy",
        "custom/2.json",
    ):
        yield f"a damaged {name}", _pack(parts | {name: parts[name][:-2] + b"xx"})
    yield "a manifest of text", _pack(parts | {"manifest.json": b"hello"})
    yield "a manifest nested deeply", _pack(parts | {"manifest.json": b"[" * 100_000})
    yield "a huge manifest", _pack(parts | {"manifest.json": b" " * (9 * 1024**2)})
    yield "a later format", _resealed(parts, _manifest(version=2))
    yield "another format", _resealed(parts, _manifest(format="docx"))
    yield (
        "a model without numbers",
        _resealed(
            parts, _manifest(model={"name": "x", "fingerprint": {"model": "x", "dimension": 0, "probe": []}})
        ),
    )
    yield (
        "settings that cannot be",
        _resealed(parts, lambda m, _: m["knowledge_base"].update(retrieval={"words": 7})),
    )
    yield (
        "a chunking that cannot be",
        _resealed(parts, lambda m, _: m["knowledge_base"].update(chunking={"chunk_size": -1})),
    )
    yield "a name that cannot be", _resealed(parts, lambda m, _: m["knowledge_base"].update(name="../x"))
    for file_name in ("../a.txt", "/a.txt", "a\\b.txt", "con.txt", "a.exe", "a", "", "x" * 250 + ".txt"):
        yield f"a file {file_name[:10]}", _resealed(parts, _set(file_name=file_name))
    yield "a file twice", _resealed(parts, lambda _, lines: lines[1].update(file_name="A.TXT"))
    yield "a number twice", _resealed(parts, lambda _, lines: lines.append(lines[0]))
    for fields in (
        {"size": -1}, {"content": {"size": 10**12, "sha256": "0" * 64}}, {"content": {"size": True, "sha256": "x"}},
        {"number": 0}, {"state": "archived"}, {"slot": "rebuild"}, {"chunks": None}, {"chunking": {"chunk_size": "x"}},
        {"tags": "x"}, {"tags": [5]}, {"properties": {"x": [1]}}, {"visible_to": [5]}, {"created_at": "never"}, {"created_at": "2024-01-01"},
    ):  # fmt: skip
        if fields != {"size": -1}:
            yield f"a document with {fields}", _resealed(parts, _set(**fields))
    for vectors in (
        [[float("nan")] * 384], [[float("inf")] + [0.0] * 383], [[0.0] * 384], [[2.0] + [0.0] * 383], unit * 2, [[1.0] + [0.0] * 382],
    ):  # fmt: skip
        yield f"vectors {vectors[0][:2]}", _with_part(parts, "vectors", 1, "vectors/1.npy", _npy(vectors))
    yield "vectors of another kind", _with_part(parts, "vectors", 1, "vectors/1.npy", _npy(unit, "<f8"))
    yield "pickled vectors", _with_part(parts, "vectors", 1, "vectors/1.npy", _npy(unit, "O"))
    yield "no vectors at all", _with_part(parts, "vectors", 1, "vectors/1.npy", b"x" * (384 * 4 + 128))
    for rows in (
        [], [5], [row | {"position": 1}], [row, row], [row | {"text": ""}], [row | {"text": 5}], [row | {"anchor": []}],
        [row | {"anchor": {"x": {"y": 1}}}], [row | {"anchor": {"x": "y" * 30_000}}], [row | {"text": "\ud800"}], [row | {"text": "a\0b"}],
    ):  # fmt: skip
        yield f"passages {str(rows)[:60]}", _with_part(parts, "chunks", 1, "chunks/1.jsonl", _lines(*rows))
    customs: list[dict[str, Any]] = [
        {},
        {"passages": []},
        {"passages": [{"text": "x"}]},
        {"passages": [{"text": " ", "anchor": {}}]},
    ]
    for given in customs:
        yield f"custom {given}", _with_part(parts, "custom", 2, "custom/2.json", _lines(given))
    for questions in ([5], [{"set": "x"}], [{"set": "", "question": "x"}], [{"set": "x", "question": " "}]):
        lines = _lines(*questions)
        more = {"question_sets": _part(lines)}
        changed = parts | {"more/question_sets.jsonl": lines}
        yield f"question sets {questions}", _resealed(changed, _manifest(more=more))
    yield "more of no name", _resealed(parts, _manifest(more={"../x": _part(b"")}))
    program = b"\x7fELF" + bytes(50)
    yield "a program that says it is text", _with_part(parts, "content", 1, "originals/1.txt", program)
    bomb = _pack(parts | {"originals/1.txt": bytes(20 * 1024**2)})
    yield "a bomb", bomb
    lying = bytearray(_with_part(parts, "content", 1, "originals/1.txt", bytes(900_000)))
    entry = lying.rfind(b"originals/1.txt") - 46
    struct.pack_into("<I", lying, entry + 24, 100)
    yield "a bomb that says it is small", bytes(lying)
    locked = bytearray(whole)
    place = locked.rfind(b"PK\x01\x02")
    struct.pack_into("<H", locked, place + 8, 1)
    yield "an encrypted entry", bytes(locked)
    strange = bytearray(whole)
    struct.pack_into("<H", strange, strange.rfind(b"PK\x01\x02") + 10, 14)
    yield "another compression", bytes(strange)
    link = bytearray(whole)
    struct.pack_into("<I", link, link.rfind(b"PK\x01\x02") + 38, 0o120777 << 16)
    yield "a link", bytes(link)
    twice = io.BytesIO(whole)
    with zipfile.ZipFile(twice, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("manifest.json", parts["manifest.json"])
    yield "a name twice", twice.getvalue()


def _odd(parts: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """More of them, sound by their form."""
    row = json.loads(parts["chunks/1.jsonl"])
    off = _with_part(parts, "chunks", 1, "chunks/1.jsonl", _lines(row | {"enabled": False}))
    none = _npy([]).replace(b"(0,)", b"(0, 384)")
    yield "no passage that is searched", _with_part(_unpack(off), "vectors", 1, "vectors/1.npy", none)
    for long in ({"text": "x" * 21_001}, {"original": "x" * 6_000_000}):
        yield f"a long {list(long)}", _with_part(parts, "chunks", 1, "chunks/1.jsonl", _lines(row | long))
    edits: list[Any] = [
        [1, 2], "x", 5, {"removed": 5}, {"removed": ["x"]}, {"removed": [5]}, {"kept": "1"}, {"kept": -1}, {"lost": True}, {"lost_texts": "x"},
        {"lost_texts": [1]},
    ]  # fmt: skip
    for said in edits:
        yield f"edits {said}", _resealed(parts, _set(columns={"edits": said}))
    findings: list[Any] = [
        [1], "x", {"pages": "x"}, {"pages": 2**31}, {"ocr_pages": 3}, {"ocr_pages": [0]}, {"damaged_pages": ["x"]}, {"pictures": [1]},
    ]  # fmt: skip
    for said in findings:
        yield f"findings {said}", _resealed(parts, _set(columns={"findings": said}))
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        yield f"made {moment}", _resealed(parts, _set(created_at=moment))
        yield f"ready {moment}", _resealed(parts, _set(ready_at=moment))


@pytest.mark.one_database
async def test_strangers_packages_are_refused_and_leave_nothing(
    editor: Caller, services: Services, tmp_path: Path
) -> None:
    await _fill(editor)
    parts = _unpack(await _export(editor))
    assert (await _import(editor, _pack(parts), knowledge_base_name="gut")).status_code == 200, (
        "the measure of all"
    )
    await editor.post(f"{PATH}/delete_knowledge_base", "gut")
    folders, documents = _folders(services), await _count(services, Document)
    outside = sorted(tmp_path.iterdir())
    number = 0
    for what, data in chain(_hostile(parts), _odd(parts)):
        answer = await _import(editor, data, knowledge_base_name="neu")
        assert what == "a name that cannot be" or answer.status_code != 200, what
        if what == "a name that cannot be":
            assert answer.status_code == 200, "the name was given"
            await editor.post(f"{PATH}/delete_knowledge_base", "neu")
            assert (await _import(editor, data)).status_code == 422
            continue
        allowed = {(422, "bad_package"), (413, "too_large")}
        assert (answer.status_code, answer.json()["error"]["code"]) in allowed, (what, answer.text)
        assert str(services.settings.server.data_dir) not in answer.text
        number += 1
    assert number > 100
    assert await _count(services, KnowledgeBase) == 1
    assert (_folders(services), await _count(services, Document)) == (folders, documents)
    assert sorted(tmp_path.iterdir()) == outside
    assert await _count(services, Job) == 3
    too_large = await _import(editor, bytes(5 * 1024**2))
    assert too_large.status_code == 413


@pytest.mark.one_database
async def test_refusals(editor: Caller, services: Services) -> None:
    await _fill(editor)
    data = await _export(editor)
    taken = await _import(editor, data)
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "already_exists")
    bad = await _import(editor, data, knowledge_base_name="a/b")
    assert (bad.status_code, bad.json()["error"]["code"]) == (422, "bad_kb_name")
    assert (await editor.get(f"{PATH}/export", knowledge_base_name="none")).status_code == 404
    assert _folders(services) == 1
    await _until_dropped(services)
    (content,) = services.settings.server.data_dir.rglob("content/*.md")
    content.unlink()
    gone = await editor.get(f"{PATH}/export", **NAME)
    assert (gone.status_code, gone.json()["error"]["code"]) == (409, "content_gone")
    assert "人事/c.md" in gone.json()["msg"]
    assert list((services.settings.server.data_dir / "packages").glob("*")) == []


@pytest.mark.one_database
async def test_a_slow_reader_holds_nothing_and_gets_all(editor: Caller, services: Services) -> None:
    """What is deleted meanwhile is still in the package."""
    await _fill(editor)
    noise = np.random.default_rng(1).integers(0, 26, 900_000, dtype=np.uint8)
    await editor.upload("kb", {"z.txt": bytes(noise + 97)}, to_vector_store=False)
    async with services.database.read() as session:
        kb = (await session.scalars(select(KnowledgeBase))).one()
    snapshot = await services.exports.begin(editor_of(kb), "kb")
    assert services.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    pieces = services.exports.stream(snapshot)
    data = [await anext(pieces)]
    assert (await editor.post(f"{PATH}/delete_knowledge_base", "kb")).status_code == 200
    async for piece in pieces:
        assert services.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        data.append(piece)
    assert max(map(len, data)) < 3 * 1024**2
    await services.exports.drop(snapshot)
    assert (await _import(editor, b"".join(data))).status_code == 200
    assert len(await editor.documents("kb")) == 4
    assert (await editor.search("kb", "年假", top_k=1))[0]["page_content"] == "年假五天，须提前申请。"


def editor_of(kb: KnowledgeBase) -> Any:
    from server.cli.intake import operator

    return operator(kb.client_id)


@pytest.mark.one_database
async def test_what_is_damaged_breaks_the_stream_off(
    editor: Caller, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _fill(editor)
    (content,) = services.settings.server.data_dir.rglob("content/*.md")
    content.write_bytes(content.read_bytes()[:-1] + b"?")
    with pytest.raises(httpx2.RemoteProtocolError):
        await _export(editor)
    content.write_bytes(FILES["人事/c.md"])
    await _until_dropped(services)
    monkeypatch.setattr(package_writing, "_BLOCK", 64)
    for path in services.settings.server.data_dir.rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    data = await _export(editor)
    assert not [name for name in _unpack(data) if name.startswith("vectors/")], "those are made again there"
    answer = await _import(editor, data, knowledge_base_name="neu")
    assert answer.json()["data"]["waiting"] == 3
    await _until_dropped(services)


async def test_nothing_is_seen_of_an_import_before_its_end(
    editor: Caller, callers: Callers, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor when it is killed: then it is cleared away."""
    monkeypatch.setattr(package_taking, "_DOCUMENTS_AT_ONCE", 1)
    await _fill(editor)
    data = await _export(editor)
    stopped = RuntimeError("killed")
    seen: list[int] = []
    write = package_taking.Taking._write

    async def killed(self: Any, portion: Any) -> None:
        await write(self, portion)
        seen.append(await _count(services, Document))
        if len(seen) == 2:
            raise stopped

    async def left(*_: Any) -> None:
        """The process is gone."""

    monkeypatch.setattr(package_taking.Taking, "_write", killed)
    with monkeypatch.context() as patch:
        patch.setattr(package_import, "_discard", left)
        async with services.database.read() as session:
            kb = (await session.scalars(select(KnowledgeBase))).one()
        with pytest.raises(RuntimeError, match="killed"):
            await services.imports.take(editor_of(kb), io.BytesIO(data), "neu")
    assert seen == [4, 5]
    assert await _count(services, KnowledgeBase) == 2
    assert (await editor.get(f"{PATH}/list_knowledge_bases")).json()["data"] == ["kb"]
    assert (await editor.get(f"{PATH}/documents", knowledge_base_name="neu")).status_code == 404
    clock, lanes = services.runtime.clock, services.runtime.lanes
    assert await discard_abandoned(services.database, services.files, lanes, clock) == 0, "it may be at work"
    async with services.database.write() as session:
        long_ago = clock.now() - timedelta(hours=2)
        await session.execute(
            update(KnowledgeBase).where(KnowledgeBase.importing).values(created_at=long_ago)
        )
    assert await discard_abandoned(services.database, services.files, lanes, clock) == 1
    assert (await _count(services, KnowledgeBase), await _count(services, Document)) == (1, 3)
    assert _folders(services) == 1
    seen.clear()
    with pytest.raises(RuntimeError, match="killed"):
        await services.imports.take(editor_of(kb), io.BytesIO(data), "neu")
    assert (await _count(services, KnowledgeBase), _folders(services)) == (1, 1), (
        "one that fails clears up itself"
    )
    assert await _count(services, Question) == 1
    monkeypatch.setattr(package_taking.Taking, "_write", write)
    imported = await services.imports.take(editor_of(kb), io.BytesIO(data), "neu")
    assert (imported.documents, imported.waiting) == (3, {})


@pytest.mark.one_database
async def test_the_command_line(
    editor: Caller, services: Services, settings: Settings, tmp_path: Path
) -> None:
    await _fill(editor)
    target = tmp_path / "kb.zip"
    environ = {
        "SERVER__DATA_DIR": str(settings.server.data_dir),
        "DATABASE__URL": settings.database_url,
    }
    done = run_command(["kb", "export", "kb", str(target), "--client", "acme"], environ)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.glob("*.zip*")) == ["kb.zip"]
    again = run_command(["kb", "export", "kb", str(target), "--client", "acme"], environ)
    assert again.returncode == 1
    done = run_command(["kb", "import", str(target), "--client", "acme", "--name", "neu"], environ)
    assert done.returncode == 0, done.stderr
    assert set(await editor.documents("neu")) == set(FILES)
    assert (await editor.search("neu", "年假", top_k=1))[0]["page_content"] == "年假五天，须提前申请。"
    target.write_bytes(b"x")
    bad = run_command(["kb", "import", str(target), "--client", "acme", "--name", "x"], environ)
    assert bad.returncode == 1
    assert "Traceback" not in bad.stderr


@pytest.mark.one_database
async def test_what_exports_left_is_swept(services: Services) -> None:
    import os

    folder = services.settings.server.data_dir / "packages"
    for name in ("old", "new"):
        (folder / name).mkdir(parents=True)
    os.utime(folder / "old", (1, 1))
    await sweep(services.database, services.files, services.runtime.lanes)
    assert [path.name for path in folder.iterdir()] == ["new"]


def test_a_directory_is_judged_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_reading, "_MAX_ENTRIES", 1)
    with pytest.raises(TooLarge):
        package_reading._check_end(io.BytesIO(_pack({"a": b"", "b": b""})), 10_000)
    package_reading._check_end(io.BytesIO(_pack({"a": b""})), 10_000)
    monkeypatch.setattr(package_reading, "_MAX_ENTRIES", 9)
    bomb = _pack({"manifest.json": b"{}", "x": bytes(1024**2)})
    with pytest.raises(TooLarge):
        package_reading.Package(io.BytesIO(bomb), 200_000, 10**9)


def _large(data: bytes, *, entries: int, offset: int = 0, comment: int = 0, lead: bytes = b"") -> bytes:
    """The zip with a zip64 record of its end; `offset`: how far beside it its locator points."""
    place = data.rfind(b"PK\x05\x06")
    size, start = struct.unpack_from("<II", data, place + 12)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, place + len(lead) + offset, 1)
    return (
        data[:place] + lead + record + locator + data[place:-2] + struct.pack("<H", comment) + b"x" * comment
    )


def test_an_entry_beyond_its_end_is_not_looked_for(tmp_path: Path) -> None:
    """The system refuses to go there, as if the disk were broken."""
    path = tmp_path / "far.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", b"{}")
        archive.getinfo("manifest.json").header_offset = 2**62
    with path.open("rb") as file, pytest.raises(Invalid):
        package_reading.Package(file, 10**6, 10**6)


def test_the_large_directory_that_is_judged_is_the_one_that_is_read() -> None:
    """zipfile reads the record right before the locator, wherever that points."""
    data = _pack({"a": b"", "b": b""})
    sound = _large(data, entries=2)
    package_reading._check_end(io.BytesIO(sound), 10**6)
    assert zipfile.ZipFile(io.BytesIO(sound)).namelist() == ["a", "b"]
    harmless = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, 100, 0)
    for bad in (
        _large(data, entries=10**6, offset=-56, lead=harmless),
        _large(data, entries=2, offset=-1),
        _large(data, entries=2, offset=2**40),
        _large(data, entries=2).replace(b"PK\x06\x06", b"PK\x06\x09"),
    ):
        with pytest.raises(Invalid, match="damaged"):
            package_reading._check_end(io.BytesIO(bad), 10**6)
    for comment in (0, 5, 65_535):
        with pytest.raises(TooLarge):
            package_reading._check_end(io.BytesIO(_large(data, entries=10**6, comment=comment)), 10**6)


@pytest.mark.one_database
async def test_what_is_told_of_a_document_is_what_the_product_would_tell(
    editor: Caller, services: Services
) -> None:
    """Counts are those of its passages; what is said of its reading comes whole, and nothing that is not known."""
    await _fill(editor)
    found = {"pages": 3, "ocr_pages": [1, 3]}
    edits = {"kept": 1, "lost": 2, "lost_texts": ["x"], "removed": ["0" * 64]}
    given = {"disabled_count": -7, "findings": found | {"blank_pages": [], "later": 1}, "edits": edits}
    parts = _unpack(await _export(editor))
    row = json.loads(parts["chunks/1.jsonl"])
    rows = [row, row | {"position": 1, "enabled": False}]
    changed = _unpack(_with_part(parts, "chunks", 1, "chunks/1.jsonl", _lines(*rows)))
    assert (
        await _import(editor, _resealed(changed, _set(columns=given)), knowledge_base_name="neu")
    ).status_code == 200
    told = (await editor.documents("neu"))["a.txt"]
    assert (told["state"], told["chunks"], told["disabled_chunks"]) == ("ready", 1, 1)
    assert told["findings"] == found
    assert told["edits"] == {"kept": 1, "lost": 2, "lost_texts": ["x"]}
    assert set(package_notes._Findings.model_fields) == {one.name for one in dataclasses.fields(Findings)}, (
        "all of them"
    )
    # Without vectors it is read again, and what people did is kept until then.
    changed.pop("vectors/1.npy")
    waiting = _resealed(changed, _set(columns={"disabled_count": 9, "edits": {}}, vectors=None))
    assert (await _import(editor, waiting, knowledge_base_name="wartet")).status_code == 200
    told = (await editor.documents("wartet"))["a.txt"]
    assert (told["state"], told["disabled_chunks"]) == ("waiting", 1)
    assert editor.worker is not None
    await editor.worker.run_until_idle()
    assert (await editor.documents("wartet"))["a.txt"]["state"] == "ready"


@pytest.mark.one_database
async def test_a_replacement_is_never_ready(editor: Caller, services: Services) -> None:
    await _fill(editor)
    parts = _unpack(await _export(editor))
    twice = {name.replace("/1.", "/9."): data for name, data in parts.items() if "/1." in name}

    def both(_: object, lines: list[dict[str, Any]]) -> None:
        lines.append(lines[0] | {"number": 9, "slot": "next"})

    answer = await _import(editor, _resealed(parts | twice, both), knowledge_base_name="neu")
    assert (answer.status_code, answer.json()["data"]["waiting"]) == (200, 1), answer.text
    async with services.database.read() as session:
        kb = (await session.scalars(select(KnowledgeBase).where(KnowledgeBase.name == "neu"))).one()
        mine = Document.kb_id == kb.id, Document.file_name == "a.txt"
        rows = await session.execute(select(Document.slot, Document.state).where(*mine))
        assert sorted(map(tuple, rows)) == [("live", "ready"), ("next", "waiting")]
    assert editor.worker is not None
    await editor.worker.run_until_idle()
    assert (await editor.documents("neu"))["a.txt"]["state"] == "ready"
    hits = await editor.search("neu", "年假", top_k=9, score_threshold=1)
    assert [hit["page_content"] for hit in hits].count("年假五天，须提前申请。") == 1


@pytest.mark.one_database
async def test_a_long_passage_of_the_product_comes_back(editor: Caller) -> None:
    await editor.create_kb(embed_model="far")
    text = "长" * 19_990 + "。"
    await editor.ingest("kb", {"w.txt": text.encode()}, chunk_method="whole")
    assert (await editor.documents("kb"))["w.txt"]["chunks"] == 1
    assert (await _import(editor, await _export(editor), knowledge_base_name="neu")).status_code == 200


@pytest.mark.one_database
async def test_passages_are_made_ready_for_the_search_beside_the_event_loop(
    editor: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _fill(editor)
    data = await _export(editor)
    threads: set[int] = set()

    def seen(*given: Any) -> str:
        threads.add(threading.get_ident())
        return searched_text(*given)

    monkeypatch.setattr(package_taking, "searched_text", seen)
    loop = threading.get_ident()
    assert (await _import(editor, data, knowledge_base_name="neu")).status_code == 200
    assert threads
    assert loop not in threads


@pytest.mark.one_database
async def test_ids_of_passages_are_numbers_of_the_database(editor: Caller) -> None:
    await _fill(editor)
    for number in (2**63, -1, True):
        bodies: dict[str, dict[str, Any]] = {
            "update_chunk": {"chunk_id": number, "text": "x"},
            "delete_chunk": {"chunk_id": number},
            "add_chunk": {"file_name": "a.txt", "text": "x", "after_chunk_id": number},
        }
        for what, body in bodies.items():
            answer = await editor.post(f"{PATH}/{what}", NAME | body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input"), (
                what,
                body,
            )
    for absent in (2**63 - 1, str(2**62)):
        answer = await editor.post(f"{PATH}/delete_chunk", NAME | {"chunk_id": absent})
        assert answer.status_code == 404, answer.text


@pytest.mark.one_database
async def test_without_room_it_is_refused_first(
    editor: Caller, settings: Settings, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _fill(editor)
    data = await _export(editor)
    monkeypatch.setattr(FileStore, "free", lambda _: 2**20)
    full = await _import(editor, data, knowledge_base_name="neu")
    assert (full.status_code, full.json()["error"]["code"]) == (507, "disk_full")
    async with open_services(settings) as fresh:
        assert await _count(fresh, KnowledgeBase) == 1
