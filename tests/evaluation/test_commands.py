"""`python -m server eval …`, over services of its own, beside those of a running server."""

import asyncio
from pathlib import Path

import pytest

from server.cli import parser_for
from server.core.errors import AppError
from server.core.settings import Settings
from tests.evaluation.conftest import AT, make_set
from tests.support.api import Caller

pytestmark = pytest.mark.one_database


async def test_a_set_is_imported_run_compared_and_reported(
    settings: Settings, editor: Caller, kb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def cli(*arguments: str) -> str:
        options = parser_for(["eval"]).parse_args(["eval", arguments[0], "--client", "acme", *arguments[1:]])
        capsys.readouterr()
        status = await asyncio.to_thread(options.run, settings, options)
        assert status == (1 if "bad" in str(arguments) else 0)
        return capsys.readouterr().out

    names = ("--kb", kb, "--set", "验收")
    sheet, bad, page = tmp_path / "set.csv", tmp_path / "bad.csv", tmp_path / "report.html"
    sheet.write_text("问题,出处文件\n工作满十年有几天年休假？,年假.txt\n病假几天？,病假.txt\n", "gbk")
    assert "2 created, 0 updated" in await cli("import", *names, str(sheet))
    bad.write_text("question,answerable\n三,好像\n四,\n", "utf-8")
    assert "1 created" in await cli("import", *names, str(bad))
    ids = []
    for options in ((), ("--model", "quote", "--top-k", "1", "--name", "after")):
        said = await cli("run", *names, *options)
        assert "Recall@1" in said
        assert "0.500" in said
        ids.append(said.splitlines()[0])
    listed = await cli("list", "--kb", kb)
    assert "验收" in listed
    assert all(run_id in listed for run_id in ids)
    compared = await cli("compare", *ids)
    assert "3 questions in both" in compared
    assert "Answered by: None → quote" in compared
    await cli("report", ids[1], str(page), "--base", ids[0], "--lang", "en")
    assert "Two runs compared" in page.read_text("utf-8")
    await cli("export", *names, str(sheet))
    assert sheet.read_text("utf-8-sig").count("\n") == 4
    with pytest.raises(AppError, match="model not found"):
        await cli("run", *names, "--model", "none")
    assert (await editor.get(f"{AT}/runs/{ids[1]}")).json()["data"]["state"] == "done"


async def test_a_set_that_is_not_there(settings: Settings, editor: Caller, bare: str) -> None:
    await make_set(editor, bare, [])
    for names in (("--kb", bare, "--set", "x"), ("--kb", "none", "--set", "x")):
        options = parser_for(["eval"]).parse_args(["eval", "run", "--client", "acme", *names])
        with pytest.raises(AppError, match="not found"):
            await asyncio.to_thread(options.run, settings, options)
