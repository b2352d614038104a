"""Remote embedding models, against a real server that behaves as its models are called."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from embeddings import Embedder, EmbedderConfig, EmbeddingError, load_embedder
from embeddings.base import Vectors
from server.core.settings import EmbeddingModelSettings, EmbeddingSettings
from server.kb.embedders import load_embedder_by_name
from tests.support.provider import KEY, Provider, provider_server, vector_of

TEXTS = [f"第 {number} 段：年假。" for number in range(7)]
Make = Callable[..., Embedder]


@pytest.fixture(scope="module")
def server() -> Iterator[Provider]:
    with provider_server() as running:
        yield running


@pytest.fixture
def provider(server: Provider) -> Provider:
    server.calls.clear()
    return server


@pytest.fixture(params=["openai", pytest.param("langchain", marks=pytest.mark.full)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(provider: Provider, kind: str) -> Make:
    def make_embedder(model: str = "vectors", **fields: Any) -> Embedder:
        name = model if kind == "openai" else f"openai:{model}"
        given: dict[str, Any] = {"base_url": provider.openai, "api_key": KEY, "timeout": 60.0} | fields
        return load_embedder(EmbedderConfig(name="far", kind=kind, model=name, **given))

    return make_embedder


def _expected(*texts: str) -> Vectors:
    rows = np.array([vector_of(text) for text in texts], dtype=np.float32)
    unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _inputs(provider: Provider) -> list[list[str]]:
    return [call.body["input"] for call in provider.calls]


def _failure(embedder: Embedder) -> EmbeddingError:
    with pytest.raises(EmbeddingError) as caught:
        embedder.embed_passages(TEXTS)
    shown = f"{caught.value!r}{caught.value.zh}{caught.value.en}{embedder!r}{embedder.config!r}"
    assert KEY not in shown
    assert "far" in caught.value.zh
    assert "far" in caught.value.en
    return caught.value


def test_vectors_come_in_the_order_of_the_texts(make: Make, provider: Provider) -> None:
    embedder = make()
    assert embedder.is_remote
    np.testing.assert_allclose(embedder.embed_passages(TEXTS), _expected(*TEXTS), rtol=1e-5)
    np.testing.assert_allclose(embedder.embed_question("几天？"), _expected("几天？")[0], rtol=1e-5)
    # Texts, never token numbers: the stand-in refuses anything else.
    assert _inputs(provider) == [TEXTS, ["几天？"]]
    assert embedder.fingerprint().dimension == 8


def test_a_server_may_answer_in_any_order(provider: Provider) -> None:
    config = EmbedderConfig(
        name="far", kind="openai", model="shuffled", base_url=provider.openai, api_key=KEY
    )
    np.testing.assert_allclose(load_embedder(config).embed_passages(TEXTS), _expected(*TEXTS), rtol=1e-5)


def test_texts_are_sent_in_batches(make: Make, provider: Provider) -> None:
    np.testing.assert_allclose(make(batch_size=3).embed_passages(TEXTS), _expected(*TEXTS), rtol=1e-5)
    assert _inputs(provider) == [TEXTS[:3], TEXTS[3:6], TEXTS[6:]]


def test_prefixes_go_in_front(make: Make, provider: Provider) -> None:
    embedder = make(query_prefix="query: ", passage_prefix="passage: ")
    question = embedder.embed_question("几天？")
    passages = embedder.embed_passages(["年假。", "病假。"])
    assert _inputs(provider) == [["query: 几天？"], ["passage: 年假。", "passage: 病假。"]]
    np.testing.assert_allclose(question, _expected("query: 几天？")[0], rtol=1e-5)
    np.testing.assert_allclose(passages, _expected("passage: 年假。", "passage: 病假。"), rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "retry", "zh", "en"),
    [
        ("wrong-key", False, "api_key", "check [embedding.far] api_key"),
        ("no-credit", False, "账户额度", "the account's credit"),
        ("bad-request", False, "HTTP 400", "check model, base_url"),
        ("not-found", False, "HTTP 404", "check model, base_url"),
        ("busy", True, "稍后再试", "try again later"),
        ("down", True, "HTTP 500", "try again later"),
        ("short", False, "每段文本一个向量", "one vector per text"),
        ("ragged", False, "每段文本一个向量", "one vector per text"),
        ("html", False, "base_url", "base_url"),
        ("nan", True, "无效的向量", "not finite"),
        ("zero", True, "无效的向量", "not finite"),
    ],
)
def test_failures_say_what_to_do(make: Make, model: str, retry: bool, zh: str, en: str) -> None:
    error = _failure(make(model))
    assert error.retry is retry
    assert zh in error.zh
    assert en in error.en


def test_wrong_numbers_of_two_batches_do_not_make_up_for_each_other(make: Make, provider: Provider) -> None:
    error = _failure(make("short", batch_size=4))
    assert "one vector per text" in error.en
    assert len(provider.calls) == 1


def test_a_busy_server_is_asked_again(make: Make, provider: Provider) -> None:
    np.testing.assert_allclose(make("busy-once").embed_passages(TEXTS), _expected(*TEXTS), rtol=1e-5)
    assert len(provider.calls) == 2


def test_a_server_that_is_away_may_come_back(make: Make) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = _failure(make(base_url=f"http://127.0.0.1:{taken.getsockname()[1]}/v1"))
    assert error.retry
    assert "base_url" in error.zh
    assert "base_url" in error.en


def test_a_missing_key_is_told_before_any_connection(make: Make) -> None:
    error = _failure_of_making(make, api_key="", base_url="https://models.example.invalid/v1")
    assert not error.retry
    assert "[embedding.far] api_key" in error.zh
    assert "[embedding.far] api_key" in error.en


def test_a_key_that_cannot_be_one_is_refused_without_being_shown(make: Make, provider: Provider) -> None:
    error = _failure_of_making(make, api_key="密钥sk-1234")
    assert "api_key" in error.zh
    assert "1234" not in f"{error!r}{error.zh}{error.en}"
    assert provider.calls == []


def _failure_of_making(make: Make, **fields: Any) -> EmbeddingError:
    with pytest.raises(EmbeddingError) as caught:
        make(**fields).embed_passages(TEXTS)
    return caught.value


def test_a_server_on_this_machine_may_go_without_a_key(make: Make, provider: Provider) -> None:
    assert not _failure(make(api_key="")).retry
    assert provider.calls[0].headers["authorization"] == "Bearer none"


def test_blanks_around_a_key_do_no_harm(make: Make) -> None:
    assert len(make(api_key=f" {KEY}\n").embed_passages(TEXTS)) == len(TEXTS)


@pytest.mark.parametrize("address", ["", "models.example.com/v1"])
def test_an_address_must_be_one(provider: Provider, address: str) -> None:
    with pytest.raises(EmbeddingError) as caught:
        load_embedder(EmbedderConfig(name="far", kind="openai", model="m", base_url=address, api_key=KEY))
    assert "[embedding.far] base_url" in caught.value.zh


@pytest.mark.full
@pytest.mark.parametrize(
    ("model", "words"), [("nobody:m", "is not supported"), ("cohere:embed", "langchain-cohere")]
)
def test_langchain_says_what_is_missing(model: str, words: str) -> None:
    with pytest.raises(EmbeddingError) as caught:
        load_embedder(EmbedderConfig(name="far", kind="langchain", model=model, api_key=KEY))
    assert words in caught.value.en
    assert KEY not in caught.value.en + caught.value.zh


def test_the_settings_arrive_at_the_embedder(provider: Provider) -> None:
    section = EmbeddingModelSettings(
        kind="openai",
        model="vectors",
        base_url=provider.openai,
        api_key=KEY,
        passage_prefix="p: ",
        batch_size=2,
    )
    embedder = load_embedder_by_name(EmbeddingSettings(models={"far": section}), "far", None)
    embedder.embed_passages(["一", "二", "三"])
    assert _inputs(provider) == [["p: 一", "p: 二"], ["p: 三"]]
    assert KEY not in repr(section)
