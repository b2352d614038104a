"""A database of an earlier version keeps what it holds."""

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, select, text

from server.auth.api_token import private_pem, public_pem
from server.auth.models import Client, ClientKey
from server.auth.vault import Vault
from server.core.questions import question_key
from server.core.settings import DatabaseSettings
from server.db.session import Database
from server.db.upgrading import alembic_config, upgrade_schema
from server.kb.models import Document, Job, Question
from tests.conftest import key_pair

NOW = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def _to(connection: Connection, revision: str) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


@pytest.fixture
async def database(tmp_path: Path, request: pytest.FixtureRequest):
    if request.config.getoption("--database") != "sqlite":
        pytest.skip("the other databases change tables in place; SQLite makes them again")
    database = Database(f"sqlite:///{tmp_path / 'old.db'}", DatabaseSettings())
    yield database
    await database.close()


async def test_identity(database: Database) -> None:
    """To make the table of clients again would take all that refers to it along."""
    vault = Vault(secrets.token_bytes(32))
    key = key_pair("acme")
    async with database.engine.begin() as connection:
        await connection.run_sync(_to, "0001")
        sealed = vault.seal(private_pem(key).encode(), context="acme|ck_1")
        for statement, values in (
            ("INSERT INTO client VALUES ('acme', 'd', 1, NULL, :now)", {}),
            ("INSERT INTO client_key VALUES ('ck_1', 'acme', 'active', :pem, :sealed, :now)",
             {"pem": public_pem(key), "sealed": sealed}),
            ('INSERT INTO "user" VALUES (\'acme\', \'u1\', \'n\', \'manager\', 1, :now)', {}),
            ("INSERT INTO api_key VALUES ('ak', 'acme', 'h', 'abcd', '[\"chat\"]', 1, :now)", {}),
            ("INSERT INTO auth_session VALUES ('h', 'acme', 'u1', :now, :now, :now)", {}),
            ("INSERT INTO knowledge_base VALUES ('kb', 'acme', 'n', '', '', 0, 'faiss', 'e', '{}', 0, :now)", {}),
            ("INSERT INTO session VALUES ('s', 'acme', 'u1', 'n', 'm', '{}', :now)", {}),
        ):  # fmt: skip
            await connection.execute(text(statement), {"now": NOW, **values})
    await upgrade_schema(database)
    async with database.read() as session:
        client = await session.get_one(Client, "acme")
        pair = await session.get_one(ClientKey, "ck_1")
        left = {
            table: (await session.execute(text(f'SELECT count(*) FROM "{table}"'))).scalar_one()
            for table in ("user", "api_key", "auth_session", "knowledge_base", "session")
        }
    assert left == {"user": 1, "api_key": 1, "auth_session": 0, "knowledge_base": 1, "session": 1}
    assert (client.policy, client.frame_ancestors) == ("compat", ""), "its pages exist and go on"
    assert (client.max_blocks, client.pct_fields, client.networks) == (1, False, "")
    assert (pair.kid, pair.kind, pair.state, pair.retire_at) == ("k1", "rsa", "active", None)
    assert vault.open(pair.sealed_private or b"", context="acme|ck_1") == private_pem(key).encode()


async def test_recommended_questions_are_found_by_their_words(database: Database) -> None:
    """Those of no knowledge base stay everybody's."""
    async with database.engine.begin() as connection:
        await connection.run_sync(_to, "0006")
        for number, query in enumerate(("年假 有几天？", "HOW many  days?", "？"), 1):
            await connection.execute(
                text("INSERT INTO question VALUES (:id, NULL, :query, NULL, 3, 1, :now)"),
                {"id": number, "query": query, "now": NOW},
            )
    await upgrade_schema(database)
    async with database.read() as session:
        rows = list(await session.scalars(select(Question).order_by(Question.id)))
    assert [row.query_key for row in rows] == [question_key(row.query) for row in rows]
    assert [(row.client_id, row.tap_count) for row in rows] == [(None, 3)] * 3


async def test_jobs_that_wait_take_turns(database: Database) -> None:
    """What was being embedded is read from the beginning, as its passages are not there yet."""
    async with database.engine.begin() as connection:
        await connection.run_sync(_to, "0015")
        for client in ("a", "b"):
            for statement in (
                "INSERT INTO client (id, description, enabled, policy, max_blocks, pct_fields, networks, frame_ancestors, created_at)"
                " VALUES (:client, '', 1, 'compat', 1, 0, '', '', :now)",
                "INSERT INTO knowledge_base (id, client_id, name, zh_name, info, shared, vector_store, embed_model, fingerprint,"
                " generation, created_at) VALUES (:client, :client, 'n', '', '', 0, 'faiss', 'e', '{}', 0, :now)",
                "INSERT INTO document (id, kb_id, file_name, name_key, slot, suffix, size, sha256, state, chunking, char_count,"
                " chunk_count, created_at) VALUES (:client, :client, 'f', 'f', 'live', '.txt', 1, '', 'embedding', '{}', 0, 0, :now)",
            ):
                await connection.execute(text(statement), {"client": client, "now": NOW})
        for number, client in enumerate("aaab"):
            await connection.execute(
                text(
                    "INSERT INTO job (id, kind, kb_id, document_id, state, done, total, attempts, created_at)"
                    " VALUES (:id, 'ingest', :client, :client, 'waiting', 0, 0, 0, :now)"
                ),
                {"id": f"{client}{number}", "client": client, "now": NOW + timedelta(seconds=number)},
            )
    await upgrade_schema(database)
    async with database.read() as session:
        jobs = list(await session.scalars(select(Job).order_by(Job.turn, Job.created_at)))
        states = set(await session.scalars(select(Document.state)))
    assert [job.id for job in jobs] == ["a0", "b3", "a1", "a2"]
    assert [job.client_id for job in jobs] == ["a", "b", "a", "a"]
    assert all(job.changed_at == job.created_at for job in jobs)
    assert states == {"waiting"}
