"""The parser process: whatever a file does in it, the server gets documents or a LoadError, and reads the next file."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from server.kb import parsing
from server.kb.loaders.base import LoadError, LoadLimits
from server.kb.parsing import Parser
from tests.kb.loaders.reading import write
from tests.kb.loaders.test_pdf import make_pdf

GIB = 1024**3
HOSTILE = "tests.kb.loaders.hostile"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
async def parser() -> AsyncIterator[Parser]:
    """Of real files."""
    parser = Parser(LoadLimits(), timeout=timedelta(seconds=60), memory=2 * GIB)
    yield parser
    await parser.close()


@pytest.fixture(scope="module")
async def hostile() -> AsyncIterator[Parser]:
    """Of files that misbehave."""
    parser = Parser(LoadLimits(max_pages=7), timeout=timedelta(seconds=30), memory=GIB, loaders=HOSTILE)
    yield parser
    await parser.close()


async def _code(parser: Parser, suffix: str, path: Path = Path("/nowhere")) -> str:
    with pytest.raises(LoadError) as caught:
        await parser.parse(path, suffix)
    return caught.value.code


async def _describe(parser: Parser) -> dict[str, str]:
    documents = await parser.parse(Path("/nowhere"), ".describe")
    return {document.metadata["name"]: document.page_content for document in documents[1:]}


async def _pid(parser: Parser) -> int:
    return int((await _describe(parser))["pid"])


async def _ended(pid: int) -> bool:
    """Whether the process is gone, or dead and only not waited for, within five seconds."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        await asyncio.sleep(0.05)
    return False


async def test_files_are_read_one_after_another_in_one_child(parser: Parser, tmp_path: Path) -> None:
    text = write(tmp_path / "a.txt", "员工每年享有年假。", "gbk")
    pdf = make_pdf(tmp_path / "b.pdf", ["第一页"], ["second"])
    one, two, three = await asyncio.gather(
        parser.parse(text, ".txt"), parser.parse(pdf, ".pdf"), parser.parse(text, ".txt")
    )
    assert [d.page_content for d in one] == [d.page_content for d in three] == ["员工每年享有年假。"]
    assert [(d.page_content, d.metadata) for d in two] == [("第一页", {"page": 1}), ("second", {"page": 2})]


async def test_relative_paths_count_from_the_server(
    parser: Parser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path / "名 \udcff.txt".encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"), "甲"
    )
    assert (await parser.parse(Path("名 \udcff.txt"), ".txt"))[0].page_content == "甲"


async def test_load_errors_arrive_whole_and_the_child_lives_on(parser: Parser, tmp_path: Path) -> None:
    with pytest.raises(LoadError) as caught:
        await parser.parse(write(tmp_path / "a.json", "{"), ".json")
    assert caught.value.code == "parse_error"
    assert "JSON" in caught.value.zh
    assert "JSON" in caught.value.en
    assert str(caught.value) == caught.value.en
    assert (await parser.parse(write(tmp_path / "a.txt", "甲"), ".txt"))[0].page_content == "甲"


async def test_error_after_documents_keeps_the_child(hostile: Parser) -> None:
    pid = await _pid(hostile)
    assert await _code(hostile, ".fail") == "no_text"
    assert await _pid(hostile) == pid


async def test_limits_reach_the_child(hostile: Parser) -> None:
    child = await _describe(hostile)
    assert child["RLIMIT_AS"] == str(GIB)
    assert child["RLIMIT_CORE"] == "0"
    assert int(child["RLIMIT_NOFILE"]) <= 256
    assert child["RLIMIT_FSIZE"] == str(LoadLimits().max_unpacked_size)
    assert child["cpu"] == "True"
    assert child["max_pages"] == "7"


async def test_child_has_an_environment_and_a_folder_of_its_own(hostile: Parser) -> None:
    child = await _describe(hostile)
    allowed = "PATH PYTHONPATH HOME TMPDIR LANG LC_CTYPE DO_NOT_TRACK SCARF_NO_ANALYTICS UNSTRUCTURED_DISABLE_NOTICE"
    allowed += " OMP_NUM_THREADS OPENBLAS_NUM_THREADS MALLOC_ARENA_MAX"
    assert set(child["environment"].split()) <= set(allowed.split())
    assert child["is_leader"] == "True"
    assert child["sys_path"] == "False"
    folder = Path(child["cwd"])
    assert folder.stat().st_mode & 0o777 == 0o700
    await hostile.close()
    assert not folder.exists()
    assert await _ended(int(child["pid"]))


async def test_documents_of_any_length_arrive(hostile: Parser) -> None:
    documents = await hostile.parse(Path("/nowhere"), ".long")
    assert len(documents) == 20_003
    assert documents[1].page_content == "\x01字" * 2_000_000
    assert documents[1].metadata == {"page": 1, "heading": "\x01" * 5000}
    assert documents[2].page_content == ""
    assert documents[-1].page_content == "行 19999"
    assert documents[-1].metadata == {"row": 19_999, "atomic": True}


