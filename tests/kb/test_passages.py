"""What was read of a file, over HTTP: for formats that no browser shows."""

import io
from typing import Any

import openpyxl

from tests.support.api import Caller

PATH = "/knowledge_base/passages"
PROSE = "".join(f"第{number:02}条规定：员工在第{number:02}种情况下应当及时告知上级。" for number in range(40))


def _workbook() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "资产"
    for row in (["编号", "名称"], ["A1", "电脑"], ["A2", "电脑"]):
        sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


async def _read(caller: Caller, file_name: str, **query: Any) -> dict[str, Any]:
    answer = await caller.get(PATH, knowledge_base_name="kb", file_name=file_name, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def _fill(editor: Caller, files: dict[str, bytes]) -> None:
    await editor.create_kb()
    for name, data in files.items():
        answer = await editor.http.post(
            "/knowledge_base/upload_docs", data={"knowledge_base_name": "kb"}, files=[("files", (name, data))]
        )
        assert answer.status_code == 200, answer.text
    assert editor.worker is not None
    await editor.worker.run_until_idle()


async def test_rows_of_a_sheet_with_their_places(editor: Caller) -> None:
    await _fill(editor, {"资产.xlsx": _workbook()})
    read = await _read(editor, "资产.xlsx")
    assert [item["text"] for item in read["items"]] == ["编号: A1\n名称: 电脑", "编号: A2\n名称: 电脑"]
    assert [(item["anchor"]["sheet"], item["anchor"]["row"]) for item in read["items"]] == [
        ("资产", 2),
        ("资产", 3),
    ]
    assert (read["total"], read["page"]) == (2, 1)


async def test_a_text_is_told_once_and_by_pages(editor: Caller) -> None:
    await _fill(editor, {"规定.txt": PROSE.encode()})
    whole = await _read(editor, "规定.txt")
    assert "".join(item["text"] for item in whole["items"]) == PROSE
    assert whole["total"] == len(whole["items"]) > 3
    paged = [await _read(editor, "规定.txt", page=page, page_size=2) for page in (1, 2)]
    assert [item for page in paged for item in page["items"]] == whole["items"][:4]
    third = await _read(editor, "规定.txt", page_size=2, near=whole["items"][2]["chunk_id"])
    assert third["page"] == 2
    assert third["items"] == whole["items"][2:4]
    # Not of this file: as if nothing had been said.
    assert (await _read(editor, "规定.txt", page_size=2, near=2**63 - 1))["page"] == 1


async def test_what_is_not_there_and_what_could_not_be_read(editor: Caller, reader: Caller) -> None:
    await _fill(editor, {"坏.docx": b"PK\x03\x04 broken", "好.txt": "员工每年有十天年假。".encode()})
    missing = await reader.get(PATH, knowledge_base_name="kb", file_name="无.txt")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "document_not_found")
    assert (await _read(reader, "坏.docx"))["items"] == []
    assert [item["text"] for item in (await _read(reader, "好.txt"))["items"]] == ["员工每年有十天年假。"]
    assert (
        await reader.get(PATH, knowledge_base_name="kb", file_name="好.txt", near=2**63)
    ).status_code == 422
