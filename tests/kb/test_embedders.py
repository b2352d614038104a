"""Embedding models as knowledge bases use them."""

import numpy as np
import pytest

from server.kb.embedders import Vectors
from server.services import Services
from tests.support.api import Caller

# Its SQL is that of other tests, too: SQLite is enough.
pytestmark = pytest.mark.one_database


async def test_a_name_of_old_says_where_its_files_belong(editor: Caller, services: Services) -> None:
    body = {"knowledge_base_name": "kb", "kb_zh_name": "", "kb_info": "", "embed_model": "bge-large-zh"}
    answer = await editor.post("/knowledge_base/create_knowledge_base", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert f"{services.settings.embedding.models_dir}/bge-large-zh" in answer.json()["msg"]
    answer = await editor.post("/knowledge_base/create_knowledge_base", body | {"embed_model": "zhipu-api"})
    assert (answer.status_code, "[embedding.zhipu-api]" in answer.json()["msg"]) == (404, True)


async def test_a_long_question_is_read_at_its_beginning_and_end(services: Services) -> None:
    """So that nobody waits for somebody's pasted letter."""
    embedder = await services.embedders.get("e5-small")
    letter = "您好，我想咨询一下。" * 800

    async def vector(text: str) -> Vectors:
        return await services.embedders.embed_question(embedder, text)

    plain = await vector(letter)
    assert np.allclose(plain, await vector(f"{letter[:4000]}年假有几天？{letter[4000:]}"))
    assert not np.allclose(plain, await vector(f"{letter}年假有几天？"), atol=1e-3)
    assert not np.allclose(plain, await vector(f"年假有几天？{letter}"), atol=1e-3)