async def test_large_results_do_not_stop_the_server(hostile: Parser) -> None:
    """The event loop turns while a large result comes in."""
    task = asyncio.create_task(hostile.parse(Path("/nowhere"), ".long"))
    longest, before = 0.0, time.monotonic()
    while not task.done():
        await asyncio.sleep(0.001)
        longest, before = max(longest, time.monotonic() - before), time.monotonic()
    assert longest < 5
    await task


async def test_what_libraries_print_is_no_reply(hostile: Parser) -> None:
    assert [d.page_content for d in await hostile.parse(Path("/nowhere"), ".print")] == ["begun", "printed"]
    assert [d.page_content for d in await hostile.parse(Path("/nowhere"), ".print")] == ["begun", "printed"]


async def test_network_is_closed(hostile: Parser) -> None:
    documents = await hostile.parse(Path("/nowhere"), ".connect")
    assert [d.page_content for d in documents[1:]] == ["the network is closed to parsers"] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")
async def test_network_is_closed_to_native_code_and_to_other_programs(hostile: Parser) -> None:
    """Of sockets only those of the file system are left: IPv4, IPv6, netlink and raw ones are refused (13)."""
    (_, document) = await hostile.parse(Path("/nowhere"), ".natively")
    assert document.page_content.splitlines() == ["2 13", "10 13", "16 13", "17 13", "1 True", "io_uring 13"]


async def test_pages_in_work_are_told_of_and_findings_come_with_the_end(hostile: Parser) -> None:
    told: list[tuple[int, int]] = []
    reading = await hostile.read(Path("/nowhere"), ".slow", lambda *message: told.append(message))
    assert [document.page_content for document in reading.documents] == ["begun", "ten pages"]
    assert told == [(page, 10) for page in range(11)]
    assert (len(reading.findings.ocr_pages), reading.findings.hidden_chars) == (10, 3)


async def test_slow_pages_have_time_of_their_own() -> None:
    """Three seconds of pages: too long for a limit of two, not for two and one more for each page."""
    for page_seconds, is_read in ((1.0, True), (0.01, False)):
        parser = Parser(
            LoadLimits(),
            timeout=timedelta(seconds=2),
            page_timeout=timedelta(seconds=page_seconds),
            memory=GIB,
            loaders=HOSTILE,
        )
        await _describe(parser)
        if is_read:
            assert len(await parser.parse(Path("/nowhere"), ".slow")) == 2
        else:
            assert await _code(parser, ".slow") == "parse_timeout"
        await parser.close()


@pytest.mark.parametrize("suffix", [".abort", ".segfault", ".exit", ".raise", ".eat"])
async def test_crashes_are_answered_and_the_next_file_is_read(hostile: Parser, suffix: str) -> None:
    pid = await _pid(hostile)
    assert await _code(hostile, suffix) == ("parse_limit" if suffix == ".eat" else "parse_crashed")
    assert await _pid(hostile) != pid
    assert await _ended(pid)


