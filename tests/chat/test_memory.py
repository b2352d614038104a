"""What a model is told of the conversation so far, by a provider that refuses whatever the strictest vendors do:
anything but user and assistant in turn, the user first and last, in plain words (tests/support/provider_rules.py).

The original page sends the last N messages, not rounds, of rendered HTML; that is the defect this server answers.
"""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from server.chat.failures import describe_failure
from server.chat.history import estimate_tokens
from server.chat.models import Message
from server.core.errors import UpstreamError
from server.core.i18n import Language
from server.services import Services
from tests.conftest import Callers
from tests.support.api import Caller, objects
from tests.support.provider import Call, Provider

ROUNDS = range(1, 51)
QUESTION = "那么病假呢？"
A, B = "a" * 32, "b" * 32


@pytest.fixture
def environ() -> dict[str, str]:
    return {"CHAT__HISTORY_ROUNDS": "50"}


@pytest.fixture
def models() -> tuple[str, ...]:
    return ("echo", "cut", "down")


async def _ask(
    caller: Caller, query: str = QUESTION, path: str = "/chat/chat", **fields: Any
) -> dict[str, Any]:
    answer = await caller.post(path, {"query": query, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def _earlier(call: Call) -> list[tuple[str, str]]:
    """What the model was told beside the question."""
    assert call.messages[-1][0] == "user"
    return call.messages[:-1]


# ── what pages send ───────────────────────────────────────────────────────────────────────────────────────────────────


def _round(number: int) -> list[dict[str, str]]:
    html = f"<p>第<strong>{number}</strong>答：1 &lt; 2</p>\n<ul>\n<li>一</li>\n<li>二</li>\n</ul>\n"
    return [{"role": "user", "content": f"第{number}问 a < b"}, {"role": "assistant", "content": html}]


def _told(numbers: Iterator[int] | range) -> list[tuple[str, str]]:
    return [
        message
        for number in numbers
        for message in (("user", f"第{number}问 a < b"), ("assistant", f"第{number}答：1 < 2\n\n一\n\n二"))
    ]


@pytest.mark.one_database
@pytest.mark.parametrize(
    "shape", ["whole", "assistant first", "question without answer", "empty turns", "greeted", "doubled"]
)
async def test_one_to_fifty_rounds_of_any_shape_are_accepted(
    reader: Caller, provider: Provider, shape: str
) -> None:
    for count in ROUNDS:
        history = [message for number in range(count) for message in _round(number)]
        expected = _told(range(count))
        if shape == "assistant first":  # an odd number of messages, as the original page cuts them
            history, expected = history[1:], expected[2:]
        elif shape == "question without answer":
            history.append({"role": "user", "content": "没有回答的问题"})
        elif shape == "empty turns":
            for at in range(len(history), -1, -2):
                history[at:at] = [
                    {"role": "user", "content": " "},
                    {"role": "assistant", "content": "<p></p>\n"},
                ]
        elif shape == "greeted":
            history[:0] = [{"role": "assistant", "content": "<h1>你好</h1>"}] * 2
        elif shape == "doubled":
            history[2:2] = [{"role": "assistant", "content": "<p>补充</p>"}]
            expected[1] = ("assistant", f"{expected[1][1]}\n补充")
        provider.calls.clear()
        answer = await _ask(reader, history=history)
        assert answer["text"] == f"你问的是：{QUESTION}"
        assert _earlier(provider.calls[0]) == expected, count


@pytest.mark.one_database
async def test_noise_of_any_length_is_accepted(reader: Caller, provider: Provider) -> None:
    source = random.Random(7)
    texts = (
        "",
        " \n",
        "<p></p>",
        "&nbsp;",
        "文字",
        "<p>段<b>落</b></p>",
        "<!-- x -->",
        "a < b > c",
        "\u200b",
    )
    for length in range(101):
        roles = [source.choice(("user", "assistant", "human", "ai")) for _ in range(length)]
        await _ask(reader, history=[[role, source.choice(texts)] for role in roles])
    assert len(provider.calls) == 101


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 10])
async def test_a_conversation_of_the_original_page(reader: Caller, provider: Provider, count: int) -> None:
    """Its model.ts: the last `history_count` records, those of answers as HTML, before the question is added."""
    records: list[dict[str, str]] = []
    for number in range(1, 13):
        question = f"第{number}问"
        page = {"session_id": A, "query": question, "stream": True, "temperature": 0.7, "max_tokens": 2000}
        page |= {"prompt_name": "default", "history_count": count, "history": records[-count:]}
        page |= {"knowledge_base_name": None, "top_k": 3, "score_threshold": 1, "split_result": False}
        answer = await reader.post("/chat/chat", page)
        parts = objects(answer.text)
        assert not [part for part in parts if "error" in part]
        text = "".join(part["text"] for part in parts)
        records += [
            {"role": "user", "content": question},
            {"role": "assistant", "content": f"<p>{text}</p>\n"},
        ]
        told = _earlier(provider.calls[-1])
        assert len(told) == 2 * min(number - 1, count // 2)
        assert not any("<" in content for _, content in told)


@pytest.mark.one_database
@pytest.mark.parametrize("mode", ["llm_chat", "knowledge_base_chat"])
@pytest.mark.parametrize(
    "environ", [{"CHAT__HISTORY_ROUNDS": "50", "LLM__ECHO__CONTEXT_TOKENS": str(n)} for n in (1400, 2000, 4000)]
)  # fmt: skip
async def test_prompt_history_and_answer_fit_the_model(
    editor: Caller, provider: Provider, mode: str, environ: dict[str, str]
) -> None:
    room = int(environ["LLM__ECHO__CONTEXT_TOKENS"])
    fields: dict[str, Any] = {}
    if mode == "knowledge_base_chat":
        await editor.create_kb()
        await editor.ingest("kb", {"手册.txt": ("病假：员工每年有十天病假。" * 20).encode()})
        fields = {"knowledge_base_name": "kb", "path": "/chat/knowledge_base_chat"}
    lengths = []
    for count in (1, 5, 20, 50):
        provider.calls.clear()
        history = [
            message
            for number in range(count)
            for message in (("user", f"第{number}问"), ("assistant", f"<p>第{number}答。{'很长' * 40}</p>"))
        ]
        await _ask(editor, history=history, max_tokens=300, **fields)
        # Before the answer, a knowledge base chat asks what the follow-up means.
        *rewriting, call = provider.calls
        assert len(rewriting) <= (mode == "knowledge_base_chat")
        for each, answer in [*((one, 200) for one in rewriting), (call, 300)]:
            assert sum(estimate_tokens(content) for _, content in each.messages) <= room - answer
        told = [content for role, content in _earlier(call) if role == "user"]
        assert told == [f"第{number}问" for number in range(count)][len(history) // 2 - len(told) :], (
            "the newest"
        )
        lengths.append(len(told))
    assert 0 < lengths[-1] < 50
    assert lengths[0] == 1


# ── history_count ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("count", "rounds"), [(None, 20), (0, 0), (1, 1), (7, 7), (50, 20), (-1, 0), (99, 20)]
)
async def test_the_number_of_rounds_is_a_limit(
    reader: Caller, provider: Provider, count: int | None, rounds: int
) -> None:
    history = [message for number in range(20) for message in _round(number)]
    await _ask(reader, history=history, history_count=count)
    assert _earlier(provider.calls[0]) == _told(range(20 - rounds, 20))


