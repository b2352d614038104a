"""Every setting, typed, frozen and checked on its own. `configuration.py` reads them, and checks what spans two keys."""

import hashlib
import os
import re
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    ByteSize,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from server.core.setting_kinds import (
    ROOT,
    Duration,
    RootedPath,
    Section,
    Size,
    check_secret,
    check_url,
    is_near,
    parse_duration,
)

# How long a request may wait until what it sent is searchable.
MAX_WAIT = timedelta(minutes=5)

# A file that proves the ownership of a domain, and the one line in it.
_VERIFY_FILE = r"^([A-Za-z0-9_-]{1,100}\.txt)?$"
_VERIFY_TEXT = r"^[\x21-\x7e]{0,512}$"

_PUBLIC_URL = re.compile(r"https?://[^\s/]+(/[^\s]*[^/\s])?")
_PAGE = re.compile(r"https?://[^\s?#]+|/[^\s?#]*")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")


def _listed(text: str) -> list[str]:
    """The parts between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


class ServerSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=7861, ge=1, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    public_url: str = ""
    data_dir: RootedPath = ROOT / "knowledge_base"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    max_json_size: Size = ByteSize(2 * 1024**2)
    cors_origins: str = ""
    trusted_proxies: str = "127.0.0.1"

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str) -> str:
        if value and not _PUBLIC_URL.fullmatch(value):
            raise ValueError("write https://HOST, without a slash at the end")
        return value

    @property
    def address(self) -> str:
        """Where this server is reached from outside: `public_url`, or else host and port."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host  # noqa: S104 (compared, not bound)
        host = f"[{host}]" if ":" in host else host
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def engine_socket(self) -> Path:
        """Where the embedding engine listens: a short path of this data folder's own; a socket's has 107 bytes at most."""
        digest = hashlib.sha256(str(self.data_dir).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"chat2llm-{os.getuid()}-{digest}" / "embedding.sock"

    @property
    def supervisor_socket(self) -> Path:
        """Where the supervisor is asked about the engines of local models."""
        return self.engine_socket.with_name("supervisor.sock")


class DatabaseSettings(Section):
    url: str = ""
    pool_size: int = Field(default=10, ge=1, le=200)
    lock_timeout: Duration = timedelta(seconds=5)


class AuthSettings(Section):
    token_max_age: Duration = timedelta(hours=8)
    token_max_skew: Duration = timedelta(minutes=5)
    audience: str = Field(default="chat2llm", min_length=1, max_length=200)
    session_idle: Duration = timedelta(minutes=30)
    session_max_age: Duration = timedelta(hours=8)
    max_sessions: int = Field(default=20, ge=1, le=1000)
    key_overlap: Duration = timedelta(days=7)
    failures_per_address: int = Field(default=20, ge=1)
    failures_per_client: int = Field(default=200, ge=1)
    exchanges_per_address: int = Field(default=60, ge=1)
    new_users_per_hour: int = Field(default=1000, ge=1)
    max_users: int = Field(default=100_000, ge=1)
    demo: bool = True
    demo_users_per_hour: int = Field(default=200, ge=1)
    max_demo_users: int = Field(default=5000, ge=1)
    demo_visits_per_address: int = Field(default=20, ge=1)
    master_key: SecretStr | None = None

    _secret = field_validator("master_key")(check_secret)


class H5Settings(Section):
    """The readers' page, and how a login is handed to it."""

    address: str = ""
    handover: Literal["ticket", "token"] = "ticket"
    cookie: bool = False

    @field_validator("address")
    @classmethod
    def _check_address(cls, value: str) -> str:
        if value and not _PAGE.fullmatch(value):
            raise ValueError("write https://HOST/PATH or /PATH, without ? and #")
        return value

    @property
    def page(self) -> str:
        """The page's address, with a slash at the end."""
        return (self.address or "/h5").rstrip("/") + "/"


class WecomSettings(Section):
    """Single sign-on from WeCom (企业微信); off while `corp_id` is empty."""

    corp_id: str = Field(default="", pattern=r"^[A-Za-z0-9]{0,64}$")
    agent_id: str = Field(default="", pattern=r"^[0-9]{0,20}$")
    secret: SecretStr | None = None
    client: str = Field(default="1", pattern=r"^[A-Za-z0-9_-]{1,32}$")
    scope: Literal["snsapi_base", "snsapi_privateinfo"] = "snsapi_base"
    external: bool = False
    page_hosts: str = ""
    timeout: Duration = timedelta(seconds=5)
    api_url: str = "https://qyapi.weixin.qq.com"
    authorize_url: str = "https://open.weixin.qq.com"
    verify_file: str = Field(default="", pattern=_VERIFY_FILE)
    verify_text: str = Field(default="", pattern=_VERIFY_TEXT)
    mini_program_verify_file: str = Field(default="", pattern=_VERIFY_FILE)
    mini_program_verify_text: str = Field(default="", pattern=_VERIFY_TEXT)

    _secret = field_validator("secret")(check_secret)

    @field_validator("api_url", "authorize_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        """The corporation's secret and people's codes travel there: in the clear within this machine only."""
        url = urlsplit(value)
        if not url.hostname or url.query or url.fragment or value.endswith("/"):
            raise ValueError("write https://HOST, without a slash at the end")
        if url.scheme != "https" and (url.scheme != "http" or url.hostname not in ("127.0.0.1", "localhost")):
            raise ValueError("must begin with https://, since secrets travel there")
        return value

    @field_validator("page_hosts")
    @classmethod
    def _check_hosts(cls, value: str) -> str:
        for host in _listed(value):
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host} is no host; write HOST or HOST:PORT, separated by commas")
        return value

    @property
    def trusted_hosts(self) -> frozenset[str]:
        """`page_hosts` in lower case, each with its port where one was given."""
        return frozenset(host.lower() for host in _listed(self.page_hosts))

    @property
    def is_on(self) -> bool:
        return bool(self.corp_id)

    @property
    def verification_files(self) -> dict[str, str]:
        """Files at the root that prove the ownership of this domain: name → text."""
        pairs = {
            self.verify_file: self.verify_text,
            self.mini_program_verify_file: self.mini_program_verify_text,
        }
        return {name: text for name, text in pairs.items() if name}


class KBSettings(Section):
    chunk_size: int = Field(default=250, ge=20, le=8000)
    chunk_overlap: int = Field(default=50, ge=0, le=4000)
    zh_title_enhance: bool = False
    max_file_size: Size = ByteSize(100 * 1024**2)
    max_upload_size: Size = ByteSize(200 * 1024**2)
    max_upload_files: int = Field(default=100, ge=1, le=1000)
    max_package_size: Size = ByteSize(2 * 1024**3)
    keep_versions: int = Field(default=5, ge=0, le=1000)
    min_free: Size = ByteSize(512 * 1024**2)
    top_k: int = Field(default=3, ge=1, le=50)
    score_threshold: float = Field(default=1.0, ge=0, le=4)
    index_memory: ByteSize = ByteSize(2 * 1024**3)


class VectorStoreSettings(Section):
    """`[vector_store]`"""

    default: Literal["faiss", "pg", "milvus"] = "faiss"
    faiss_flat: int = Field(default=50_000, ge=0)
    faiss_sq8: int = Field(default=1_000_000, ge=0)
    faiss_lists: Literal["auto", "always", "never"] = "auto"
    faiss_recall: float = Field(default=0.99, ge=0.5, le=1)
    pg_url: str = ""
    pg_schema: str = Field(default="chat2llm_vectors", pattern=r"^[a-z_][a-z0-9_]{0,40}$")
    pg_exact: int = Field(default=20_000, ge=0)
    milvus_uri: str = ""
    milvus_token: SecretStr | None = None
    milvus_database: str = Field(default="default", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,200}$")
    timeout: Duration = timedelta(seconds=10)

    _secret = field_validator("milvus_token")(check_secret)


class RetrievalSettings(Section):
    words: float = Field(default=0.5, ge=0, le=1)
    fusion: Literal["score", "rank"] = "score"
    collapse: bool = True
    diversity: float = Field(default=0.0, ge=0, le=0.9)
    expand: int = Field(default=600, ge=0, le=8000)


class RerankModelSettings(Section):
    """`[rerank.NAME]`"""

    kind: Literal["cross-encoder", "api"]
    path: str = ""
    max_length: int = Field(default=0, ge=0, le=32768)
    batch_size: int = Field(default=8, ge=1, le=256)
    device: str = "cpu"
    url: str = ""
    model: str = ""
    api_key: SecretStr | None = None
    max_chars: int = Field(default=2000, ge=100, le=20_000)

    _secret = field_validator("api_key")(check_secret)

    @model_validator(mode="after")
    def _check(self) -> "RerankModelSettings":
        if self.kind == "cross-encoder" and not self.path:
            raise ValueError("a cross-encoder needs the path of its folder")
        if self.kind == "api":
            check_url(self.url, secret=self.api_key is not None)
        return self


class RerankSettings(Section):
    default: str = ""
    candidates: int = Field(default=30, ge=2, le=100)
    timeout: Duration = timedelta(seconds=2)
    models: dict[str, RerankModelSettings] = Field(default_factory=dict)


class IngestSettings(Section):
    concurrency: int = Field(default=2, ge=1, le=16)
    attempts: int = Field(default=3, ge=1, le=10)
    lease: Duration = timedelta(seconds=30)
    poll: Duration = timedelta(milliseconds=500)
    parse_timeout: Duration = timedelta(seconds=120)
    ocr_page_timeout: Duration = timedelta(seconds=20)
    max_ocr_pages: int = Field(default=300, ge=1, le=5000)
    parse_memory: ByteSize = ByteSize(2 * 1024**3)
    max_pages: int = Field(default=5000, ge=1)
    max_chars: int = Field(default=20_000_000, ge=1000)
    max_unpacked_size: ByteSize = ByteSize(512 * 1024**2)
    max_queue: int = Field(default=10_000, ge=1)
    max_queue_per_client: int = Field(default=5_000, ge=1)


class EmbeddingModelSettings(Section):
    """`[embedding.NAME]`"""

    kind: Literal["bundled", "local", "openai", "langchain"]
    path: str = ""
    model: str = ""
    base_url: str = ""
    api_key: SecretStr | None = None
    query_prefix: str | None = None
    passage_prefix: str | None = None
    batch_size: int = Field(default=32, ge=1, le=2048)
    timeout: Duration = timedelta(seconds=60)
    device: str = "cpu"

    _secret = field_validator("api_key")(check_secret)

    @field_validator("query_prefix", "passage_prefix")
    @classmethod
    def _unquote(cls, value: str | None) -> str | None:
        """An ini file drops the space at the end of a value; quotes keep it."""
        return value[1:-1] if value and len(value) > 1 and value[0] == value[-1] == '"' else value


class EmbeddingSettings(Section):
    default: str = "e5-small"
    models_dir: RootedPath = ROOT / "embeddings" / "models"
    threads: int = Field(default=0, ge=0, le=256)
    models: dict[str, EmbeddingModelSettings] = Field(default_factory=dict)


class LLMModelSettings(Section):
    """`[llm.NAME]`"""

    kind: Literal["openai", "zhipuai", "langchain"] = "openai"
    preset: str = ""
    base_url: str = ""
    model: str = ""
    api_key: SecretStr | None = None
    context_tokens: int = Field(default=8192, ge=512)
    connect_timeout: Duration = timedelta(seconds=10)
    idle_timeout: Duration = timedelta(seconds=60)
    retries: int = Field(default=2, ge=0, le=10)
    tools: bool = True
    engine: Literal["", "llama.cpp", "command"] = ""
    model_path: str = ""
    command: str = ""
    threads: int = Field(default=0, ge=0, le=256)
    parallel: int = Field(default=2, ge=1, le=64)
    port: int = Field(default=0, ge=0, le=65535)
    start_timeout: Duration = timedelta(minutes=5)

    _secret = field_validator("api_key")(check_secret)

    @property
    def is_set_up(self) -> bool:
        """False for an engine without weights or command: the section is there to be filled in."""
        return bool({"": "remote", "llama.cpp": self.model_path, "command": self.command}[self.engine])

    @property
    def goes_without_key(self) -> bool:
        """True where an empty `api_key` means that none is asked for."""
        return self.kind != "zhipuai" and (self.preset == "ollama" or is_near(self.base_url))

    @property
    def is_keyed(self) -> bool:
        """True when nothing is known to be missing for a call: a key is there, or none is asked for."""
        return bool(self.api_key or self.goes_without_key or self.kind == "langchain" or self.engine)

    @property
    def weights(self) -> Path:
        """`model_path`, which counts from the project."""
        return ROOT / self.model_path


class LLMSettings(Section):
    default: str = "quote"
    models: dict[str, LLMModelSettings] = Field(default_factory=dict)

    @property
    def engines(self) -> dict[str, LLMModelSettings]:
        """The models that run on this machine, started by the supervisor."""
        return {name: model for name, model in self.models.items() if model.engine and model.is_set_up}


class SearchSettings(Section):
    """Search engines of the web; one without its address or its key is off."""

    timeout: Duration = timedelta(seconds=10)
    bing_url: str = "https://api.bing.microsoft.com/v7.0/search"
    bing_key: SecretStr | None = None
    duckduckgo_url: str = "https://html.duckduckgo.com/html/"
    metaphor_url: str = "https://api.exa.ai/search"
    metaphor_key: SecretStr | None = None
    searxng_url: str = ""

    _secret = field_validator("bing_key", "metaphor_key")(check_secret)

    @field_validator("bing_url", "metaphor_url")
    @classmethod
    def _check_sealed_url(cls, value: str) -> str:
        return check_url(value, secret=True) if value else value

    @field_validator("duckduckgo_url", "searxng_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        return check_url(value, secret=False) if value else value


class AgentSettings(Section):
    """What /chat/agent_chat may do."""

    max_calls: int = Field(default=8, ge=1, le=50)
    max_time: Duration = timedelta(minutes=2)
    tool_timeout: Duration = timedelta(seconds=20)
    search_engine: str = ""
    weather_url: str = ""
    geocoding_url: str = "https://geocoding-api.open-meteo.com/v1/search"

    @field_validator("weather_url", "geocoding_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        return check_url(value, secret=False) if value else value


class ChatSettings(Section):
    prompts_dir: RootedPath = ROOT / "configs" / "prompts"
    history_rounds: int = Field(default=10, ge=0, le=100)
    max_query_chars: int = Field(default=8000, ge=100, le=200_000)
    heartbeat: Duration = timedelta(seconds=15)
    max_answer_time: Duration = timedelta(minutes=10)
    max_answer_chars: int = Field(default=200_000, ge=1)
    max_running_answers: int = Field(default=8, ge=1)
    refusal: str = Field(default="知识库里没有找到能回答这个问题的内容。", min_length=2, max_length=500)
    refusal_en: str = Field(
        default="The knowledge base has nothing that answers this question.", min_length=2, max_length=500
    )
    only_from_sources: bool = False


class CompatSettings(Section):
    """For pages and scripts written for chat2llm."""

    http_200_errors: bool = False
    wait_for_uploads: Annotated[
        timedelta, BeforeValidator(parse_duration), Field(ge=timedelta(0), le=MAX_WAIT)
    ] = timedelta(0)


class Settings(Section):
    """The whole configuration. Built once by `load_settings` and handed down section by section."""

    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    auth: AuthSettings = AuthSettings()
    h5: H5Settings = H5Settings()
    wecom: WecomSettings = WecomSettings()
    kb: KBSettings = KBSettings()
    vector_store: VectorStoreSettings = VectorStoreSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    rerank: RerankSettings = RerankSettings()
    ingest: IngestSettings = IngestSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    llm: LLMSettings = LLMSettings()
    chat: ChatSettings = ChatSettings()
    search: SearchSettings = SearchSettings()
    agent: AgentSettings = AgentSettings()
    compat: CompatSettings = CompatSettings()

    @property
    def database_url(self) -> str:
        return self.database.url or f"sqlite:///{self.server.data_dir / 'info.db'}"
