"""The engine of a local model: started, watched, started again, given up. Real processes throughout."""

import io
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from server.core.engines import SupervisorAway, ask_supervisor
from server.core.settings import LLMModelSettings
from server.supervisor.engines import _lines
from tests.support.engine_room import Room, command_engine, engine_room
from tests.support.live import wait_until


def _pid(room: Room, name: str = "m") -> int:
    process = room.engines[name].process
    assert process is not None
    return process.pid


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_an_engine_is_started_and_says_when_it_is_ready() -> None:
    with engine_room({"m": command_engine("slow")}) as room:
        assert room.engines["m"].state().state == "starting"
        room.wait("m", "ready")
        state, pid = room.engines["m"].state(), _pid(room)
        assert state.port > 0
        assert len(state.key) > 30
        assert room.said[0] == "[llm.m] starting command"
        assert room.said[1].startswith("[llm.m] ready after ")
    assert _gone(pid)


def test_one_that_dies_is_started_again_with_another_key() -> None:
    with engine_room({"m": command_engine()}) as room:
        room.wait("m", "ready")
        first, pid = room.engines["m"].state(), _pid(room)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: any("starting it again in 1 s" in line for line in room.said))
        room.wait("m", "ready")
        assert _pid(room) != pid
        assert room.engines["m"].state().key != first.key


def test_one_that_hangs_is_ended_and_started_again() -> None:
    with engine_room({"m": command_engine()}) as room:
        room.wait("m", "ready")
        pid = _pid(room)
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: any("did not answer 6 times" in line for line in room.said))
        room.wait("m", "ready")
        assert _pid(room) != pid


@pytest.mark.parametrize(
    ("model", "tries", "reason"),
    [
        (command_engine("bad"), 3, "ended with status 1: weights are torn, and the key is ***"),
        (
            LLMModelSettings(engine="command", command="no-such-program {port}"),
            1,
            "no-such-program: No such file",
        ),
        (
            LLMModelSettings(engine="llama.cpp", model_path="/none/x.gguf"),
            0,
            "model_path: no file /none/x.gguf",
        ),
        (
            command_engine("mute", start_timeout=timedelta(seconds=1)),
            3,
            "was not ready after 1 s (start_timeout)",
        ),
    ],
    ids=["bad", "no-program", "no-file", "mute"],
)
def test_a_bad_one_is_given_up_with_the_reason(model: LLMModelSettings, tries: int, reason: str) -> None:
    with engine_room({"m": model}) as room:
        room.wait("m", "failed")
        assert room.engines["m"].state().reason.startswith(reason)
        assert sum("starting command" in line for line in room.said) == tries
        assert f"not available: {reason}" in room.said[-1]


def test_its_environment_has_none_of_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM__ZHIPU_API__API_KEY", "secret-1")
    monkeypatch.setenv("AUTH__MASTER_KEY", "secret-2")
    monkeypatch.setenv("OTHER__NAME", "x")
    with engine_room({"m": command_engine("env")}) as room:
        room.wait("m", "failed")
        assert room.engines["m"].state().reason.endswith(": LLAMA_API_KEY OTHER__NAME VLLM_API_KEY")


def test_orders_over_the_socket(tmp_path: Path) -> None:
    socket = tmp_path / "private" / "s.sock"
    models = {"one": command_engine(), "two": command_engine("bad")}
    with engine_room(models, socket) as room:
        room.wait("one", "ready")
        room.wait("two", "failed")
        states = ask_supervisor(socket, "list")
        assert (states["one"], states["two"].state) == (room.engines["one"].state(), "failed")
        pid = _pid(room, "one")
        assert ask_supervisor(socket, "stop", "one")["one"].state == "stopping"
        room.wait("one", "off")
        assert _gone(pid)
        assert ask_supervisor(socket, "stop", "two")["two"].state == "off"
        assert ask_supervisor(socket, "start", "one")["one"].state == "starting"
        room.wait("one", "ready")
        assert set(ask_supervisor(socket, "start", "nobody")) == {"one", "two"}


def _open_to_others(socket: Path) -> None:
    socket.parent.chmod(0o755)


def _unplugged(socket: Path) -> None:
    socket.unlink()


@pytest.mark.parametrize("spoil", [_open_to_others, _unplugged])
def test_no_answer_is_told_apart(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    socket = tmp_path / "private" / "s.sock"
    with engine_room({"m": command_engine("bad")}, socket):
        assert ask_supervisor(socket, "list")
        assert socket.stat().st_mode & 0o077 == 0
        spoil(socket)
        with pytest.raises(SupervisorAway):
            ask_supervisor(socket, "list")


def test_the_last_words_of_a_dead_one_are_the_reason() -> None:
    """What it wrote may come after the news of its death; here it surely does."""
    command = "sh -c \"setsid sh -c 'sleep 0.3; echo late words' & exit 1\""
    with engine_room({"m": LLMModelSettings(engine="command", command=command, port=1)}) as room:
        wait_until(lambda: any("starting it again" in line for line in room.said))
        assert room.said[1] == "[llm.m] ended with status 1: late words; starting it again in 1 s"


def test_output_without_a_line_end_is_not_kept() -> None:
    """A progress bar, or binary rubbish, until the memory is full."""
    endless = io.BufferedReader(io.BytesIO(b"10 %\r20 %\r" + b"x" * 10_000_000 + b"\nready\n" + b"end"))
    first, second, long, ready, end = _lines(endless)
    assert (first, second, ready, end) == (b"10 %", b"20 %", b"ready", b"end")
    assert len(long) < 100_000
