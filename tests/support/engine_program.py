"""A stand-in for vLLM and its like: a program that is told a port and a key, and then speaks OpenAI's protocol strictly.

`python -m tests.support.engine_program --port N --key K [--how HOW]`; HOW: well, slow (ready after a second), bad
(cannot load its weights), mute (listens, never answers), env (tells its environment and ends).
"""

import argparse
import asyncio
import os
import sys

from tests.support.provider import Provider


async def _serve(port: int, key: str, how: str) -> None:
    if how == "slow":
        await asyncio.sleep(1)
    provider = Provider(key)
    server = await asyncio.start_server(
        (lambda _reader, _writer: asyncio.sleep(3600)) if how == "mute" else provider.converse,
        "127.0.0.1",
        port,
    )
    sys.stderr.write(f"serving with {key}\n")
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--key")
    parser.add_argument("--how", default="well")
    options = parser.parse_args()
    if options.how == "bad":
        sys.exit(f"weights are torn, and the key is {options.key}")
    if options.how == "env":
        names = sorted(name for name in os.environ if "__" in name or name.endswith("_API_KEY"))
        sys.exit(" ".join(names))
    asyncio.run(_serve(options.port, options.key, options.how))


if __name__ == "__main__":
    main()
