"""pgvector: a table per slot in PostgreSQL, searched exactly while it is small, and by an HNSW index of half precision beyond.

The index only chooses candidates; scores and order come from the vectors themselves, so that it takes half of the memory and
changes neither. It is built CONCURRENTLY: searches go on.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from psycopg import Cursor, sql

from server.core.settings import VectorStoreSettings
from server.kb.vectorstores.base import Found, Ids, Part, SharedIndex, StoreServer, Vectors, thinned
from server.kb.vectorstores.pg_connections import PgConnections

_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"
# Dimensions that halfvec can be indexed with; beyond them every search is exact.
_MAX_INDEXED = 4000
# Candidates per hit, and at least. `hnsw.ef_search` is as many.
_CANDIDATES, _MIN_CANDIDATES, _MAX_CANDIDATES = 10, 400, 1000
# How carefully the index is built. Of the ten closest it finds 99.0 % then, and 97.1 % with pgvector's default of 64; it takes one
# and a half times as long.
_CARE = 128
# Building an index must not wait for its memory to be written to disk.
_BUILD_MEMORY = "1GB"
# A sample is of pages, of which some have more rows than others: that much more of them than rows are wanted.
_SAMPLED = 1.3
# Bytes that say how many numbers a vector has.
_BEFORE_NUMBERS = 4


class PgServer(StoreServer):
    """A PostgreSQL."""

    def __init__(self, settings: VectorStoreSettings, database_url: str) -> None:
        timeout = settings.timeout.total_seconds()
        self.connections = PgConnections(settings.pg_url or database_url, settings.pg_schema, timeout)
        self._exact = settings.pg_exact

    def open(self, slot: str, dimension: int) -> "PgIndex":
        return PgIndex(self.connections, slot, dimension, self._exact)

    def check(self) -> None:
        with self.connections.cursor() as cursor:
            self.connections.prepare(cursor)

    def close(self) -> None:
        self.connections.close()


class PgIndex(SharedIndex):
    """One table: chunk id, segment, vector."""

    def __init__(self, connections: PgConnections, slot: str, dimension: int, exact: int) -> None:
        """`exact`: vectors up to which every one is compared."""
        super().__init__(dimension)
        self._connections, self._slot, self._exact = connections, slot, exact
        self._table = sql.Identifier(connections.schema, slot)
        self._index_name = f"{slot}_hnsw"
        # Is there an index of candidates? None: not looked yet.
        self._is_indexed: bool | None = None

    def changed(self, vectors: int | None = None) -> None:
        super().changed(vectors)
        self._is_indexed = None

    # ── changes ───────────────────────────────────────────────────────────────────────────────────────────────────

    def create(self) -> None:
        with self._connections.cursor() as cursor:
            self._connections.prepare(cursor)
            parts = {
                "table": self._table,
                "dimension": sql.Literal(self.dimension),
                "index": sql.Identifier(f"{self._slot}_segment"),
            }
            # Uncompressed and in the row: a search reads all of them.
            cursor.execute(
                sql.SQL(
                    "CREATE TABLE IF NOT EXISTS {table} (id bigint PRIMARY KEY, segment text NOT NULL, "
                    "vector vector({dimension}) NOT NULL)"
                ).format(**parts)
            )
            cursor.execute(
                sql.SQL("ALTER TABLE {table} ALTER COLUMN vector SET STORAGE PLAIN").format(**parts)
                if self.dimension * 4 < 7000
                else sql.SQL("ALTER TABLE {table} ALTER COLUMN vector SET STORAGE EXTERNAL").format(**parts)
            )
            cursor.execute(sql.SQL("CREATE INDEX IF NOT EXISTS {index} ON {table} (segment)").format(**parts))

    def put(self, parts: Sequence[Part]) -> None:
        checked = [(part.segment, *self._checked(part.ids, part.vectors)) for part in parts]
        with self._connections.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            self._delete(cursor, [segment for segment, _, _ in checked])
            # Passages that another segment of the same document had move over.
            cursor.execute(
                sql.SQL("DELETE FROM {} WHERE id = ANY(%s)").format(self._table),
                [np.concatenate([ids for _, ids, _ in checked]).tolist() if checked else []],
            )
            copy = sql.SQL("COPY {} (id, segment, vector) FROM STDIN (FORMAT BINARY)").format(self._table)
            with cursor.copy(copy) as stream:
                stream.write(_COPY_HEADER)
                for segment, ids, vectors in checked:
                    stream.write(_copy_rows(segment, ids, vectors))
                stream.write(_COPY_END)
        self.changed()

    def drop(self, segments: Collection[str]) -> None:
        with self._connections.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            self._delete(cursor, list(segments))
        self.changed()

    def _delete(self, cursor: Cursor[Any], segments: list[str]) -> None:
        cursor.execute(sql.SQL("DELETE FROM {} WHERE segment = ANY(%s)").format(self._table), [segments])

    def census(self) -> dict[str, int]:
        with self._connections.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute(sql.SQL("SELECT segment, count(*) FROM {} GROUP BY segment").format(self._table))
            return dict(cursor.fetchall())

    def count(self) -> int:
        with self._connections.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(self._table))
            (self._count,) = cursor.fetchone() or (0,)
        return self._count

    def tune(self) -> None:
        if self.count() <= self._exact or self.dimension > _MAX_INDEXED or self._has_index():
            return
        parts = {
            "table": self._table,
            "index": sql.Identifier(self._index_name),
            "place": sql.Identifier(self._connections.schema, self._index_name),
            "dimension": sql.Literal(self.dimension),
        }
        with self._connections.cursor(patient=True) as cursor:
            # Two workers, one index.
            cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [self._index_name])
            if not (cursor.fetchone() or (False,))[0]:
                return
            try:
                cursor.execute(sql.SQL("SET maintenance_work_mem = {}").format(sql.Literal(_BUILD_MEMORY)))
                # One that broke off is there, invalid.
                cursor.execute(sql.SQL("DROP INDEX IF EXISTS {place}").format(**parts))
                cursor.execute(
                    sql.SQL(
                        "CREATE INDEX CONCURRENTLY {index} ON {table} "
                        "USING hnsw ((vector::halfvec({dimension})) halfvec_ip_ops) WITH (ef_construction = {care})"
                    ).format(care=sql.Literal(_CARE), **parts)
                )
                cursor.execute(sql.SQL("ANALYZE {table}").format(**parts))
            finally:
                cursor.execute("RESET maintenance_work_mem")
                cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [self._index_name])
        self.changed()

    def _has_index(self) -> bool:
        with self._connections.cursor() as cursor:
            cursor.execute(
                "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
                "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
                [self._connections.schema, self._index_name],
            )
            row = cursor.fetchone()
        return bool(row and row[0])

    def remove(self) -> None:
        with self._connections.cursor(patient=True) as cursor:
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self._table))
        self.changed()

    # ── search ────────────────────────────────────────────────────────────────────────────────────────────────────

    def search_vector(self, vector: Vectors, k: int, among: Ids | None = None) -> Found:
        if k < 1 or (among is not None and not len(among)):
            return []
        if self._is_indexed is None:
            self._is_indexed = self._has_index()
        query = "[" + ",".join(repr(float(number)) for number in np.asarray(vector, dtype=np.float32)) + "]"
        run = self._search_all if among is not None or not self._is_indexed else self._search_index
        with self._connections.cursor() as cursor:
            run(cursor, query, k, among)
            rows = cursor.fetchall()
        # <#> is the inner product with its sign changed, so that the smallest is the closest.
        return [(chunk_id, max(0.0, 2.0 + 2.0 * negative)) for chunk_id, negative in rows]

    def _search_all(self, cursor: Cursor[Any], query: str, k: int, among: Ids | None) -> None:
        where = sql.SQL("" if among is None else "WHERE id = ANY(%(among)s)")
        statement = sql.SQL(
            "SELECT id, vector <#> %(query)s::vector AS far FROM {table} {where} ORDER BY far, id LIMIT %(k)s"
        )
        given = {"query": query, "k": k, "among": None if among is None else among.tolist()}
        cursor.execute(statement.format(table=self._table, where=where), given)

    def _search_index(self, cursor: Cursor[Any], query: str, k: int, _: Ids | None) -> None:
        wanted = max(k, min(_MAX_CANDIDATES, max(_MIN_CANDIDATES, _CANDIDATES * k)))
        cursor.execute(
            sql.SQL("SET LOCAL hnsw.ef_search = {}").format(sql.Literal(min(wanted, _MAX_CANDIDATES)))
        )
        statement = sql.SQL(
            "SELECT id, vector <#> %(query)s::vector AS far FROM (SELECT id, vector FROM {table} "
            "ORDER BY (vector::halfvec({dimension})) <#> %(rounded)s::halfvec({dimension}) LIMIT %(wanted)s) AS near "
            "ORDER BY far, id LIMIT %(k)s"
        ).format(table=self._table, dimension=sql.Literal(self.dimension))
        # Two parameters: one that is cast to both types would be rounded for both.
        given = {"query": query, "rounded": query, "k": k, "wanted": wanted}
        cursor.execute(statement, given)

    def sample(self, number: int, among: Ids | None = None) -> Vectors:
        share = min(100.0, 100.0 * _SAMPLED * number / max(1, self._count or self.count()))
        if among is None:
            some: sql.Composable = sql.SQL("TABLESAMPLE SYSTEM ({})").format(sql.Literal(share))
            given: list[Any] = []
        else:
            some, given = sql.SQL("WHERE id = ANY(%s)"), [thinned(among, number).tolist()]
        with self._connections.cursor() as cursor:
            # As bytes: numbers in words would take a thousand times as long to read.
            statement = sql.SQL("SELECT vector_send(vector) FROM {} {} ORDER BY id")
            cursor.execute(statement.format(self._table, some), given)
            rows = cursor.fetchall()
        data = b"".join(row[_BEFORE_NUMBERS:] for (row,) in thinned(rows, number))
        return np.frombuffer(data, ">f4").astype(np.float32).reshape(-1, self.dimension)


def _copy_rows(segment: str, ids: Ids, vectors: Vectors) -> bytes:
    """Rows as COPY reads them in binary: the fields' number, then the length and the bytes of each; big end first."""
    name, dimension = segment.encode(), vectors.shape[1]
    row = np.dtype(
        [
            ("fields", ">i2"),
            ("id_size", ">i4"),
            ("id", ">i8"),
            ("name_size", ">i4"),
            ("name", f"S{len(name)}"),
            ("vector_size", ">i4"),
            ("dimension", ">i2"),
            ("unused", ">i2"),
            ("vector", ">f4", (dimension,)),
        ]
    )
    rows = np.zeros(len(ids), row)
    rows["fields"], rows["id_size"], rows["id"] = 3, 8, ids
    rows["name_size"], rows["name"] = len(name), name
    rows["vector_size"], rows["dimension"], rows["vector"] = 4 + 4 * dimension, dimension, vectors
    return rows.tobytes()
