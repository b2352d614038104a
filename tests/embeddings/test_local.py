"""Folders of sentence-transformers: the real e5-small, and folders that are not what they should be."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from embeddings import Embedder, EmbedderConfig, EmbeddingError, load_embedder
from embeddings.bundled import BundledEmbedder
from server.core.settings import EmbeddingModelSettings, EmbeddingSettings
from server.kb.embedders import load_embedder_by_name

ROOT = Path(__file__).resolve().parents[2]
full = pytest.mark.full

SHORT = [
    "年假有几天？",
    "How many days of leave do I get?",
    "差旅住宿标准：每晚400元～600元（一线城市）。",
    "VPN 密码 reset",
    "",
]
ZH = "第{}条 员工工作满{}年的，年休假按本单位规定的天数执行，须提前两周提出书面申请，并由部门负责人批准。"
EN = "Section {}. After {} years of service an employee may ask for unpaid leave, in writing and two weeks ahead. "
LONG = [
    "".join(ZH.format(n, n + 3) for n in range(1, 12)),
    "".join(EN.format(n, n + 3) for n in range(1, 18)),
]


@full
@pytest.mark.parametrize("text", SHORT + LONG, ids=lambda text: text[:12] or "empty")
def test_the_folder_agrees_with_the_bundled_engine(
    local: Embedder, bundled: BundledEmbedder, text: str
) -> None:
    assert local.embed_question(text) @ bundled.embed_question(text) > 0.99
    assert local.embed_passages([text])[0] @ bundled.embed_passages([text])[0] > 0.99


def test_the_long_texts_are_long(bundled: BundledEmbedder) -> None:
    assert all(380 < bundled._model.token_count(text) < 510 for text in LONG)


@full
def test_texts_of_all_lengths_keep_their_order(local: Embedder, bundled: BundledEmbedder) -> None:
    texts = [*LONG, *SHORT, *(f"第{n}条" for n in range(20))]
    assert len(texts) > 2 * local.config.batch_size
    cosines = (local.embed_passages(texts) * bundled.embed_passages(texts)).sum(axis=1)
    assert cosines.min() > 0.99
    assert local.embed_passages([]).shape == (0, 384)


@full
def test_a_text_longer_than_the_model_reads_is_cut(local: Embedder) -> None:
    long, cut = local.embed_passages([ZH * 2000, ZH * 40])
    assert long @ cut > 0.9999


@full
def test_the_fingerprint_is_that_of_the_weights(
    local: Embedder, bundled: BundledEmbedder, e5_folder: Path, tmp_path: Path
) -> None:
    assert local.fingerprint().matches(bundled.fingerprint())
    assert bundled.fingerprint().matches(local.fingerprint())
    config = json.loads((e5_folder / "config.json").read_text(encoding="utf-8"))
    other = _copy(
        e5_folder, tmp_path / "other", {"config.json": json.dumps(config | {"num_hidden_layers": 6})}
    )
    different = load_embedder(EmbedderConfig("e5-local", "local", other)).fingerprint()
    assert different.dimension == local.fingerprint().dimension
    assert not different.matches(local.fingerprint())
    assert not bundled.fingerprint().matches(different)


@full
def test_a_prefix_of_the_configuration_replaces_the_prompt_of_the_folder(
    local: Embedder, e5_folder: Path
) -> None:
    config = EmbedderConfig("swapped", "local", e5_folder, query_prefix="passage: ", passage_prefix="query: ")
    swapped = load_embedder(config)
    text = SHORT[0]
    question, passage = local.embed_question(text), local.embed_passages([text])[0]
    assert question @ passage < 0.99
    assert swapped.embed_question(text) @ passage > 0.9999
    assert swapped.embed_passages([text])[0] @ question > 0.9999


@full
def test_an_empty_prefix_keeps_the_prompt_of_the_folder(local: Embedder, e5_folder: Path) -> None:
    config = EmbedderConfig("empty", "local", e5_folder, query_prefix="", passage_prefix="")
    assert load_embedder(config).embed_question("年假") @ local.embed_question("年假") > 0.9999


@full
def test_a_folder_in_16_bit_is_computed_in_32(local: Embedder, e5_folder: Path, tmp_path: Path) -> None:
    config = json.loads((e5_folder / "config.json").read_text(encoding="utf-8"))
    half = _copy(e5_folder, tmp_path / "half", {"config.json": json.dumps(config | {"dtype": "float16"})})
    vectors = load_embedder(EmbedderConfig("half", "local", half)).embed_passages(SHORT)
    np.testing.assert_allclose(vectors, local.embed_passages(SHORT), atol=1e-5)


@full
@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_named(named_folder: Path, device: str) -> None:
    with pytest.raises(EmbeddingError, match=rf"\[embedding.m\] device = {device} cannot") as caught:
        load_embedder(EmbedderConfig("m", "local", named_folder, device=device))
    assert f"device = {device} 在本机不可用" in caught.value.zh


@full
def test_a_failure_inside_the_model_is_an_embedding_error(local: Embedder) -> None:
    with pytest.raises(EmbeddingError, match=r"e5-local failed: \w+Error") as caught:
        local._embed([None], is_query=False)  # type: ignore[list-item]
    assert "e5-local 计算失败" in caught.value.zh


def _copy(folder: Path, to: Path, changes: dict[str, str | bytes | None]) -> Path:
    """`folder` with some files written anew, or left out where None; the others are links."""
    shutil.copytree(folder, to, copy_function=os.symlink)
    for name, content in changes.items():
        (to / name).unlink(missing_ok=True)
        if content is not None:
            (to / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return to


@pytest.fixture
def hub() -> Iterator[socket.socket]:
    """Where the model hub would be."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        yield listener


LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:d4c9\nsize 470641600\n"
BROKEN: dict[str, dict[str, str | bytes | None]] = {
    "no-weights": {"model.safetensors": None},
    "lfs-pointer": {"model.safetensors": LFS_POINTER},
    "empty-weights": {"model.safetensors": ""},
    "garbage-weights": {"model.safetensors": os.urandom(100_000)},
    "pickled-weights": {"model.safetensors": None, "pytorch_model.bin": b"\x80\x04cos\nsystem\n."},
    "no-tokenizer": {"tokenizer.json": None, "tokenizer_config.json": None},
    "damaged-tokenizer": {"tokenizer.json": '{"version": "1.0", "model": {'},
    "damaged-config": {"config.json": "{"},
    "unknown-architecture": {"config.json": '{"model_type": "nobody-knows"}'},
    "own-code": {
        "modules.json": '[{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]',
        "evil.py": "1 / 0",
    },
}
# Reports what each folder's load raises and every attempt to reach anything.
LOAD_ALL = """
import json, sys
reached = []
sys.addaudithook(
    lambda event, args: reached.append(f"{event} {args[1:]}")
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto") else None
)
from pathlib import Path
from embeddings import EmbedderConfig, EmbeddingError, load_embedder
said = {}
for path in map(Path, sys.argv[1:]):
    try:
        load_embedder(EmbedderConfig(path.name, "local", path))
        said[path.name] = None
    except EmbeddingError as error:
        said[path.name] = [error.zh, error.en, error.retry]
print(json.dumps([said, reached]))
"""


@full
def test_broken_folders_say_what_to_do_and_reach_for_no_network(
    e5_folder: Path, tmp_path: Path, hub: socket.socket
) -> None:
    folders = [_copy(e5_folder, tmp_path / name, changes) for name, changes in BROKEN.items()]
    half = tmp_path / "half-copied"
    _copy(e5_folder, half, {"model.safetensors": None})
    with (e5_folder / "model.safetensors").open("rb") as whole:
        (half / "model.safetensors").write_bytes(whole.read(10_000_000))
    only_config = tmp_path / "only-config"
    only_config.mkdir()
    shutil.copy(e5_folder / "config.json", only_config)
    folders += [half, only_config, tmp_path / "missing", e5_folder]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environ |= {"HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}", "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL, *map(str, folders)],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said, reached = json.loads(done.stdout.splitlines()[-1])
    assert said.pop("e5") is None
    assert said.keys() == {*BROKEN, "half-copied", "only-config", "missing"}
    for name, answer in said.items():
        assert answer is not None, name
        zh, en, retry = answer
        assert f"向量模型 {name} " in zh
        assert f"放到 {tmp_path / name}" in zh
        assert "git lfs" in zh
        assert f"embedding model {name} " in en
        assert f"at {tmp_path / name};" in en
        assert "git lfs" in en
        assert "\n" not in zh + en
        assert not retry
    assert "没有找到" in said["missing"][0]
    assert "SafetensorError" in said["half-copied"][1]
    assert reached == []
    with pytest.raises(BlockingIOError):
        hub.accept()


def test_without_the_package_the_error_names_the_full_installation(named_folder: Path) -> None:
    code = f"""
import sys
sys.modules["sentence_transformers"] = None
from pathlib import Path
from embeddings import EmbedderConfig, EmbeddingError, load_embedder
try:
    load_embedder(EmbedderConfig("m3e-base", "local", Path({str(named_folder)!r})))
except EmbeddingError as error:
    print(error.zh, error.en, error.retry, sep="|")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    zh, en, retry = done.stdout.strip().split("|")
    assert "make run FULL=1" in zh
    assert "make run FULL=1" in en
    assert retry == "False"


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_path_counts_from_models_dir_or_is_absolute(
    named_folder: Path, tmp_path: Path, is_absolute: bool
) -> None:
    model = EmbeddingModelSettings(kind="local", path=str(named_folder) if is_absolute else named_folder.name)
    models_dir = tmp_path / "elsewhere" if is_absolute else named_folder.parent
    settings = EmbeddingSettings(default="m", models_dir=models_dir, models={"m": model})
    embedder = load_embedder_by_name(settings, "m", tmp_path / "socket")
    assert embedder.config.path == named_folder


@pytest.mark.parametrize("engine_socket", [None, Path("/nowhere/engine.sock")], ids=["here", "in the engine"])
def test_a_missing_folder_needs_neither_torch_nor_engine_to_be_missed(
    tmp_path: Path, engine_socket: Path | None
) -> None:
    model = EmbeddingModelSettings(kind="local", path="m3e-base")
    settings = EmbeddingSettings(default="m", models_dir=tmp_path, models={"m": model})
    with pytest.raises(EmbeddingError, match=str(tmp_path / "m3e-base")) as caught:
        load_embedder_by_name(settings, "m", engine_socket)
    assert "没有找到" in caught.value.zh
    assert not caught.value.retry
