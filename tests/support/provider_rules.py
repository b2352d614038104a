"""What the stand-in for a vendor accepts: as much as the strictest vendors do, and nothing more."""

import json
import re
from typing import Any

_CHAT_FIELDS = {
    "model", "messages", "temperature", "top_p", "n", "stream", "stream_options", "stop", "max_tokens", "seed",
    "max_completion_tokens", "presence_penalty", "frequency_penalty", "user", "response_format", "tools", "tool_choice",
}  # fmt: skip
_ZHIPU_FIELDS = {
    "model", "messages", "request_id", "user_id", "temperature", "top_p", "do_sample", "max_tokens", "seed", "stop",
    "stream", "stream_options", "tools", "tool_choice", "meta", "response_format", "thinking",
}  # fmt: skip
_EMBEDDING_FIELDS = {"model", "input", "encoding_format", "dimensions", "user"}
_MAX_BATCH = 16


class Refusal(Exception):
    """An HTTP status and OpenAI's error object."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def body(self) -> bytes:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": self.message, "type": kind, "param": None, "code": self.code}
        return json.dumps({"error": error}, ensure_ascii=False).encode()


def check_headers(headers: dict[str, str], key: str, *, has_body: bool) -> None:
    if headers.get("authorization") != f"Bearer {key}":
        given = headers.get("authorization", "").removeprefix("Bearer ")
        raise Refusal(401, "invalid_api_key", f"Incorrect API key provided: {given}")
    if has_body and headers.get("content-type", "").split(";")[0] != "application/json":
        raise Refusal(400, "bad_content_type", "Content-Type must be application/json")


def check_chat(body: Any, *, zhipu: bool) -> None:
    _check_fields(body, _ZHIPU_FIELDS if zhipu else _CHAT_FIELDS)
    _check_messages(body.get("messages"))
    if "tools" in body:
        _check_tools(body["tools"])
    temperature = body.get("temperature", 0.7)
    inside = 0 < temperature < 1 if zhipu else 0 <= temperature <= 2
    _demand(inside, f"temperature is out of range: {temperature}")
    tokens = body.get("max_tokens", 1)
    _demand(isinstance(tokens, int) and tokens >= 1, f"max_tokens is out of range: {tokens}")


def _check_messages(messages: Any) -> None:
    _demand(isinstance(messages, list) and len(messages) > 0, "messages must be a list")
    for message in messages:
        _check_message(message)
    roles = _without_tools(messages)
    turns = roles[1:] if roles[0] == "system" else roles
    expected = ["user", "assistant"] * len(turns)
    _demand(turns == expected[: len(turns)], f"roles must alternate, user first: {roles}")
    _demand(len(turns) % 2 == 1, f"the last message must be the user's, or a tool's: {roles}")


def _check_message(message: Any) -> None:
    fields, content = set(message), message.get("content")
    if message.get("role") == "assistant" and "tool_calls" in message:
        _demand(fields == {"role", "content", "tool_calls"}, f"unknown fields of a message: {sorted(fields)}")
        _demand(content is None or (isinstance(content, str) and content != ""), "content is text or null")
        _demand(len(message["tool_calls"]) > 0, "tool_calls must not be empty")
        for call in message["tool_calls"]:
            _check_call(call)
        return
    expected = {"role", "content"} | ({"tool_call_id"} if message.get("role") == "tool" else set())
    _demand(fields == expected, f"a message has {sorted(expected)}: {sorted(fields)}")
    _demand(isinstance(content, str) and content.strip() != "", "a message must not be empty")


def _check_call(call: Any) -> None:
    _demand(set(call) == {"id", "type", "function"} and call["type"] == "function", f"no tool call: {call}")
    _demand(isinstance(call["id"], str) and call["id"] != "", "a tool call has an id")
    _demand(set(call["function"]) == {"name", "arguments"}, "a function has name and arguments")
    try:
        arguments = json.loads(call["function"]["arguments"])
    except ValueError:
        arguments = None
    _demand(isinstance(arguments, dict), f"arguments must be a JSON object: {call['function']['arguments']}")


def _without_tools(messages: list[Any]) -> list[str]:
    """The roles, without the rounds of tools: each call answered once, before anybody else speaks."""
    roles: list[str] = []
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            _demand(message["tool_call_id"] in waiting, f"nobody called {message['tool_call_id']}")
            waiting.remove(message["tool_call_id"])
            continue
        _demand(not waiting, f"calls without an answer: {waiting}")
        waiting = [call["id"] for call in message.get("tool_calls", [])]
        _demand(len(set(waiting)) == len(waiting), "two calls have the same id")
        if not waiting:
            roles.append(message["role"])
    _demand(not waiting, f"calls without an answer: {waiting}")
    return roles


def _check_tools(tools: Any) -> None:
    _demand(isinstance(tools, list) and len(tools) > 0, "tools must be a list and not empty")
    for tool in tools:
        _demand(set(tool) == {"type", "function"} and tool["type"] == "function", f"no tool: {tool}")
        function = tool["function"]
        _demand(set(function) == {"name", "description", "parameters"}, f"no function: {sorted(function)}")
        _demand(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", function["name"]) is not None, "a function's name")
        _demand(function["parameters"].get("type") == "object", "parameters must be an object")
    names = [tool["function"]["name"] for tool in tools]
    _demand(len(set(names)) == len(names), f"two tools have the same name: {names}")


def check_embeddings(body: Any) -> None:
    _check_fields(body, _EMBEDDING_FIELDS)
    _demand(body.get("encoding_format", "float") in ("float", "base64"), "unknown encoding_format")
    texts = body.get("input")
    _demand(isinstance(texts, list) and 0 < len(texts) <= _MAX_BATCH, f"input: 1 to {_MAX_BATCH} texts")
    _demand(all(isinstance(text, str) and text for text in texts), "input: texts, no token numbers")


def _check_fields(body: Any, known: set[str]) -> None:
    _demand(isinstance(body, dict), "the body must be an object")
    _demand(not set(body) - known, f"unknown fields: {sorted(set(body) - known)}")
    _demand(isinstance(body.get("model"), str) and body["model"] != "", "model must be given")


def _demand(fulfilled: bool, message: str) -> None:
    if not fulfilled:
        raise Refusal(400, "invalid_value", message)
