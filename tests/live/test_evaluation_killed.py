"""A run over real processes: its worker is killed in the middle, and what it had measured is not measured again."""

import os
import signal
from pathlib import Path

import httpx2
import pytest

from tests.support.live import Server, wait_until

pytestmark = pytest.mark.live
AT = "/knowledge_base/evaluation"
LEAVE = "年休假规定：员工累计工作满一年不满十年的，年休假五天；满十年不满二十年的，年休假十天。"


def test_a_killed_worker_is_followed_by_another(tmp_path: Path) -> None:
    with Server(tmp_path, "--no-samples", INGEST__LEASE="2s", INGEST__POLL="50ms") as server:
        http = server.caller()
        kb = {"knowledge_base_name": "kb"}
        assert http.post("/knowledge_base/create_knowledge_base", json=kb).status_code == 200
        files = [("files", ("a.txt", LEAVE.encode()))]
        assert (
            http.post("/knowledge_base/upload_docs", data=kb | {"wait": "true"}, files=files).status_code
            == 200
        )
        sheet = tmp_path / "set.csv"
        rows = [f"第{n}问：工作满十年有几天年休假？,十天,a.txt" for n in range(150)]
        sheet.write_text("\n".join(["question,gold_answer,gold_files", *rows]), "utf-8")
        names = ("--client", "acme", "--kb", "kb", "--set", "验收")
        assert "150 created" in server.cli("eval", "import", *names, str(sheet))
        (found,) = http.get(f"{AT}/sets", params=kb).json()["data"]
        begun = http.post(
            f"{AT}/runs", json={"set_id": found["set_id"], "name": "killed", "model_name": "quote"}
        )
        run_id = begun.json()["data"]["run_id"]

        def look() -> dict:
            data: dict = http.get(f"{AT}/runs/{run_id}").json()["data"]
            return data

        wait_until(lambda: look()["done"] >= 20)
        (pid,) = server.children("worker")
        os.kill(pid, signal.SIGKILL)
        killed = look()
        assert killed["state"] == "running", "it was to be killed in the middle"
        assert 20 <= killed["done"] < 150
        measured = _measured(http, run_id)
        server.wait_for("starting it again")
        wait_until(lambda: look()["state"] == "done")
        told = look()
        assert (told["done"], told["summary"]["questions"], told["percent"]) == (150, 150, 100)
        assert told["values"]["recall@1"]["value"] == told["values"]["answer_contains_gold"]["value"] == 1.0
        again = _measured(http, run_id)
        assert {number: again[number] for number in measured} == measured
        assert "worker" not in str(told["error_code"])


def _measured(http: httpx2.Client, run_id: str) -> dict[int, object]:
    """What is measured, with how long it took, which no second measurement would repeat."""
    answer = http.get(f"{AT}/runs/{run_id}/results", params={"page_size": 500})
    return {row["number"]: row["milliseconds"] for row in answer.json()["data"]["items"]}
