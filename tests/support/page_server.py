"""The product for the page's tests in a browser: real processes, the bundled embedder, the samples, and a stand-in for a
vendor. Says where it is on one line of JSON, and ends when its standard input does. Started by web/e2e/server.ts.
"""

import json
import sys
import tempfile
from pathlib import Path

import httpx2

from server.auth.demo import read_passphrase
from tests.support.live import Server, wait_until
from tests.support.provider import KEY, provider_server

# The samples belong to the demo's client, and so do the people of these tests.
_CLIENT = "0"
_PEOPLE = {"editor": "manager", "reader": "reader"}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, provider_server() as provider:
        environ = {"LLM__DEFAULT": "page", "LLM__PAGE__BASE_URL": provider.openai}
        environ |= {"LLM__PAGE__MODEL": "page", "LLM__PAGE__API_KEY": KEY}
        with Server(Path(folder), **environ) as server:
            tokens = {name: _person(server, name, role) for name, role in _PEOPLE.items()}
            _wait_for_samples(server, tokens["editor"])
            told = {
                "port": server.port,
                "passphrase": read_passphrase(Path(folder) / "data"),
                "tokens": tokens,
            }
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
            sys.stdin.read()


def _person(server: Server, name: str, role: str) -> str:
    """An api_token of somebody who has this role."""
    token = server.cli("token", "make", "--client", _CLIENT, "--user", name, "--name", name.title()).strip()
    _login(server, token)
    server.cli("user", "role", "--client", _CLIENT, "--user", name, role)
    return token


def _login(server: Server, token: str) -> str:
    answer = httpx2.post(f"{server.base}/auth/session", json={"api_token": token}, timeout=60)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"]["session_token"])


def _wait_for_samples(server: Server, token: str) -> None:
    http = server.http(Authorization=f"Bearer {_login(server, token)}")

    def are_read() -> bool:
        bases = http.get("/knowledge_base/list_knowledge_bases_v2").json()["data"]
        path = "/knowledge_base/documents"
        found = [http.get(path, params={"knowledge_base_name": one["kb_name"]}).json() for one in bases]
        rows = [row for answer in found for row in answer["data"]["items"]]
        return bool(rows) and all(row["state"] == "ready" for row in rows)

    wait_until(are_read, seconds=120)


if __name__ == "__main__":
    main()