@pytest.mark.parametrize("environ", [{"CHAT__HISTORY_ROUNDS": "3"}])
async def test_the_servers_limit_counts_too(reader: Caller, provider: Provider) -> None:
    history = [message for number in range(9) for message in _round(number)]
    for count in (2, 9):
        await _ask(reader, history=history, history_count=count)
    assert [len(_earlier(call)) for call in provider.calls] == [4, 6]


@pytest.mark.parametrize("count", ["many", 1.5])
async def test_the_number_of_rounds_is_a_number(reader: Caller, count: object) -> None:
    assert (await reader.post("/chat/chat", {"query": QUESTION, "history_count": count})).status_code == 422


@pytest.mark.parametrize("tokens", [0, -1, "-1", None])
async def test_no_number_of_tokens_is_the_models_own(
    reader: Caller, provider: Provider, tokens: object
) -> None:
    await _ask(reader, max_tokens=tokens)
    assert "max_tokens" not in provider.calls[0].body


async def test_turns_without_text_and_instructions_are_left_out(reader: Caller, provider: Provider) -> None:
    history = [["system", "你是海盗"], *_round(1), {"role": "user", "content": None}, ["ai", None]]
    await _ask(reader, history=history)
    assert _earlier(provider.calls[0]) == _told(range(1, 2))


async def test_an_empty_id_is_a_new_record(reader: Caller, provider: Provider) -> None:
    first = await _ask(reader, session_id=A, chat_history_id="")
    second = await _ask(reader, session_id=A, chat_history_id="")
    assert len({first["chat_history_id"], second["chat_history_id"]} - {""}) == 2


# ── what the server remembers ─────────────────────────────────────────────────────────────────────────────────────────


async def _talk(caller: Caller, count: int, session_id: str = A) -> list[str]:
    return [(await _ask(caller, f"第{n}问", session_id=session_id))["chat_history_id"] for n in range(count)]


def _stored(numbers: range) -> list[tuple[str, str]]:
    return [m for n in numbers for m in (("user", f"第{n}问"), ("assistant", f"你问的是：第{n}问"))]


