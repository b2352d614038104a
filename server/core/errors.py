"""Every refusal the product can give, as one tree. Adding an error = adding a class; the HTTP layer reads it.

    AppError                                            status  code
     ├─ BadRequest                                         400  bad_request
     │   ├─ Ambiguous                                      400  ambiguous_credentials
     │   │                                               400  upload_broken
     │   └─ Invalid                                        422  invalid_input, bad_json, bad_filename,
     │       │                                                  name_too_long, empty_file, untrusted_page,
     │       │                                                  bad_encoding, nothing_to_evaluate, bad_package, parse_timeout
     │       └─ BadKBName                                  422  bad_kb_name
     ├─ Unauthenticated                                    401  invalid_token, token_missing, token_expired,
     │   │                                                      sign_on_failed
     │   └─ CallerDisabled                                 401  caller_disabled
     ├─ Forbidden                                          403  forbidden, foreign_origin
     ├─ NotFound                                           404  not_found, passage_not_found
     │   ├─ KBNotFound                                     404  kb_not_found
     │   ├─ DocumentNotFound                               404  document_not_found
     │   ├─ SessionNotFound                                404  session_not_found
     │   ├─ QuestionNotFound                               404  question_not_found
     │   ├─ ModelNotFound                                  404  model_not_found
     │   ├─ PromptNotFound                                 404  prompt_not_found
     │   ├─ SearchEngineNotFound                           404  search_engine_not_found
     │   └─ SearchEngineNotReady  (its key is missing)     404  search_engine_not_ready
     ├─ Conflict                                           409  conflict, in_progress, not_local, answer_running, too_many_files,
     │   │                                                    rebuild_held_up, rebuild_cancelled, taken_out_of_search, cut_otherwise,
     │   │                                                    evaluation_full, cost_not_accepted, job_ended, nothing_to_retry, cancelled,
     │   │                                                    current_version, last_passage, not_read, not_ready, content_gone
     │   ├─ AlreadyExists                                  409  already_exists
     │   │   └─ KBExists                                   409  already_exists
     │   ├─ Overtaken                                      409  conflict
     │   └─ EmbeddingMismatch                              409  embedding_mismatch
     ├─ TooLarge                                           413  too_large
     ├─ UnsupportedFile                                    415  unsupported_file, type_mismatch, unsupported_encoding
     ├─ TooManyRequests                                    429  too_many_requests, user_quota
     ├─ Busy                                               503  busy, database_unreachable, database_damaged
     │   ├─ Deadlock                                       503  busy
     │   ├─ EmbeddingUnavailable                           503  embedding_unavailable
     │   └─ StoreUnavailable  (a server of vectors)        503  vector_store_unavailable, vector_store_filling
     ├─ AnswerNotStored                                    503  answer_not_stored
     ├─ StorageFull                                        507  disk_full, database_read_only, storage_unavailable
     ├─ PromptBroken                                       500  prompt_broken
     └─ UpstreamError  (a model provider, a search engine, WeCom)  502  upstream_error
         ├─ ModelUnavailable  (a package it needs is missing)  502  model_unavailable
         ├─ UpstreamUnreachable                            502  upstream_unreachable
         ├─ UpstreamEmpty                                  502  upstream_empty
         ├─ UpstreamKeyMissing                             502  upstream_key_missing
         ├─ UpstreamKeyRefused                             502  upstream_key_refused
         ├─ UpstreamRefused                                502  upstream_refused
         ├─ UpstreamCut                                    502  upstream_cut
         ├─ UpstreamBusy                                   503  upstream_busy
         └─ UpstreamTimeout                                504  upstream_timeout

    SettingsError                        the configuration is wrong; stops the start, never reaches HTTP

`text` is for people, in two languages; `code` is for programs and never changes; `status` is the HTTP status.
"""

from server.core.i18n import Text

# Characters of a name that a message repeats: enough to know it again, and no way to have a page echo megabytes.
_SHOWN = 100


def short(name: str) -> str:
    if not name.strip():
        return '""'
    return name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"


class AppError(Exception):
    """A refusal with words for people, a code for programs and a true HTTP status."""

    code = "internal_error"
    status = 500
    # The `code` that chat2llm told of a knowledge base's name, where it is not the status; see http.py.
    old_code: int | None = None

    def __init__(self, text: Text, *, code: str | None = None, retry_after: int | None = None) -> None:
        """`code` overrides the class's code; `retry_after` is in seconds."""
        super().__init__(text.en)
        self.text = text
        self.code = code or type(self).code
        self.retry_after = retry_after
        # What the caller should see beside the message, say which of several files failed.
        self.data: object = None


class BadRequest(AppError):
    code, status = "bad_request", 400


class Ambiguous(BadRequest):
    code = "ambiguous_credentials"

    def __init__(self) -> None:
        super().__init__(
            Text(
                "请求里有多个不同的凭证，只保留一个",
                "the request carries different credentials; send only one",
            )
        )


class Invalid(BadRequest):
    code, status = "invalid_input", 422


class BadKBName(Invalid):
    """No knowledge base can have this name."""

    code = "bad_kb_name"

    def __init__(self, name: str) -> None:
        super().__init__(
            Text(
                "知识库名称只能由 1–64 个文字、数字、下划线、连字符和中间的空格组成，且不能是 CON、NUL 等系统保留名",
                "a knowledge base's name has 1 to 64 letters, digits, _ or - and spaces in between, "
                "and is no name that systems reserve, as CON or NUL",
            )
        )
        self.old_code = 403 if name else 404


