"""The answers of the stand-in for a vendor: what each model streams, as frames of server-sent events."""

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.page_answers import SLOWLY, page_answer

KEY = "sk-stand-in-5f3a9c1b7e"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
# How long a silent model stays silent at most; it ends earlier when its reader goes away.
_SILENCE = 10.0


@dataclass
class Call:
    """One request, and whether its reader went away before the answer was complete."""

    path: str
    headers: dict[str, str]
    body: Any
    # All requests so far, this one included.
    calls: list["Call"] = field(repr=False)
    left: threading.Event = field(default_factory=threading.Event)

    @property
    def model(self) -> str:
        return self.body["model"] if self.body else ""

    @property
    def messages(self) -> list[tuple[str, str]]:
        return [(message["role"], message["content"]) for message in self.body["messages"]]

    def count(self) -> int:
        """How often this model was asked."""
        return sum(call.model == self.model for call in self.calls)


class Gone(Exception):
    """The reader went away."""


Departure = asyncio.Future[bytes]
Frames = AsyncIterator[bytes]


async def silence(gone: Departure, seconds: float = _SILENCE) -> None:
    if (await asyncio.wait({gone}, timeout=seconds))[0]:
        raise Gone


def echo(call: Call) -> str:
    return f"你问的是：{call.messages[-1][1][:40]}"


