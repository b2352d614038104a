"""A CSV file of questions comes in over HTTP, and what became of its rows goes out."""

from fastapi import UploadFile
from pydantic import BaseModel

from server.core.errors import TooLarge
from server.core.i18n import Language, Text
from server.kb.csv_table import MAX_BYTES, Imported


class RowFailure(BaseModel):
    """A row that was left out; rows count as in a spreadsheet, the header is 1."""

    row: int
    reason: str


class ImportOut(BaseModel):
    created: int
    updated: int
    unchanged: int
    failed_rows: list[RowFailure]


async def read_csv(file: UploadFile) -> bytes:
    """Raises TooLarge."""
    if (file.size or 0) > MAX_BYTES:
        raise TooLarge(Text(f"CSV 超过 {MAX_BYTES} 字节", f"the CSV is larger than {MAX_BYTES} bytes"))
    return await file.read()


def import_out(done: Imported, language: Language) -> ImportOut:
    """Raises what was wrong with the first row when none could be taken."""
    rows = [
        RowFailure(row=number, reason=error.text.in_language(language))
        for number, error in done.failed.items()
    ]
    out = ImportOut(created=done.created, updated=done.updated, unchanged=done.unchanged, failed_rows=rows)
    if rows and not done.created + done.updated + done.unchanged:
        first = next(iter(done.failed.values()))
        first.data = out.model_dump()
        raise first
    return out