class Unauthenticated(AppError):
    """One public answer for every bad credential; the true reason goes to the log only."""

    code, status = "invalid_token", 401


class CallerDisabled(Unauthenticated):
    """Somebody who was let in is not any more; told in an answer that was running then."""

    code = "caller_disabled"

    def __init__(self) -> None:
        super().__init__(
            Text(
                "该用户或客户端已被禁用，回答到此为止",
                "this user or client was disabled; the answer ends here",
            )
        )


class Forbidden(AppError):
    code, status = "forbidden", 403


class NotFound(AppError):
    code, status = "not_found", 404


class KBNotFound(NotFound):
    code = "kb_not_found"

    def __init__(self, name: str) -> None:
        shown = short(name)
        super().__init__(Text(f"未找到知识库 {shown}", f"knowledge base not found: {shown}"))


class DocumentNotFound(NotFound):
    code = "document_not_found"

    def __init__(self, name: str) -> None:
        shown = short(name)
        super().__init__(Text(f"未找到文件 {shown}", f"document not found: {shown}"))


class SessionNotFound(NotFound):
    code = "session_not_found"

    def __init__(self) -> None:
        super().__init__(Text("未找到该会话或聊天记录", "session or message not found"))


class QuestionNotFound(NotFound):
    code = "question_not_found"

    def __init__(self) -> None:
        super().__init__(Text("未找到该推荐问题", "recommended question not found"))


class ModelNotFound(NotFound):
    code = "model_not_found"

    def __init__(self, name: str, available: list[str]) -> None:
        shown, known = short(name), ", ".join(available)
        super().__init__(
            Text(f"未找到模型 {shown}；可用的模型：{known}", f"model not found: {shown}; available: {known}")
        )


class PromptNotFound(NotFound):
    code = "prompt_not_found"

    def __init__(self, name: str, available: list[str]) -> None:
        shown, known = short(name), ", ".join(available)
        super().__init__(
            Text(
                f"未找到提示词模板 {shown}；可用的模板：{known}",
                f"prompt template not found: {shown}; available: {known}",
            )
        )


class SearchEngineNotFound(NotFound):
    code = "search_engine_not_found"

    def __init__(self, name: str, available: list[str]) -> None:
        shown, known = short(name), ", ".join(available)
        super().__init__(
            Text(f"未支持搜索引擎 {shown}；可用：{known}", f"unknown search engine {shown}; use {known}")
        )


class SearchEngineNotReady(NotFound):
    """There is such an engine, but not here: the operator has given it no key or no address."""

    code = "search_engine_not_ready"


class Conflict(AppError):
    code, status = "conflict", 409


class Overtaken(Conflict):
    """Somebody else wrote or deleted, a moment before, what was to be written."""

    def __init__(self) -> None:
        super().__init__(
            Text(
                "其他人刚刚改动或删除了它，请刷新后再试",
                "somebody else has just changed or deleted this; look again, then try again",
            )
        )


class AlreadyExists(Conflict):
    code = "already_exists"


class KBExists(AlreadyExists):
    old_code = 404

    def __init__(self, name: str) -> None:
        super().__init__(Text(f"已存在同名知识库 {name}", f"knowledge base {name} exists already"))


class EmbeddingMismatch(Conflict):
    code = "embedding_mismatch"


class TooLarge(AppError):
    code, status = "too_large", 413


class UnsupportedFile(AppError):
    code, status = "unsupported_file", 415


class TooManyRequests(AppError):
    code, status = "too_many_requests", 429


class Busy(AppError):
    code, status = "busy", 503


class Deadlock(Busy):
    """Two writers waited for each other, and this one was sent back; from its beginning it may go through."""


class EmbeddingUnavailable(Busy):
    """The embedding model is not there or does not answer."""

    code = "embedding_unavailable"


class StoreUnavailable(Busy):
    """pgvector or Milvus: the package is missing, the server is away, or it lacks something."""

    code = "vector_store_unavailable"


class AnswerNotStored(AppError):
    """Told to the reader of a whole answer, who has it all the same."""

    code, status = "answer_not_stored", 503

    def __init__(self) -> None:
        super().__init__(
            Text(
                "回答已完整给出，但还没能存入聊天记录，请自行留存",
                "the answer is complete, but it could not be stored in the history so far; keep it yourself",
            )
        )


class StorageFull(AppError):
    code, status = "disk_full", 507


class PromptBroken(AppError):
    code = "prompt_broken"


class UpstreamError(AppError):
    """A model provider, a search engine or WeCom failed; `text` says what a person can do about it."""

    code, status = "upstream_error", 502


class ModelUnavailable(UpstreamError):
    code = "model_unavailable"


class UpstreamUnreachable(UpstreamError):
    code = "upstream_unreachable"


class UpstreamEmpty(UpstreamError):
    code = "upstream_empty"


class UpstreamKeyMissing(UpstreamError):
    code = "upstream_key_missing"


class UpstreamKeyRefused(UpstreamError):
    code = "upstream_key_refused"


class UpstreamRefused(UpstreamError):
    code = "upstream_refused"


class UpstreamCut(UpstreamError):
    code = "upstream_cut"


class UpstreamBusy(UpstreamError):
    code, status = "upstream_busy", 503


class UpstreamTimeout(UpstreamError):
    code, status = "upstream_timeout", 504


class SettingsError(Exception):
    """The configuration is wrong. The message names section, key and remedy."""
