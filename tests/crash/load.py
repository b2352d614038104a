"""People at work: they upload, replace, edit, delete and search files, each their own, and know what they were told.

What was acknowledged must be so after any crash. What was on its way when the server died may be so or not, and nothing else.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import httpx2

KB = "kb"


@dataclass
class File:
    """What somebody knows of a file. Each version has a number; None: it is not there."""

    name: str
    told: int | None = None
    # Sent since, without an answer.
    perhaps: list[int | None] = field(default_factory=list)
    # The newest one that was found by a search since it was last deleted.
    found: int | None = None
    versions: int = 0
    # Numbers of edited passages: the file itself is an earlier one's.
    edits: set[int] = field(default_factory=set)
    uploaded: set[int] = field(default_factory=set)

    def text(self, number: int) -> str:
        return f"{self.name} 的第 {number} 版：年假五天，病假三天，事假另算。"

    def next(self) -> int:
        self.versions += 1
        return self.versions

    @property
    def can_be(self) -> set[int | None]:
        """What may be there when everything is done."""
        return {self.told, *self.perhaps}


class Violation(AssertionError):
    """Something that must never be."""


class Person:
    """Does one thing after the other with files of their own."""

    def __init__(self, number: int, base: str, key: str, source: random.Random) -> None:
        self._random = source
        self._http = httpx2.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=30)
        self.files = [File(f"p{number}f{file}.txt") for file in range(3)]
        self.own_kb = f"own{number}"
        # Is the knowledge base of their own there? None: it was on its way to be made or deleted.
        self.has_own: bool | None = False
        self.done = 0
        self.can_edit = False

    async def close(self) -> None:
        await self._http.aclose()

    async def work(self, ended: asyncio.Event) -> None:
        """Raises Violation."""
        ways = [self.upload] * 5 + [self.delete] * 2 + [self.search] * 4 + [self.make_or_delete_own]
        if self.can_edit:
            ways += [self.edit] * 3
        while not ended.is_set():
            await self._random.choice(ways)(self._random.choice(self.files))
            self.done += 1
            await asyncio.sleep(self._random.uniform(0.01, 0.1))

    async def _call(self, method: str, path: str, **options: Any) -> httpx2.Response | None:
        """None when nobody knows whether it was done."""
        try:
            answer = await self._http.request(method, path, **options)
        except httpx2.ConnectError:
            await asyncio.sleep(0.05)
            return httpx2.Response(503)  # it was never sent
        except httpx2.HTTPError:
            return None
        if answer.status_code in (400, 422, 500):
            raise Violation(f"{path}: {answer.text}")
        return answer

    async def upload(self, file: File) -> None:
        number = file.next()
        answer = await self._call(
            "POST",
            "/knowledge_base/upload_docs",
            data={"knowledge_base_name": KB, "override": "true"},
            files=[("files", (file.name, file.text(number).encode()))],
        )
        file.uploaded.add(number)
        self._note(file, number, answer)

    async def delete(self, file: File) -> None:
        body = {"knowledge_base_name": KB, "file_names": [file.name], "delete_content": True}
        answer = await self._call("POST", "/knowledge_base/delete_docs", json=body)
        if answer is not None and answer.status_code == 404 and file.told is not None:
            if None not in file.can_be:
                raise Violation(f"{file.name} is gone, and nobody deleted it")
            file.told, file.perhaps, file.found = None, [], None
            return
        self._note(file, None, answer)
        if None in file.can_be:
            file.found = None

    async def edit(self, file: File) -> None:
        where = {"knowledge_base_name": KB, "file_name": file.name}
        answer = await self._call("GET", "/knowledge_base/chunks", params=where)
        if answer is None or answer.status_code != 200 or not (items := answer.json()["data"]["items"]):
            return
        number = file.next()
        body = {
            "knowledge_base_name": KB,
            "chunk_id": items[0]["chunk_id"],
            "text": file.text(number),
        }
        file.edits.add(number)
        self._note(file, number, await self._call("POST", "/knowledge_base/update_chunk", json=body))

    def _note(self, file: File, number: int | None, answer: httpx2.Response | None) -> None:
        if answer is None:
            file.perhaps.append(number)
        elif answer.status_code == 200:
            file.told, file.perhaps = number, []

    async def make_or_delete_own(self, _: File) -> None:
        if self.has_own:
            answer = await self._call("POST", "/knowledge_base/delete_knowledge_base", json=self.own_kb)
            wanted = False
        else:
            body = {"knowledge_base_name": self.own_kb, "kb_zh_name": "own", "kb_info": "own"}
            answer = await self._call("POST", "/knowledge_base/create_knowledge_base", json=body)
            wanted = True
        if answer is None:
            self.has_own = None
        elif answer.status_code == 200 or (self.has_own is None and answer.status_code in (404, 409)):
            self.has_own = wanted
        elif answer.status_code in (404, 409):
            raise Violation(f"{self.own_kb}: {answer.text}")
        if wanted and self.has_own:
            await self._call(
                "POST",
                "/knowledge_base/upload_docs",
                data={"knowledge_base_name": self.own_kb},
                files=[("files", ("x.txt", "年假五天。".encode()))],
            )

    async def search(self, file: File) -> None:
        """One version or none, never an older one than was seen, and nothing where all is deleted. Raises Violation."""
        body = {
            "query": f"{file.name} 年假",
            "knowledge_base_name": KB,
            "top_k": 5,
            "score_threshold": 1,
            "filters": {"files": [file.name]},
        }
        answer = await self._call("POST", "/knowledge_base/search_docs", json=body)
        if answer is None or answer.status_code != 200:
            return
        texts = [hit["page_content"] for hit in answer.json()]
        if len(texts) > 1:
            raise Violation(f"{file.name}: {texts}")
        found = next((n for n in range(file.versions, 0, -1) if texts == [file.text(n)]), None)
        if texts and found is None:
            raise Violation(f"{file.name}: nobody wrote {texts}")
        if file.told is None and not file.perhaps and texts:
            raise Violation(f"{file.name} was deleted, and is found: {texts}")
        if file.found is not None and None not in file.can_be and (found or 0) < file.found:
            raise Violation(f"{file.name}: version {file.found} was found, now {found}")
        file.found = found if found is not None else file.found

    async def download(self, file: File) -> bytes | None:
        where = {"knowledge_base_name": KB, "file_name": file.name}
        answer = await self._http.get("/knowledge_base/download_doc", params=where)
        return answer.content if answer.status_code == 200 else None

    async def documents(self) -> dict[str, dict[str, Any]]:
        where = {"knowledge_base_name": KB, "page_size": "200"}
        answer = await self._http.get("/knowledge_base/documents", params=where)
        return {item["file_name"]: item for item in answer.json()["data"]["items"]}
