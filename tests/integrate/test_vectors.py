"""Golden tokens from foreign runtimes (scripts/make_token_vectors.py): each is read as what its maker put in."""

import json
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from Crypto.PublicKey import RSA

from server.auth.api_token import PADDINGS, PKCS1V15, TokenError, check_age, open_token, parse_token
from tests.conftest import ROOT

FOLDER = ROOT / "tests" / "data" / "tokens"
KEYS = {
    name: RSA.import_key(pair["private"])
    for name, pair in json.loads((FOLDER / "keys.json").read_text("utf-8"))["keys"].items()
}
VECTORS: list[dict[str, str]] = [
    vector | {"runtime": path.stem}
    for path in sorted(FOLDER.glob("*.json"))
    if path.name != "keys.json"
    for vector in json.loads(path.read_text("utf-8"))["vectors"]
]
OAEP = [vector for vector in VECTORS if vector["padding"] in PADDINGS]
OTHERS = [vector for vector in VECTORS if vector["padding"] not in PADDINGS]


def _name(vector: dict[str, str]) -> str:
    return "-".join(vector[part] for part in ("runtime", "padding", "key", "inner", "outer"))


@pytest.mark.parametrize("vector", OAEP, ids=_name)
def test_a_foreign_token_is_read(vector: dict[str, str]) -> None:
    client_id, user_id, username, timestamp = vector["plain"].split("|")
    made = float(timestamp) / (1000 if len(timestamp) == 13 else 1)
    claims = open_token(parse_token(vector["token"]), KEYS[vector["key"]])
    assert (claims.client_id, claims.user_id, claims.username) == (client_id, user_id, username)
    assert claims.issued_at == datetime.fromtimestamp(made, UTC)
    assert claims.padding == vector["padding"]
    check_age(claims, claims.issued_at, max_age=timedelta(hours=8), max_skew=timedelta(minutes=5))


@pytest.mark.parametrize("vector", OTHERS, ids=_name)
def test_pkcs1_v15_is_refused(vector: dict[str, str]) -> None:
    with pytest.raises(TokenError, match="decrypt"):
        open_token(parse_token(vector["token"]), KEYS[vector["key"]])


@pytest.mark.parametrize("vector", OTHERS, ids=_name)
def test_pkcs1_v15_is_read_where_it_is_allowed(vector: dict[str, str]) -> None:
    claims = open_token(parse_token(vector["token"]), KEYS[vector["key"]], [PKCS1V15])
    assert (claims.client_id, claims.user_id, claims.username) == tuple(vector["plain"].split("|")[:3])


@pytest.mark.parametrize("vector", OAEP, ids=_name)
def test_a_foreign_token_is_read_with_no_other_key(vector: dict[str, str]) -> None:
    for name in set(KEYS) - {vector["key"]}:
        with pytest.raises(TokenError):
            open_token(parse_token(vector["token"]), KEYS[name])


def test_the_vectors_cover_what_issuers_do() -> None:
    def seen(*parts: str, among: list[dict[str, Any]] = VECTORS) -> set[tuple[str, ...]]:
        return {tuple(vector[part] for part in parts) for vector in among}

    assert len(OAEP) >= 40
    forms = product(("raw", "base64"), ("standard", "url-safe", "unpadded", "lines"))
    assert seen("inner", "outer", among=OAEP) == set(forms)
    assert seen("padding", "key", among=OAEP) == set(product(PADDINGS, KEYS))
    assert {runtime for (runtime,) in seen("runtime")} >= {
        "java",
        "bouncycastle",
        "php",
        "node",
        "webcrypto",
        "jsencrypt",
        "go",
        "csharp",
        "dotnet",
        "openssl",
        "python",
    }
    assert any("||" in vector["plain"] for vector in OAEP)
