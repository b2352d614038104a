"""Who may see which document: the one rule that searches, lists, counts and downloads ask.

A document whose `visible_to` is None is seen by everybody who reads its knowledge base. Any other is seen, within the client that
the knowledge base belongs to, by whom it names and by those who may change it (`kb:write`). To everybody else it does not exist.
"""

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import Boolean, ColumnElement, bindparam, cast, exists, func, literal_column, or_, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from server.auth.principal import Principal, Scope
from server.kb.models import Document

Viewer = Principal | None
"""Who looks; None is the server itself, which sees everything."""

PUBLIC = Principal("", "", "", frozenset())
"""One who sees what everybody sees, and no more: what is measured for all must not tell of the rest."""


def may_see(viewer: Viewer, client_id: str, visible_to: Collection[str] | None) -> bool:
    """May they see a document of a knowledge base of this client?"""
    if visible_to is None or _sees_all(viewer, client_id):
        return True
    return viewer is not None and viewer.client_id == client_id and viewer.user_id in visible_to


def visible(viewer: Viewer, client_id: str | None) -> ColumnElement[bool]:
    """The same as a condition on `Document`. `client_id`: None for any but the viewer's."""
    if viewer is None or _sees_all(viewer, client_id):
        return true()
    is_public = Document.visible_to.is_(None)
    if viewer.client_id != client_id:
        return is_public
    # As JSON: MariaDB compares it as it is written.
    return or_(is_public, _Names(Document.visible_to, bindparam("viewer", json.dumps(viewer.user_id))))


def _sees_all(viewer: Viewer, client_id: str | None) -> bool:
    return viewer is None or (viewer.client_id == client_id and viewer.may(Scope.KB_WRITE))


class _Names(FunctionElement[bool]):
    """Does a list in JSON have this string, in JSON as well?"""

    type = Boolean()
    inherit_cache = True


@compiles(_Names, "sqlite")
def _in_sqlite(element: _Names, compiler: SQLCompiler, **options: Any) -> str:
    names, name = element.clauses
    each = func.json_each(names).table_valued("value")
    return compiler.process(
        exists().where(each.c.value == func.json_extract(name, literal_column("'$'"))), **options
    )


@compiles(_Names, "postgresql")
def _in_postgresql(element: _Names, compiler: SQLCompiler, **options: Any) -> str:
    names, name = element.clauses
    return compiler.process(cast(names, JSONB).contains(cast(name, JSONB)), **options)


@compiles(_Names)
def _in_mariadb(element: _Names, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(func.json_contains(*element.clauses), **options)
