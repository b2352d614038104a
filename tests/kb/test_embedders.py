"""Embedding models as knowledge bases use them."""

import numpy as np

from server.kb.embedders import Vectors
from server.services import Services


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
