"""What people are told when a provider fails. One function per way of failing, shared by all adapters."""

import re
from collections.abc import Mapping
from datetime import timedelta

from server.core.errors import (
    UpstreamBusy,
    UpstreamCut,
    UpstreamEmpty,
    UpstreamError,
    UpstreamKeyMissing,
    UpstreamKeyRefused,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from server.core.i18n import Text

_SECONDS = re.compile(r"[0-9]{1,6}")


def key_missing(model: str) -> UpstreamKeyMissing:
    variable = f"LLM__{re.sub(r'[^A-Z0-9]', '_', model.upper())}__API_KEY"
    return UpstreamKeyMissing(
        Text(
            f"模型 {model} 还没有配置密钥：请管理员设置环境变量 {variable} 或 [llm.{model}] api_key",
            f"model {model} has no key yet: set the environment variable {variable} or [llm.{model}] api_key",
        )
    )


def key_refused(model: str) -> UpstreamKeyRefused:
    return UpstreamKeyRefused(
        Text(
            f"模型服务 {model} 拒绝了密钥，请管理员检查密钥是否正确、是否有权使用该模型",
            f"the provider of {model} refused the key; check that it is right and may use this model",
        )
    )


def by_status(model: str, status: int, headers: Mapping[str, str]) -> UpstreamError:
    """The error for an HTTP status of the provider. Its own words are not repeated: they may quote the key."""
    if status in (401, 403):
        return key_refused(model)
    if status == 402:
        return UpstreamRefused(
            Text(
                f"模型服务 {model} 的账户余额不足，请管理员充值",
                f"the account at the provider of {model} is out of credit; top it up",
            )
        )
    if status == 429:
        after = headers.get("retry-after", "")
        return UpstreamBusy(
            Text(
                f"模型服务 {model} 繁忙或额度已用完，请稍后再试",
                f"the provider of {model} is busy or the quota is used up; try again later",
            ),
            retry_after=int(after) if _SECONDS.fullmatch(after) else None,
        )
    if 300 <= status < 400:
        return UpstreamRefused(
            Text(
                f"模型服务 {model} 把请求转到别的地址（HTTP {status}），密钥不会跟过去：请管理员把最终地址写进 base_url",
                f"the provider of {model} redirects to another address (HTTP {status}), where the key is not sent; "
                "put the final address in base_url",
            )
        )
    if status in (408, 504):
        return timed_out(model)
    if status >= 500:
        return UpstreamError(
            Text(
                f"模型服务 {model} 出错（HTTP {status}），请稍后再试",
                f"the provider of {model} failed (HTTP {status}); try again later",
            )
        )
    return UpstreamRefused(
        Text(
            f"模型服务 {model} 不接受这次请求（HTTP {status}），请管理员检查模型名和参数",
            f"the provider of {model} refused this request (HTTP {status}); check model name and parameters",
        )
    )


def timed_out(model: str) -> UpstreamTimeout:
    return UpstreamTimeout(
        Text(
            f"模型服务 {model} 响应超时，请稍后再试",
            f"the provider of {model} did not answer in time; try again later",
        )
    )


def unreachable(model: str) -> UpstreamUnreachable:
    return UpstreamUnreachable(
        Text(
            f"连接不上模型服务 {model}，请管理员检查网络和 base_url",
            f"the provider of {model} cannot be reached; check the network and base_url",
        )
    )


def cut(model: str) -> UpstreamCut:
    return UpstreamCut(
        Text(
            f"模型服务 {model} 的回答中途断开，内容不完整，请重试",
            f"the answer of {model} broke off; it is incomplete, try again",
        )
    )


def too_slow(model: str, limit: timedelta) -> UpstreamCut:
    seconds = round(limit.total_seconds())
    return UpstreamCut(
        Text(
            f"模型 {model} 的回答超过了 {seconds} 秒，到此为止，内容不完整",
            f"the answer of {model} took longer than {seconds} seconds and ends here, incomplete",
        )
    )


def too_long(model: str, limit: int) -> UpstreamCut:
    return UpstreamCut(
        Text(
            f"模型 {model} 的回答超过了 {limit} 个字符，到此为止，内容不完整",
            f"the answer of {model} grew longer than {limit} characters and ends here, incomplete",
        )
    )


def oversized(model: str) -> UpstreamError:
    return UpstreamError(
        Text(
            f"模型服务 {model} 一次发来的数据过大，已拒收：请管理员检查 base_url 指向的是不是模型接口",
            f"the provider of {model} sent too much at once; check that base_url is the address of a model",
        )
    )


def no_answer(model: str) -> UpstreamEmpty:
    """Nothing was said at all: a web page instead of the API, a filter, a fault over there."""
    return UpstreamEmpty(
        Text(
            f"模型服务 {model} 没有给出任何回答，请换个问法重试；若总是如此，请管理员检查 base_url 和模型名",
            f"the provider of {model} gave no answer; ask in other words, and if it stays so check base_url and "
            "the model's name",
        )
    )


def broken(model: str) -> UpstreamError:
    return UpstreamError(
        Text(
            f"模型服务 {model} 回答时出错，请稍后再试；原因见服务日志",
            f"the provider of {model} failed while it answered; try again later, the log has the reason",
        )
    )
