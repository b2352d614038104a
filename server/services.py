"""Builds every service once, in order, for whoever needs them: the API, the worker, the commands."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from server.agent.service import Agents
from server.agent.toolbox import Toolbox
from server.auth.foundation import open_foundation
from server.auth.guard import Guard
from server.auth.service import Authenticator
from server.auth.signon import SignOn
from server.auth.tokens import Tokens
from server.auth.vault import Vault
from server.chat.prompts import Prompts
from server.chat.service import ChatService
from server.chat.steps import Means
from server.chat.web import WebSearch
from server.core.clock import Clock
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.core.settings import Settings
from server.db.session import Database
from server.evaluation.packing import QuestionSets
from server.evaluation.repository import list_answerable
from server.kb.attachments import Attachments
from server.kb.embedders import Embedders
from server.kb.files import FileStore
from server.kb.history import History
from server.kb.indexes import Indexes
from server.kb.jobs import Jobs
from server.kb.package_export import Exports
from server.kb.package_import import Imports
from server.kb.reranking import Rerankers
from server.kb.retriever import Retriever
from server.kb.service import KBService
from server.kb.slots import Slots
from server.kb.store_servers import Servers
from server.kb.upkeep import Upkeep
from server.llm.gateway import Gateway
from server.search.engines import SearchEngines


@dataclass(frozen=True, slots=True)
class Services:
    """What one process works with."""

    settings: Settings
    runtime: Runtime
    database: Database
    vault: Vault
    files: FileStore
    embedders: Embedders
    guard: Guard
    authenticator: Authenticator
    signon: SignOn
    slots: Slots
    kb: KBService
    prompts: Prompts
    search: SearchEngines
    gateway: Gateway
    upkeep: Upkeep
    jobs: Jobs
    history: History
    exports: Exports
    imports: Imports
    attachments: Attachments
    chat: ChatService


@asynccontextmanager
async def open_services(
    settings: Settings, *, clock: Clock | None = None, engine: bool = True
) -> AsyncIterator[Services]:
    """Build the services, and close them at the end. Raises SettingsError with the remedy when something is not ready.

    `engine`: local embedding models run in the engine process; False loads them here, for commands that run alone.
    """
    async with open_foundation(settings, clock=clock) as foundation:
        runtime, database, vault = foundation.runtime, foundation.database, foundation.vault
        files = FileStore(settings.server.data_dir, settings.kb.min_free)
        embedders = Embedders(
            settings.embedding, runtime.lanes, settings.server.engine_socket if engine else None
        )
        servers = Servers(settings.vector_store, settings.database_url)
        slots = Slots(database, files, runtime, servers)
        indexes = Indexes(database, files, runtime, slots, settings)
        rerankers = Rerankers(
            settings.rerank,
            settings.embedding,
            runtime.lanes,
            settings.server.engine_socket if engine else None,
        )
        retriever = Retriever(database, embedders, indexes, runtime.lanes, rerankers, settings)
        kb = KBService(database, files, embedders, slots, retriever, runtime, settings)
        kb.calibrator.sources.append(list_answerable)
        exports = Exports(database, files, runtime)
        imports = Imports(database, files, embedders, runtime, settings)
        for packages in (exports, imports):
            packages.extras.append(QuestionSets())
        prompts = Prompts(settings.chat.prompts_dir)
        refusal = Text(settings.chat.refusal, settings.chat.refusal_en)
        gateway = Gateway(settings.llm, settings.server.supervisor_socket, refusal)
        search = SearchEngines(settings.search, runtime.lanes)
        web = WebSearch(search, embedders, settings.embedding.default, runtime.lanes)
        toolbox = Toolbox(kb, search, runtime.clock, settings.agent)
        agents = Agents(toolbox, runtime.lanes, settings.agent)
        means = Means(
            kb,
            gateway,
            prompts,
            web,
            agents,
            runtime.lanes,
            settings.server.address,
            refusal,
            only_from_sources=settings.chat.only_from_sources,
        )
        chat = ChatService(database, means, runtime, settings.chat)
        guard = Guard(settings.auth)
        tokens = Tokens(database, vault, settings.auth, runtime, guard)
        yield Services(
            settings=settings,
            runtime=runtime,
            database=database,
            vault=vault,
            files=files,
            embedders=embedders,
            guard=guard,
            authenticator=Authenticator(database, vault, tokens, guard, settings.auth, runtime),
            signon=SignOn(database, tokens, guard, settings.auth, settings.h5, runtime),
            slots=slots,
            kb=kb,
            upkeep=Upkeep(database, files, embedders, runtime, settings),
            jobs=Jobs(database, files, runtime, settings),
            history=History(database, files, runtime, settings),
            exports=exports,
            imports=imports,
            attachments=Attachments(kb, database, files, runtime),
            gateway=gateway,
            prompts=prompts,
            search=search,
            chat=chat,
        )
        await runtime.tasks.drain()
        await kb.previews.close()
        await gateway.close()
        await rerankers.close()
        await search.close()
        await toolbox.close()
        await runtime.lanes.run("io", servers.close)