async def test_without_a_history_the_session_is_remembered(reader: Caller, provider: Provider) -> None:
    await _talk(reader, 4)
    assert [len(_earlier(call)) for call in provider.calls] == [0, 2, 4, 6]
    for fields, told in (
        ({"session_id": A}, _stored(range(4))),
        ({"session_id": A, "history": None, "history_count": 2}, [*_stored(range(3, 4)), ("user", QUESTION), ("assistant", f"你问的是：{QUESTION}")]),
        ({"session_id": A, "history_count": 0}, []),
        ({"session_id": A, "history": []}, []),
        ({"session_id": A, "history": [["user", "一"], ["assistant", "1"]]}, [("user", "一"), ("assistant", "1")]),
        ({"session_id": B}, []),
        ({}, []),
    ):  # fmt: skip
        provider.calls.clear()
        await _ask(reader, **fields)
        assert _earlier(provider.calls[0]) == told, fields


async def test_a_knowledge_base_chat_remembers_too(editor: Caller, provider: Provider) -> None:
    await editor.create_kb()
    await _talk(editor, 2)
    provider.calls.clear()
    await _ask(editor, path="/chat/knowledge_base_chat", knowledge_base_name="kb", session_id=A)
    assert _earlier(provider.calls[0]) == _stored(range(2))


async def test_asking_again_remembers_what_was_before(reader: Caller, provider: Provider) -> None:
    """Not the answer that is to be replaced, and nothing after it."""
    ids = await _talk(reader, 4)
    provider.calls.clear()
    await _ask(reader, "第2问", session_id=A, chat_history_id=ids[2])
    assert _earlier(provider.calls[0]) == _stored(range(2))


async def test_only_what_was_said_is_remembered(
    callers: Callers, reader: Caller, provider: Provider, services: Services
) -> None:
    """What was cut is part of the conversation, as it was seen; a failure is not."""
    ids = await _talk(reader, 6)
    changes: dict[int, dict[str, str]] = {
        0: {"state": "failed", "response": "一半"},
        1: {"state": "cut", "response": "说了<b>一半"},
        2: {"state": "cut", "response": ""},
        3: {"state": "writing", "response": ""},
        4: {"state": "done", "response": " \n"},
    }
    async with services.database.write() as session:
        for number, values in changes.items():
            await session.execute(update(Message).where(Message.id == ids[number]).values(**values))
    stranger = await callers.user("acme", "u2")
    refused = await stranger.post("/chat/chat", {"query": QUESTION, "session_id": A})
    assert refused.status_code == 404
    provider.calls.clear()
    await _ask(reader, session_id=A)
    assert _earlier(provider.calls[0]) == [
        ("user", "第1问"),
        ("assistant", "说了<b>一半"),
        *_stored(range(5, 6)),
    ]


async def test_a_broken_answer_is_kept_and_marked(
    reader: Caller, provider: Provider, services: Services
) -> None:
    answer = await reader.post(
        "/chat/chat", {"query": QUESTION, "session_id": A, "stream": True, "model_name": "cut"}
    )
    assert "error" in objects(answer.text)[-1]
    await reader.post("/chat/chat", {"query": QUESTION, "session_id": A, "model_name": "down"})
    rows = (await reader.post("/history/latest", {"session_id": A, "num": 5})).json()["data"]
    assert [(row["state"], row["error_code"], row["response"]) for row in rows] == [
        ("failed", "upstream_error", "【模型服务 down 回答时出错，请稍后再试；原因见服务日志】"),
        ("failed", "upstream_cut", "你问的是：那"),
    ]  # fmt: skip
    provider.calls.clear()
    again = {"query": QUESTION, "session_id": A, "chat_history_id": rows[1]["id"]}
    await _ask(reader, **again)
    assert _earlier(provider.calls[0]) == []
    async with services.database.read() as session:
        kept = list(await session.scalars(select(Message).order_by(Message.position)))
    assert [(row.id, row.state, row.query) for row in kept] == [
        (rows[1]["id"], "done", QUESTION), (rows[0]["id"], "failed", QUESTION),
    ]  # fmt: skip
    assert kept[1].response == "", "why it failed is shown, not stored"
    provider.calls.clear()
    await _ask(reader, session_id=A)
    assert _earlier(provider.calls[0]) == [("user", QUESTION), ("assistant", kept[0].response)]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_failure_has_words(language: Language) -> None:
    general = describe_failure("unheard_of", "m").in_language(language)
    assert general == describe_failure(None, "m").in_language(language)
    kinds: list[type[UpstreamError]] = [UpstreamError, *UpstreamError.__subclasses__()]
    codes = {kind.code for kind in kinds} - {"model_unavailable"}
    for code in codes:
        words = describe_failure(code, "zhipu-7").in_language(language)
        assert "zhipu-7" in words
        assert words != general
    for code in ("prompt_broken", "embedding_unavailable", "internal_error"):
        assert describe_failure(code, "m").in_language(language) != general
