"""Tools that need nothing from outside: arithmetic and the time."""

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field

from server.agent.base import Arguments, Result, Tool, ToolFailed
from server.agent.calculator import CalculationError, calculate
from server.core.clock import Clock
from server.core.i18n import Text

_WEEKDAYS = "一二三四五六日"


class Expression(Arguments):
    expression: Annotated[str, Field(max_length=300)]
    """An arithmetic expression such as (3+4)*2**8 or sqrt(2)/3; no units, no words."""


class Zone(Arguments):
    timezone: Annotated[str, Field(max_length=64)] = ""
    """An IANA time zone such as Asia/Shanghai or Europe/Berlin; empty for the local time here."""


def calculator() -> Tool[Expression]:
    async def call(given: Expression) -> Result:
        try:
            return Result(calculate(given.expression))
        except CalculationError as error:
            raise ToolFailed(f"cannot be calculated: {error}") from None

    words = (
        "Exact arithmetic: + - * / // % **, brackets, sqrt, log, exp, sin, cos, round, factorial and others."
    )
    return Tool("calculator", Text("计算器", "calculator"), words, Expression, call)


def current_time(clock: Clock) -> Tool[Zone]:
    async def call(given: Zone) -> Result:
        try:
            zone = ZoneInfo(given.timezone) if given.timezone else None
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ToolFailed("no such time zone; use an IANA name such as Asia/Shanghai") from None
        return Result(describe_time(clock.now().astimezone(zone)))

    words = "Date, weekday and time now, here or in another time zone."
    return Tool("current_time", Text("时间", "time"), words, Zone, call)


def describe_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} 星期{_WEEKDAYS[moment.weekday()]} (UTC{moment.isoformat(timespec='seconds')[19:]})"
