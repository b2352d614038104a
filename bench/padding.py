"""Does the time of a refusal tell why? Medians of refused tokens by reason, for whoever reviews the padding oracle.

A report, no test: on two cores the noise of a run is larger than what is looked for. It measures the whole way from the
token to the refusal, database included, in an order that mixes the kinds.
"""

import base64
import random
import secrets
import statistics
import time

from Crypto.Cipher import PKCS1_OAEP
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA

from bench.report import Figure, show, spread
from bench.stage import CALLER, stage
from server.auth import repository
from server.auth.guard import Guard
from server.auth.service import Authenticator
from server.auth.tokens import Tokens
from server.core.errors import Unauthenticated
from server.services import Services

_SAMPLES = 1000
_GOAL, _LIMIT = 0.15, 0.50  # of a refusal with bad padding


def _tokens(public_key: RSA.RsaKey, client_id: str) -> dict[str, str]:
    """One token of each kind, new each time, so that no memory of refused ones answers."""
    size = public_key.size_in_bytes()
    noise = secrets.randbelow(public_key.n).to_bytes(size, "big")
    cipher = PKCS1_OAEP.new(public_key, hashAlgo=SHA256)
    fields = cipher.encrypt(f"{client_id}|u|{secrets.token_hex(8)}".encode())
    return {
        "bad base64": f"%{secrets.token_hex(300)}",
        "unknown client": base64.b64encode(b"nobody|" + noise).decode(),
        "bad padding": base64.b64encode(client_id.encode() + b"|" + noise).decode(),
        "good padding, bad fields": base64.b64encode(client_id.encode() + b"|" + fields).decode(),
    }


def _authenticator(services: Services) -> Authenticator:
    settings = services.settings.auth.model_copy(
        update={"failures_per_address": 10**9, "failures_per_client": 10**9}
    )
    runtime = services.runtime
    tokens = Tokens(services.database, services.vault, settings, runtime, guard := Guard(settings))
    return Authenticator(services.database, services.vault, tokens, guard, settings, runtime)


async def run() -> None:
    """Measure, and say how far an unknown client is from a known one."""
    async with stage() as services:
        async with services.database.read() as session:
            (key,) = await repository.list_keys(session, CALLER.client_id)
        public_key, authenticator = RSA.import_key(key.public_pem), _authenticator(services)
        taken: dict[str, list[float]] = {}
        for _ in range(_SAMPLES):
            kinds = list(_tokens(public_key, CALLER.client_id).items())
            random.shuffle(kinds)
            for kind, token in kinds:
                started = time.perf_counter()
                try:
                    await authenticator.authenticate(token, "192.0.2.1")
                except Unauthenticated:
                    taken.setdefault(kind, []).append((time.perf_counter() - started) * 1000)
    medians = {kind: statistics.median(values) for kind, values in taken.items()}
    gap = abs(medians["unknown client"] - medians["bad padding"]) / medians["bad padding"]
    figures = [
        Figure(kind, f"{medians[kind]:.2f} ms", raw=spread(values)) for kind, values in sorted(taken.items())
    ]
    figures.append(
        Figure(
            "unknown client against bad padding",
            f"{gap:.0%}",
            f"< {_GOAL:.0%}, alarm at {_LIMIT:.0%}",
            gap < _LIMIT,
        )
    )
    show("Padding: time of refused tokens", figures)
