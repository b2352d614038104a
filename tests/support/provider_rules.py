"""What the stand-in for a vendor accepts: as much as the strictest vendors do, and nothing more."""

import json
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
    temperature = body.get("temperature", 0.7)
    inside = 0 < temperature < 1 if zhipu else 0 <= temperature <= 2
    _demand(inside, f"temperature is out of range: {temperature}")
    tokens = body.get("max_tokens", 1)
    _demand(isinstance(tokens, int) and tokens >= 1, f"max_tokens is out of range: {tokens}")


def _check_messages(messages: Any) -> None:
    _demand(isinstance(messages, list) and len(messages) > 0, "messages must be a list")
    for message in messages:
        _demand(set(message) == {"role", "content"}, f"a message has role and content: {sorted(message)}")
        content = message["content"]
        _demand(isinstance(content, str) and content.strip() != "", "a message must not be empty")
    roles = [message["role"] for message in messages]
    turns = roles[1:] if roles[0] == "system" else roles
    expected = ["user", "assistant"] * len(turns)
    _demand(turns == expected[: len(turns)], f"roles must alternate, user first: {roles}")
    _demand(len(turns) % 2 == 1, f"the last message must be the user's: {roles}")


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
