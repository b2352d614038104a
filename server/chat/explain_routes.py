"""HTTP: why a question brings what it brings."""

from collections.abc import Callable

from server.auth.deps import Chatter, Reader
from server.chat.condense import condense
from server.chat.deps import Answering, AnswersDep, ShownDep
from server.chat.explain_schemas import (
    ExplainSearch,
    ExplanationOut,
    FoundOut,
    TraceOut,
    WhyOut,
)
from server.chat.history import to_rounds
from server.chat.schemas import Id32
from server.core.http import Envelope, Lang, new_router
from server.core.i18n import Language
from server.core.questions import check_length
from server.kb.analysis import highlighter
from server.kb.anchors import describe_place
from server.kb.deps import KB
from server.kb.explain import Expected, Explanation, tried
from server.kb.fusion import Candidate
from server.kb.hits import Within

router = new_router(tags=["Knowledge Base Management"])
_ROUNDS = 10


@router.post("/knowledge_base/explain")
async def explain_search(
    caller: Reader, kb: KB, answering: Answering, body: ExplainSearch, language: Lang
) -> Envelope[ExplanationOut]:
    """Search as a chat does, and tell how each passage fared; of an expected one, why it is not there and what would help."""
    check_length(body.query, answering.max_query_chars)
    found_kb = await kb.get(caller, body.knowledge_base_name)
    means = answering.chat.means
    lanes = means.lanes
    said = [(one.role, one.content) for one in body.history]
    rounds = await lanes.run("io", to_rounds, said, _ROUNDS) if said else []
    question = await condense(body.query, rounds, means.gateway.get(None))
    style = kb.retriever.style(found_kb)
    explanation = await kb.explaining.explain(
        found_kb,
        question,
        Within(caller, body.filters.wanted if body.filters else None),
        top_k=body.top_k,
        threshold=body.score_threshold,
        style=tried(style, body.settings.model_dump()) if body.settings else style,
        expected=Expected(**body.expected.model_dump()) if body.expected else None,
    )
    return Envelope(data=await lanes.run("io", _explanation_out, body.query, question, explanation, language))


@router.get("/chat/answers/{message_id}/trace")
async def trace_answer(
    caller: Chatter, answers: AnswersDep, shown: ShownDep, message_id: Id32, language: Lang
) -> Envelope[TraceOut]:
    """How the search of an answer came to its sources: the same object as an explanation's."""
    message = await answers.find(caller, message_id)
    passages = await shown.name_candidates(caller, message, language)
    return Envelope(data=TraceOut(query=message.query, trace=message.trace, passages=passages))


def _explanation_out(
    query: str, question: str, explanation: Explanation, language: Language
) -> ExplanationOut:
    style = explanation.style
    marks = highlighter(question, style.stop_words, style.synonyms)

    def told(found: Candidate) -> FoundOut:
        return _found_out(found, explanation, marks, language)

    trace, why = explanation.trace, explanation.why
    trace.question = question if question != query else None
    listed = [found for found in trace.candidates if found.chunk_id in explanation.passages]
    chosen = {hit.chunk_id: number for number, hit in enumerate(explanation.hits)}
    hits = sorted((one for one in listed if one.chunk_id in chosen), key=lambda one: chosen[one.chunk_id])
    return ExplanationOut(
        query=query,
        question=question,
        hits=[told(found) for found in hits],
        candidates=[told(found) for found in listed],
        trace=trace.to_json(),
        expected=None
        if why is None
        else WhyOut(
            found=why.reason == "hit",
            reason=why.reason,
            message=why.words.in_language(language),
            candidate=told(why.candidate) if why.candidate else None,
        ),
    )


def _found_out(
    found: Candidate,
    explanation: Explanation,
    marks: Callable[[str], list[tuple[int, int]]],
    language: Language,
) -> FoundOut:
    stored = explanation.passages.get(found.chunk_id)
    return FoundOut(
        chunk_id=found.chunk_id,
        document_id=stored.document_id if stored else None,
        file_name=stored.file_name if stored else None,
        place=describe_place(stored.file_name, stored.anchor, language) if stored else None,
        anchor=stored.anchor if stored else None,
        text=stored.text if stored else None,
        matched=marks(stored.text) if stored else [],
        outcome=found.outcome,
        rank=found.rank,
        fused=round(found.fused, 3),
        score=round(found.score, 4),
        near=round(found.near, 3),
        vector_rank=found.vector_rank,
        embedded=found.is_embedded,
        words=round(found.words, 3),
        word_rank=found.word_rank,
        rerank=found.rerank,
        rerank_rank=found.rerank_rank,
    )