async def test_log_tells_where_it_crashed_and_nothing_of_the_file(
    hostile: Parser, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await _code(hostile, ".raise")
        await _code(hostile, ".segfault")
    first, second = caplog.records
    assert vars(first)["status"] == 1
    assert "in _raise" in vars(first)["at"][-1]
    assert vars(second)["status"] == -signal.SIGSEGV
    assert vars(second)["at"][0] == "Fatal Python error: Segmentation fault"
    assert "secret" not in str(vars(first))


@pytest.mark.parametrize("suffix", [".hang", ".spin"])
async def test_wall_limit(suffix: str, tmp_path: Path) -> None:
    parser = Parser(LoadLimits(), timeout=timedelta(seconds=1.5), memory=GIB, loaders=HOSTILE)
    pid = await _pid(parser)
    begun = time.monotonic()
    assert await _code(parser, suffix, tmp_path / "a") == "parse_timeout"
    assert 1.4 < time.monotonic() - begun < 25
    assert await _ended(pid)
    assert await _pid(parser) != pid
    await parser.close()


async def test_cpu_limit_holds_without_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = Parser(LoadLimits(), timeout=timedelta(seconds=0.1), memory=GIB, loaders=HOSTILE)
    monkeypatch.setattr(parser, "_seconds", 60.0)  # a parent that forgot
    await _describe(parser)
    begun = time.monotonic()
    assert await _code(parser, ".spin") == "parse_timeout"
    assert time.monotonic() - begun < 30
    await parser.close()


async def test_cancelling_kills_the_child_and_what_it_started(hostile: Parser, tmp_path: Path) -> None:
    task = asyncio.create_task(hostile.parse(tmp_path / "a", ".spawn"))
    while not (tmp_path / "hung").exists() or not (tmp_path / "hung").read_text():
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _ended(int((tmp_path / "hung").read_text()))
    assert await _ended(int((tmp_path / "grandchild").read_text()))
    await _pid(hostile)


async def test_closing_ends_the_file_that_is_read(hostile: Parser, tmp_path: Path) -> None:
    task = asyncio.create_task(hostile.parse(tmp_path / "a", ".hang"))
    while not (tmp_path / "hung").exists():
        await asyncio.sleep(0.02)
    await hostile.close()
    with pytest.raises(LoadError) as caught:
        await task
    assert caught.value.code == "parse_crashed"
    await hostile.close()


async def test_child_that_died_idle_is_replaced(hostile: Parser) -> None:
    pid = await _pid(hostile)
    os.kill(pid, signal.SIGKILL)
    assert await _ended(pid)
    await asyncio.sleep(0.1)
    assert await _pid(hostile) != pid


async def test_old_child_is_replaced(hostile: Parser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.kb.parsing._MAX_FILES_PER_CHILD", 3)
    await hostile.close()
    pids = [await _pid(hostile) for _ in range(7)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]


async def test_fat_child_is_replaced() -> None:
    """A quarter of the memory is what it may have held: 200 MB are within 2 GiB, and not within 512 MiB."""
    for memory, is_kept in ((2 * GIB, True), (GIB // 2, False)):
        parser = Parser(LoadLimits(), timeout=timedelta(seconds=30), memory=memory, loaders=HOSTILE)
        pid = await _pid(parser)
        assert len(await parser.parse(Path("/nowhere"), ".swell")) == 2
        assert (await _pid(parser) == pid) is is_kept
        await parser.close()


async def test_child_dies_with_its_parent(tmp_path: Path) -> None:
    code = f"""
import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from server.kb.loaders.base import LoadLimits
from server.kb.parsing import Parser
parser = Parser(LoadLimits(), timeout=timedelta(seconds=60), memory=2**30, loaders={HOSTILE!r})
asyncio.run(parser.parse(Path({str(tmp_path / "a")!r}), ".hang"))
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    while not (tmp_path / "hung").exists() or not (tmp_path / "hung").read_text():
        await asyncio.sleep(0.02)
    parent.kill()
    parent.wait()
    assert await _ended(int((tmp_path / "hung").read_text()))


async def test_parent_imports_no_parser() -> None:
    code = "import sys, server.kb.parsing, server.kb.loaders; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    parsers = "pypdfium2 pypdf docx pptx openpyxl bs4 lxml unstructured langchain_community spacy torch"
    assert not set(parsers.split()) & set(loaded.split())


async def test_pdf_within_two_gibibytes(parser: Parser, tmp_path: Path) -> None:
    lines = ["员工每年享有带薪年休假十五天，须提前三个工作日申请。"] * 40
    documents = await parser.parse(make_pdf(tmp_path / "a.pdf", *[lines] * 150), ".pdf")
    assert len(documents) == 150
    assert documents[149].page_content == "\n".join(lines)


@pytest.mark.timeout(60)
async def test_pdf_that_unpacks_to_a_hundred_megabytes(tmp_path: Path) -> None:
    import zlib

    stream = zlib.compress(b"BT /F 12 Tf (a) Tj ET\n" * 6_000_000, 9)
    head = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    page = b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj\n"
    font = b"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R>>\n"
    body = b"4 0 obj<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream endobj\n" % (len(stream), stream)
    path = write(tmp_path / "a.pdf", head + page + body + font)
    assert path.stat().st_size < 500_000
    parser = Parser(LoadLimits(), timeout=timedelta(seconds=30), memory=GIB)
    assert await _code(parser, ".pdf", path) == "parse_limit"
    await parser.close()


async def test_a_reading_that_is_cancelled_before_its_child_begins_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    (tmp_path / "a.txt").write_text("年假五天。")
    begun, go = threading.Event(), threading.Event()

    make, made = parsing._make_folder, threading.Event()

    def slow() -> Any:
        begun.set()
        go.wait(10)
        folder_and_file = make()
        made.set()
        return folder_and_file

    monkeypatch.setattr(parsing, "_make_folder", slow)

    parser = Parser(LoadLimits(), timeout=timedelta(seconds=30), memory=2**31)
    reading = asyncio.create_task(parser.read(tmp_path / "a.txt", ".txt"))
    await asyncio.to_thread(begun.wait, 10)
    reading.cancel()
    await asyncio.wait({reading})
    go.set()
    await asyncio.to_thread(made.wait, 10)
    async with asyncio.timeout(10):
        while list(folder.iterdir()):
            await asyncio.sleep(0.01)
    await parser.close()
