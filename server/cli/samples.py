"""The knowledge base that a first start has: a company's handbook, to ask something at once."""

import csv

from tqdm import tqdm

from server.auth.principal import Principal, Scope
from server.auth.users import DEMO_CLIENT
from server.core.setting_kinds import ROOT
from server.core.settings import Settings
from server.kb.models import DocumentState, KnowledgeBase, Question
from server.kb.uploads import Upload
from server.services import Services, open_services
from server.worker import open_worker

SAMPLES = ROOT / "knowledge_base" / "samples" / "handbook"
SAMPLE_KB = "handbook"


async def make_sample_kb(settings: Settings) -> None:
    """Upload the sample documents as any caller would, and read them with a bar to look at."""
    async with open_services(settings, engine=False) as services:
        await _make(services)


async def _make(services: Services) -> None:
    operator = Principal(DEMO_CLIENT, "init_db", "", frozenset(Scope))
    kb = await services.kb.create(
        operator,
        SAMPLE_KB,
        zh_name="示例：员工手册",
        info="一家虚构公司的员工手册、报销制度、资产通讯录和信息安全须知",
    )
    async with services.database.write() as session:
        row = await session.get_one(KnowledgeBase, kb.id)
        row.shared = True
        session.add_all(_questions(kb.id, services))
    paths = sorted(path for path in SAMPLES.iterdir() if path.suffix != ".csv")
    for path in paths:
        with path.open("rb") as file:
            upload = Upload(path.name, path.stat().st_size, file)
            await services.kb.uploads.take(kb, upload, services.kb.choose_chunking())
    with tqdm(total=len(paths), desc="sample documents", unit="file", disable=None) as bar:
        async with open_worker(services) as worker:
            while await worker.step():
                bar.update()
    documents, total = await services.kb.list_documents(operator, SAMPLE_KB)
    ready = sum(document.state == DocumentState.READY for document in documents)
    print(f"sample knowledge base '{SAMPLE_KB}': {ready} of {total} documents ready")


def _questions(kb_id: str, services: Services) -> list[Question]:
    with (SAMPLES / "questions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Question(kb_id=kb_id, query=row["query"], created_at=services.runtime.clock.now()) for row in rows
    ]
