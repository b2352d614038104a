"""Office files whose archive or XML is an attack."""

import io
import stat
import struct
import zipfile

import docx
import openpyxl


def word(text: str = "员工每年享有十五天年假。", **parts: str) -> bytes:
    """A Word document; `parts` are put in place of its own, by name with `__` for slashes."""
    document = docx.Document()
    document.add_paragraph(text)
    return _replaced(_saved(document), {name.replace("__", "/"): part for name, part in parts.items()})


def _saved(document: object) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)  # type: ignore[attr-defined]
    return buffer.getvalue()


def _replaced(data: bytes, parts: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            if entry not in parts:
                new.writestr(entry, old.read(entry))
        for name, part in parts.items():
            new.writestr(name, part)
    return buffer.getvalue()


def part_of(data: bytes, name: str) -> str:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(name).decode()


def with_prolog(prolog: str, text: str) -> bytes:
    """A Word document whose XML begins with a declaration of its own."""
    body = part_of(word(text), "word/document.xml")
    head, _, rest = body.partition("?>")
    return _replaced(word(), {"word/document.xml": f"{head}?>{prolog}{rest}"})


def with_relation(kind: str, target: str) -> bytes:
    """A Word document that refers to something elsewhere."""
    name = "word/_rels/document.xml.rels"
    relations = part_of(word(), name)
    prefix = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    more = f'<Relationship Id="rId99" Type="{prefix}/{kind}" Target="{target}" TargetMode="External"/>'
    return _replaced(word(), {name: relations.replace("</Relationships>", more + "</Relationships>")})


def with_entry(name: str, *, link: bool = False, twice: bool = False, locked: bool = False) -> bytes:
    buffer = io.BytesIO(word())
    with zipfile.ZipFile(buffer, "a") as archive:
        entry = zipfile.ZipInfo(name)
        if link:
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    data = buffer.getvalue()
    if twice:
        # The directory names it as another entry.
        data = data.replace(b"word/twice.xml", b"word/style.xml"[:14]).replace(b"x/same.xml", b"y/same.xml")
    if locked:
        at = data.rindex(b"PK\x01\x02")
        data = data[: at + 8] + struct.pack("<H", 1) + data[at + 10 :]
    return data


def same_name_twice() -> bytes:
    import warnings

    buffer = io.BytesIO(word())
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("word/document.xml", "<other/>")
    return buffer.getvalue()


def declared(size: int) -> bytes:
    """The directory declares this size for the document's text."""
    data = word()
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"word/document.xml"))
    return data[: at + 24] + struct.pack("<I", size) + data[at + 28 :]


def understated() -> bytes:
    """Fifty megabytes that the directory calls a hundred bytes."""
    data = _replaced(word(), {"word/document.xml": " " * 50_000_000})
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"word/document.xml"))
    return data[: at + 24] + struct.pack("<I", 100) + data[at + 28 :]


def many_entries(count: int) -> bytes:
    buffer = io.BytesIO(word())
    with zipfile.ZipFile(buffer, "a") as archive:
        for number in range(count):
            archive.writestr(f"word/x{number}.xml", "")
    return buffer.getvalue()


def overlapping() -> bytes:
    """All entries of the directory lie where the first does."""
    data = bytearray(word())
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + 42 : at + 46] = bytes(4)
        at = data.find(b"PK\x01\x02", at + 4)
    return bytes(data)


def workbook(*rows: list[object]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)  # type: ignore[union-attr]
    return _saved(book)


def workbook_of_the_largest_size() -> bytes:
    """One cell is used, a million rows of sixteen thousand columns are declared."""
    data = workbook(["年假", "十五天"])
    name = "xl/worksheets/sheet1.xml"
    sheet = part_of(data, name).replace('ref="A1:B1"', 'ref="A1:XFD1048576"')
    return _replaced(data, {name: sheet})
