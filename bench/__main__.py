"""`python -m bench [part …]`"""

import asyncio
import sys

from bench import (
    chat,
    forms,
    identity,
    ingest,
    ingestion,
    intake,
    local_model,
    padding,
    page,
    search,
    startup,
    stores,
)
from bench.report import machine_line

PARTS = {
    "search": search.run,
    "forms": forms.run,
    "stores": stores.run,
    "ingest": ingest.run,
    "ingestion": ingestion.run,
    "intake": intake.run,
    "startup": startup.run,
    "chat": chat.run,
    "identity": identity.run,
    "padding": padding.run,
    "local_model": local_model.run,
    "page": page.run,
}


def main() -> int:
    chosen = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in chosen if name not in PARTS]:
        print(f"no such part: {', '.join(unknown)}; parts: {', '.join(PARTS)}")
        return 1
    print(machine_line())
    for name in chosen:
        asyncio.run(PARTS[name]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