def _chunk(text: str | None = None, reason: str | None = None, **fields: Any) -> bytes:
    delta = {} if text is None else {"role": "assistant", "content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return f"data: {json.dumps(body | fields, ensure_ascii=False)}\n\n".encode()


_DONE = b"data: [DONE]\n\n"
# The connection breaks after these bytes, in the middle of what they announce.
BROKEN = 'data: {"choices": [{"index": 0, "delta": {"content": "半'.encode()
_ERROR = b'data: {"error": {"message": "overloaded %s", "type": "server_error", "code": "overloaded"}}\n\n'


def said(text: str) -> list[bytes]:
    """A text in pieces, as models say it."""
    return [_chunk(""), *(_chunk(text[i : i + 6]) for i in range(0, len(text), 6))]


def _text(call: Call) -> list[bytes]:
    return said(echo(call))


def end(call: Call, usage: dict[str, int] | None = USAGE) -> list[bytes]:
    """OpenAI counts in a chunk of its own and when asked, Zhipu always and in the last chunk with choices."""
    if usage and "/paas/" in call.path:
        return [_chunk("", "stop", usage=usage), _DONE]
    if usage and (call.body.get("stream_options") or {}).get("include_usage"):
        return [_chunk(None, "stop"), _chunk(choices=[], usage=usage), _DONE]
    return [_chunk(None, "stop"), _DONE]


def answer(call: Call) -> list[bytes]:
    return [*_text(call), *end(call)]


def _begun(call: Call) -> list[bytes]:
    return _text(call)[:2]


def _crlf(call: Call) -> list[bytes]:
    frames = [frame.replace(b"data: ", b"data:").replace(b"\n", b"\r\n") for frame in answer(call)]
    return [b": OPENROUTER PROCESSING\r\n\r\n", *frames]


def _raw(body: str) -> bytes:
    return f"data: {body}\n\n".encode()


def _halves(_: Call) -> list[bytes]:
    """Halves of surrogate pairs, of one pair in two chunks too, and NUL: valid JSON, but no text."""
    texts = (r"a\ud83d", r"\ude00b", r"c\udc00\ud800d", r"\u0000", r"e\u0000f", r"g\ud83d")
    return [*(_raw(f'{{"choices": [{{"delta": {{"content": "{text}"}}}}]}}') for text in texts), *end(_)]


def _odd(call: Call) -> list[bytes]:
    """What lenient vendors send: chunks without choices, without a delta, with usage of another shape."""
    odd = ("{}", '{"choices": null}', '{"choices": [{"index": 0}]}', '{"choices": [], "usage": {}}')
    return [*map(_raw, odd), *_text(call), _chunk(None, "stop"), _DONE]


def _odd_call(call: Call) -> list[bytes]:
    """A call whose id, name and arguments hold halves of surrogate pairs and NUL."""
    if any(message["role"] == "tool" for message in call.body["messages"]):
        return [*_text(call), *end(call)]
    part = r'{"index": 0, "id": "c\ud800\u0000", "function": {"name": "time\udc00", "arguments": "{\"a\": \"\ud83d"}}'
    rest = r'{"index": 0, "function": {"arguments": "\ude00\ud83d\"}"}}'
    whole = '{"choices": [{"delta": {"tool_calls": [%s]}}]}'
    return [_raw(whole % part), _raw(whole % rest), _chunk(None, "tool_calls"), *end(call)[1:]]


_CALL = re.compile(r"<<(.*)>>", re.S)


def _agent(call: Call) -> list[bytes]:
    """Calls what the question says between << and >>: rounds of [name, arguments], then tells what the tools said.

    Arguments are an object, or text that is sent as it is. Without tools it answers at once.
    """
    asked = max(index for index, message in enumerate(call.body["messages"]) if message["role"] == "user")
    later = call.body["messages"][asked + 1 :]
    script = _CALL.search(call.body["messages"][asked]["content"])
    rounds = json.loads(script[1]) if script else []
    number = sum("tool_calls" in message for message in later)
    if number < len(rounds) and call.body.get("tools"):
        return [
            _chunk("先查一下。"),
            *_calls(number, rounds[number]),
            _chunk(None, "tool_calls"),
            *end(call)[1:],
        ]
    told = " / ".join(message["content"] for message in later if message["role"] == "tool")
    text = f"查到：{told}" if told else "不用工具。"
    return [*(_chunk(text[i : i + 20]) for i in range(0, len(text), 20)), *end(call)]


def _calls(number: int, wanted: list[tuple[str, Any]]) -> list[bytes]:
    """Their parts, one of each in turn: the head with id and name, then the arguments in pieces."""
    heads: list[dict[str, Any]] = []
    tails: list[dict[str, Any]] = []
    for index, (name, given) in enumerate(wanted):
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        heads.append(
            {
                "index": index,
                "id": f"call_{number}_{index}",
                "type": "function",
                "function": {"name": name, "arguments": ""},
            }
        )
        tails += [
            {"index": index, "function": {"arguments": text[i : i + 7]}} for i in range(0, len(text), 7)
        ]
    tails.sort(key=lambda part: part["index"] % 2)  # mixed, but each call's own in order
    return [
        _chunk(choices=[{"index": 0, "delta": {"tool_calls": [part]}, "finish_reason": None}])
        for part in heads + tails
    ]


def _page(call: Call) -> list[bytes]:
    text = page_answer(call.messages[-1][1])
    return [*(_chunk(text[i : i + 4]) for i in range(0, len(text), 4)), *end(call)]


FRAMES: dict[str, Callable[[Call], list[bytes]]] = {
    "agent": _agent,
    "page": _page,
    "odd-call": _odd_call,
    "unasked-calls": lambda call: [
        *_calls(0, [("calculator", {})]),
        _chunk(None, "tool_calls"),
        *end(call)[1:],
    ],
    "no-usage": lambda call: [*_text(call), *end(call, None)],
    "usage-zero": lambda call: [*_text(call), *end(call, dict.fromkeys(USAGE, 0))],
    "usage-with-choices": lambda call: [*_text(call), _chunk("。", "stop", usage=USAGE), _DONE],
    "crlf": _crlf,
    "odd-chunks": _odd,
    "empty": lambda _: [_chunk(choices=[]), _DONE],
    "filtered": lambda _: [_chunk("", "content_filter"), _DONE],
    "cut": lambda call: [*_begun(call), BROKEN],
    "polite-cut": _begun,
    "stall": _begun,
    "malformed": lambda call: [*_begun(call), b'data: {"choices": [\n\n', _DONE],
    "model-broke": lambda call: [*_begun(call), _chunk("", "network_error"), _DONE],
    "error-in-stream": lambda call: [*_begun(call), _ERROR % KEY.encode()],
    "halves": _halves,
    "comments": _begun,
    "empties": _begun,
    "flood": lambda call: [*_begun(call), b"data: " + b"x" * 300_000, *[b"x" * 300_000] * 4, b"\n\n"],
    "large": lambda call: [*(_chunk("大" * 300_000) for _ in range(3)), *end(call)],
}


# JSON that is nothing of OpenAI's shape. Each comes after the first piece.
LIES = {
    "number": "1",
    "list": "[]",
    "choices-number": '{"choices": 5}',
    "choices-object": '{"choices": {"a": 1}}',
    "choice-text": '{"choices": ["x"]}',
    "delta-text": '{"choices": [{"delta": "x"}]}',
    "content-list": '{"choices": [{"delta": {"content": ["x"]}}]}',
    "reason-object": '{"choices": [{"delta": {}, "finish_reason": {"a": 1}}]}',
    "reason-number": '{"choices": [{"delta": {}, "finish_reason": 1}]}',
    "calls-number": '{"choices": [{"delta": {"tool_calls": 5}}]}',
    "calls-nonsense": '{"choices": [{"delta": {"tool_calls": [5, {"index": "x", "function": 5}]}}]}',
    "usage-text": '{"choices": [], "usage": "much"}',
    "deep": "[" * 200_000,
    "deep-and-valid": '{"choices": ' + "[" * 20_000 + "]" * 20_000 + "}",
}
FRAMES |= {
    f"lie-{name}": lambda call, body=body: [*_begun(call), _raw(body), _DONE]  # type: ignore[misc]
    for name, body in LIES.items()
}
_THOUGHT = _raw('{"choices": [{"delta": {"content": null, "reasoning_content": "嗯"}}]}')
# What comes before the frames, and how often.
_LONG = {"endless": (_chunk("字"), 500), "late": (_chunk("字"), 500), "thinks": (_THOUGHT, 50)}
# Seconds between the pieces of an answer that somebody watches.
_PACE, _SLOW_PACE = 0.01, 0.12
# What keeps a connection busy and says nothing.
_NOISE = {"comments": b": alive\n\n", "empties": _chunk("")}


async def stream(call: Call, gone: Departure) -> Frames:
    """The frames of the model that was asked, at its pace."""
    frame, count = _LONG.get(call.model, (b"", 0))
    for _ in range(count):
        yield frame
        await silence(gone, 0.02)
    if call.model == "gather-15":
        yield _chunk("等")
        while call.count() < 15:
            await silence(gone, 0.02)
    pace = 0.0
    if call.model == "page":
        pace = _SLOW_PACE if SLOWLY in call.messages[-1][1] else _PACE
    for frame in FRAMES.get(call.model, answer)(call):
        yield frame
        if pace:
            await silence(gone, pace)
    while call.model in _NOISE:
        yield _NOISE[call.model]
        await silence(gone, 0.02)
    if call.model == "stall":
        await silence(gone)
