"""What an integrator copies from docs/integrate works: made by its own runtime, accepted by the running product."""

import ast
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx2
import pytest

from server.core.tls import tls_context
from tests.conftest import ROOT
from tests.integrate.makers import KIT, MAKERS, SIGNERS, Maker, RefusedError
from tests.support.live import Server

pytestmark = pytest.mark.live
NUMBERS = count(1)
USER_ID = "user_id must be 1 to 64 bytes, without |, invisible characters and spaces at its ends"


@dataclass(frozen=True)
class Product:
    """A running server with the client `oa`, and the public key that its operator gave to the issuer."""

    server: Server
    pem: Path

    def accepts(self, token: str) -> bool:
        answer = httpx2.post(
            f"{self.server.base}/auth/session", headers={"Api-Token": token}, timeout=60, verify=tls_context()
        )
        assert answer.status_code in (200, 401), answer.text
        return answer.status_code == 200

    def username(self, user_id: str) -> str:
        """How the server knows the user."""
        with closing(sqlite3.connect(self.server.folder / "data" / "info.db")) as database:
            row = database.execute("select username from user where client_id = 'oa' and id = ?", (user_id,))
            return row.fetchone()[0]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("product")
    with Server(folder, AUTH__DEMO="false", AUTH__EXCHANGES_PER_ADDRESS="10000") as server:
        pem = folder / "oa_public.pem"
        server.cli("client", "add", "--id", "oa", "--out", str(pem))
        yield Product(server, pem)


@pytest.fixture(scope="module", params=MAKERS, ids=lambda build: build.__name__)
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return request.param(tmp_path_factory.mktemp("maker"))


@pytest.mark.parametrize("username", ["张三", "Alice O'Neil", "𠮷野家 😀", ""])
def test_the_server_accepts_the_token_and_knows_the_user(
    make: Maker, product: Product, username: str
) -> None:
    user_id = f"𠮷 {next(NUMBERS)}"
    assert product.accepts(make(product.pem, "oa", user_id, username))
    assert product.username(user_id) == username


def test_the_longest_name_is_accepted_and_one_byte_more_is_refused(make: Maker, product: Product) -> None:
    with pytest.raises(RefusedError) as refused:
        make(product.pem, "oa", "u", "名" * 100)
    said = re.fullmatch(
        r"(\d+) bytes too long for this key: shorten the username or leave it empty", str(refused.value)
    )
    assert said is not None, str(refused.value)
    longest = "x" * (300 - int(said[1]))
    assert product.accepts(make(product.pem, "oa", "u", longest))
    with pytest.raises(RefusedError, match=r"^1 bytes too long"):
        make(product.pem, "oa", "u", longest + "x")


@pytest.mark.parametrize(
    ("client_id", "user_id", "username", "words"),
    [
        ("o a", "u", "n", "client_id must be 1 to 32 letters, digits, _ or -"),
        ("oa\n", "u", "n", "client_id must be 1 to 32 letters, digits, _ or -"),
        ("oa", "victim|x", "n", USER_ID),
        ("oa", "工" * 22, "n", USER_ID),
        ("oa", "u ", "n", USER_ID),
        ("oa", "u\a", "n", USER_ID),
        ("oa", "zhang\u200bsan", "n", USER_ID),
        ("oa", "\ufeffu", "n", USER_ID),
        ("oa", "u", "a|b", "username must not contain |"),
    ],
)
def test_what_the_server_would_refuse_is_refused_with_words(
    make: Maker, product: Product, client_id: str, user_id: str, username: str, words: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        make(product.pem, client_id, user_id, username)
    assert str(refused.value) == words


def test_a_key_that_is_not_there_is_told_in_one_line(make: Maker, tmp_path: Path) -> None:
    with pytest.raises((RefusedError, FileNotFoundError)) as refused:
        make(tmp_path / "missing.pem", "oa", "u", "n")
    assert "missing.pem" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.fixture(scope="module", params=SIGNERS, ids=lambda build: build.__name__)
def sign(request: pytest.FixtureRequest) -> Callable[..., str]:
    return request.param()


@pytest.fixture(scope="module")
def signing_key(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key as the guide makes it, its public half registered for `oa` as k2."""
    private, public = (tmp_path_factory.mktemp("signing") / name for name in ("signing.pem", "public.pem"))
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    product.server.cli("client", "add-signing-key", "--client", "oa", "--key", "k2", str(public))
    return private


@pytest.mark.parametrize("name", ["张三", ""])
def test_the_server_accepts_a_signed_token_once(
    sign: Callable[..., str], product: Product, signing_key: Path, name: str
) -> None:
    user_id = f"signed {next(NUMBERS)}"
    token = sign(signing_key, "k2", "oa", user_id, name)
    assert product.accepts(token)
    assert product.username(user_id) == name
    assert not product.accepts(token)


def test_a_signer_tells_a_bad_key_in_one_line(
    sign: Callable[..., str], product: Product, tmp_path: Path
) -> None:
    for key in (tmp_path / "missing.pem", product.pem):
        with pytest.raises(RefusedError) as refused:
            sign(key, "k2", "oa", "u", "n")
        assert "\n" not in str(refused.value)


def test_every_language_is_linked_from_the_guide() -> None:
    languages = {folder.name for folder in KIT.iterdir() if folder.is_dir()}
    assert len(languages) == 8
    for guide in ("README.md", "README.en.md"):
        text = (KIT / guide).read_text("utf-8")
        linked = {
            path.split("/")[0]
            for path in re.findall(r"\]\(([^)#]+/[^)#]+)\)", text)
            if (KIT / path).is_file()
        }
        assert languages <= linked
        for path in re.findall(r"\]\(([^):#]+)[^)]*\)", text):
            assert (KIT / path).resolve().is_relative_to(ROOT)
            assert (KIT / path).exists(), path


# Raised where an operator gives a key or a name to the command line, never for a credential.
NOT_OF_CREDENTIALS = {"key", "private_key", "plaintext_too_long", "username"}


@pytest.mark.parametrize("guide", ["README.md", "README.en.md"])
def test_every_reason_stands_in_the_guide(guide: str) -> None:
    reasons = {
        part.value
        for path in (ROOT / "server" / "auth").glob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        if call.func.id in ("TokenError", "Mistake") and call.args
        for part in ast.walk(call.args[0])
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    } - NOT_OF_CREDENTIALS
    assert len(reasons) > 25
    text = (KIT / guide).read_text("utf-8")
    table = text[text.index("| `reason` |") :].partition("\n\n")[0]
    told = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)[1:]
    assert sorted(told) == sorted(reasons)
