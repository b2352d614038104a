"""What SQLAlchemy compiles, kept for all tests of a process.

It compiles a statement once for each engine, and each test has an engine of its own: a seventh of the tests' processor time
went into compiling the same statements again.
"""

from typing import Any

from sqlalchemy import util
from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect


def share_compiled_statements() -> None:
    """Engines whose dialects are of one class find what the others compiled."""
    compiled: util.LRUCache[Any, Any] = util.LRUCache(5000)
    setattr(Engine, "_compiled_cache", property(lambda _engine: compiled, lambda _engine, _own: None))  # noqa: B010
    setattr(DefaultDialect, "__hash__", lambda dialect: hash(type(dialect)))  # noqa: B010
    setattr(DefaultDialect, "__eq__", lambda dialect, other: type(dialect) is type(other))  # noqa: B010
