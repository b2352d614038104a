"""Names that people give, and what they may not do."""

import contextlib
import errno
import io
import threading
from pathlib import Path

import pytest

from server.core.errors import BadRequest, Invalid, StorageFull, TooLarge, UnsupportedFile
from server.kb.file_types import _OLE, check_type
from server.kb.files import FileStore, check_file_name, check_kb_name, name_key
from server.kb.models import Document


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd", "..\\..\\x.txt", "/etc/cron.d/x", "C:\\Windows\\x.txt", "\\\\host\\share\\x", "....//x.txt",
        "a/../b.txt", "x.txt\x00.pdf", "a\r\nb.txt", "", ".", "..", "   ", "CON.txt", "aux.md", "NUL.pdf", "com1.txt",
        "\u202egpj.exe", "a\u200bb.txt", "a.txt.", "a.txt ", " a.txt", "a|b.txt", 'a"b.txt', "a<b>.txt", "a\ud800.txt", "a\u2028b.txt",
        "a//b.txt", "a/./b.txt", "a/ /b.txt", "a/", "/", "./a.txt", "sub\\a.txt", "nul/a.txt", "a./b.txt", "a/con.txt",
    ],
)  # fmt: skip
def test_bad_file_names(name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_file_name(name)
    assert (caught.value.code, caught.value.status) == ("bad_filename", 400)


def test_a_reserved_name_is_called_by_its_name() -> None:
    with pytest.raises(BadRequest) as caught:
        check_file_name("nul.txt")
    assert caught.value.text.zh == "文件名 nul.txt 是系统保留名，请改名后再上传"


@pytest.mark.parametrize(
    "name",
    ["a" * 197 + ".txt", "名" * 66 + ".txt", "名" * 67 + "/a.txt", "a/" * 126 + "b.txt", "ŉ/" * 85 + "b.txt"],
)
def test_long_file_names(name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_file_name(name)
    assert caught.value.code == "name_too_long"


@pytest.mark.parametrize(
    "name",
    [
        "年假制度（2026）.txt",
        "a b.pdf",
        "%2e%2e%2fx.txt",
        "a;b&c$(id).txt",
        ".htaccess",
        "~$a.docx",
        "😀.md",
        "a..b.txt",
        "2024/年假.txt",
        "a/b c/.d/e.txt",
        "名" * 66 + "/" + "x" * 180 + ".txt",
    ],
)
def test_good_file_names(name: str) -> None:
    assert check_file_name(name) == name


def test_names_are_compared_as_file_systems_without_case_do() -> None:
    assert name_key("A.TXT") == name_key("a.txt")
    assert name_key("e\u0301.txt") == name_key("\u00e9.txt")
    assert name_key("ﬀ.txt") != name_key("甲.txt")


@pytest.mark.parametrize("name", ["kb", "知识库 1", "a-b_c", "x" * 64, "名" * 64])
def test_good_kb_names(name: str) -> None:
    assert check_kb_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a/b",
        "a\\b",
        "..",
        "../x",
        "%2f",
        "a\0b",
        ".hidden",
        "😀",
        "x" * 65,
        " a",
        "a ",
        "a'b",
        'a"',
        "a\nb",
        "a\n",
        "a\tb",
        "a\u3000b",
        "<b>",
        "CON",
        "aux",
        "nul",
    ],
)
def test_bad_kb_names(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_kb_name(name)
    assert (caught.value.code, caught.value.status) == ("bad_kb_name", 422)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.txt", b"", "empty_file"),
        ("a.pdf", b"<html>no pdf</html>", "type_mismatch"),
        ("a.pdf", b"\x89PNG\r\n", "type_mismatch"),
        ("a.docx", b"PK\x05\x06", "type_mismatch"),
        ("a.docx", b"plain text", "type_mismatch"),
        ("a.txt", b"\x7fELF\x02\x01", "type_mismatch"),
        ("a.txt", b"MZ\x90\x00", "type_mismatch"),
        ("a.txt", b"%PDF-1.7", "type_mismatch"),
        ("a.txt", b"PK\x03\x04....", "type_mismatch"),
        ("a.md", b"abc\x00\x00\x00", "type_mismatch"),
        ("a.csv", b"\x89PNG\r\n", "type_mismatch"),
    ],
)
def test_content_that_is_not_what_the_suffix_says(
    tmp_path: Path, name: str, content: bytes, code: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises((Invalid, UnsupportedFile)) as caught:
        check_type(path, path.suffix, len(content))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "年假".encode("gb18030")),
        ("a.txt", "年假".encode("utf-16")),
        ("a.pdf", b"junk before\n%PDF-1.4"),
        ("a.docx", _OLE + b"an encrypted Office file is an OLE container"),
        ("a.json", b"[]"),
        ("a.html", b"<p>x"),
    ],
)
def test_content_that_fits(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    check_type(path, path.suffix, len(content))


def test_a_zip_of_another_kind_is_not_a_document(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "a.docx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    with pytest.raises(UnsupportedFile):
        check_type(path, ".docx", 100)
    check_type(path.rename(tmp_path / "a.xlsx"), ".xlsx", 100)


def test_saving_is_whole_or_nothing(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    target = store.content_path("kb_1", "doc_1", ".txt")
    stored = store.save(io.BytesIO(b"x" * 3_000_000), target)
    assert (stored.size, target.read_bytes()) == (3_000_000, b"x" * 3_000_000)
    assert stored.sha256 == __import__("hashlib").sha256(b"x" * 3_000_000).hexdigest()

    class Full(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.ENOSPC, "no space")

    other = store.content_path("kb_1", "doc_2", ".txt")
    with pytest.raises(StorageFull):
        store.save(Full(), other)
    assert [path.name for path in other.parent.iterdir()] == ["doc_1.txt"]


def test_a_file_is_counted_while_it_is_copied(tmp_path: Path) -> None:
    store, folder = FileStore(tmp_path), tmp_path / "kb_1" / "content"
    with Path("/dev/zero").open("rb") as endless, pytest.raises(TooLarge):
        store.save(endless, folder / "doc_1.txt", 3_000_000)
    assert store.save(io.BytesIO(b"x" * 3_000_000), folder / "doc_2.txt", 3_000_000).size == 3_000_000

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.save(Broken(), folder / "doc_3.txt")
    assert [path.name for path in folder.iterdir()] == ["doc_2.txt"]


def test_a_nearly_full_disk_refuses_before_it_writes(tmp_path: Path) -> None:
    with pytest.raises(StorageFull) as caught:
        FileStore(tmp_path, 1 << 60).save(io.BytesIO(b"x"), tmp_path / "kb" / "content" / "d.txt")
    assert caught.value.status == 507
    assert not list(tmp_path.iterdir())


def test_removing_takes_every_file_of_a_document_and_no_other(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    mine = [
        store.content_path("k", "doc_a", ".txt"),
        *(store.segment_path("k", "m", f"doc_a.{n}.npy") for n in (1, 2)),
    ]
    others = [store.content_path("k", "doc_ab", ".txt"), store.segment_path("k", "m", "doc_ab.1.npy")]
    for path in mine + others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    document = Document(id="doc_a", kb_id="k", suffix=".txt")
    store.remove_documents([document, document])
    assert [path.exists() for path in mine + others] == [False, False, False, True, True]
    store.remove_kb("k")
    store.remove_kb("k")
    assert not (tmp_path / "k").exists()


def test_a_folder_that_is_still_written_to_is_removed_without_a_fault(tmp_path: Path) -> None:
    store, ended = FileStore(tmp_path), threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            with contextlib.suppress(OSError, StorageFull):
                store.save(io.BytesIO(b"x"), store.content_path("k", f"doc_{number}", ".txt"))

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    for _ in range(200):
        store.remove_kb("k")
    ended.set()
    for writer in writers:
        writer.join()
    store.remove_kb("k")
    assert not (tmp_path / "k").exists()
