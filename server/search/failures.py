"""What people are told when a search engine fails. Its own words are not repeated: they may quote the key."""

from server.core.errors import (
    AppError,
    SearchEngineNotReady,
    UpstreamBusy,
    UpstreamError,
    UpstreamKeyRefused,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from server.core.i18n import Text
from server.search.base import Engine


def not_ready(engine: str, key: str) -> SearchEngineNotReady:
    variable = f"SEARCH__{key.upper()}"
    return SearchEngineNotReady(
        Text(
            f"搜索引擎 {engine} 还没有配置：请管理员设置 [search] {key}（环境变量 {variable}）",
            f"search engine {engine} is not configured: set [search] {key} (environment variable {variable})",
        )
    )


def unreachable(engine: str) -> AppError:
    return UpstreamUnreachable(
        Text(
            f"连接不上搜索引擎 {engine}，请管理员检查网络和 [search] {engine}_url",
            f"search engine {engine} cannot be reached; check the network and [search] {engine}_url",
        )
    )


def timed_out(engine: str) -> AppError:
    return UpstreamTimeout(
        Text(
            f"搜索引擎 {engine} 没有及时回应，请稍后再试",
            f"search engine {engine} did not answer in time; try again later",
        )
    )


def odd(engine: str) -> AppError:
    return UpstreamError(
        Text(
            f"搜索引擎 {engine} 的回应无法识别，请稍后再试；若总是如此，请管理员检查 [search] {engine}_url",
            f"the answer of search engine {engine} makes no sense; try again later, and if it stays so check "
            f"[search] {engine}_url",
        )
    )


def key_unusable(engine: str) -> AppError:
    return UpstreamKeyRefused(
        Text(
            f"搜索引擎 {engine} 拒绝了密钥，请管理员检查 [search] {engine}_key",
            f"search engine {engine} refused the key; check [search] {engine}_key",
        )
    )


def by_status(engine: Engine, status: int) -> AppError:
    """The error for an HTTP status other than 200."""
    name = engine.name
    if status == 403 and engine.forbidden is not None:
        return UpstreamRefused(Text(*engine.forbidden))
    if status in (401, 403):
        return key_unusable(name)
    if status in (202, 429):  # 202 is DuckDuckGo's way to ask whether a person is there
        return UpstreamBusy(
            Text(
                f"搜索引擎 {name} 限制了请求频率或额度已用完，请稍后再试或换一个搜索引擎",
                f"search engine {name} limits requests or the quota is used up; try later or take another one",
            )
        )
    if 300 <= status < 400:
        return UpstreamRefused(
            Text(
                f"搜索引擎 {name} 把请求转到别的地址（HTTP {status}）：请管理员把最终地址写进 [search] {name}_url",
                f"search engine {name} redirects to another address (HTTP {status}); put the final one in "
                f"[search] {name}_url",
            )
        )
    return UpstreamError(
        Text(
            f"搜索引擎 {name} 出错（HTTP {status}），请稍后再试",
            f"search engine {name} failed (HTTP {status}); try again later",
        )
    )
