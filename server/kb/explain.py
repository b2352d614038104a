"""Why a question brings these hits, and why a passage that somebody expected is not among them."""

from dataclasses import dataclass, replace
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from server.core.i18n import Text
from server.db.session import Database
from server.kb import chunk_repository, document_repository, lexical_repository
from server.kb.files import name_key
from server.kb.fusion import Candidate
from server.kb.hits import Hit, Trace, Within
from server.kb.lexical_repository import StoredPassage
from server.kb.models import SEARCHED, KnowledgeBase, Slot
from server.kb.retriever import Retriever
from server.kb.style import Style
from server.kb.visibility import Viewer

Reason = Literal[
    "hit", "unknown", "not_ready", "not_embedded", "filter", "depth", "threshold", "duplicate", "rank", "gone"
]

# Candidates that are told with their text, and passages of an expected file that are looked at.
_TOLD, _EXPECTED = 30, 500


@dataclass(frozen=True, slots=True)
class Expected:
    """What should have been found: a passage by its id, a file, words that stand in a passage, or words in a file."""

    chunk_id: int | None = None
    file_name: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Why:
    """What became of it. `candidate`: how the best of its passages fared, unless there is none."""

    reason: Reason
    words: Text
    candidate: Candidate | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The hits, all candidates of the trace with their passages, and why of the expected one."""

    style: Style
    hits: list[Hit]
    trace: Trace
    passages: dict[int, StoredPassage]
    why: Why | None


class Explaining:
    """Explains searches."""

    def __init__(self, database: Database, retriever: Retriever) -> None:
        self._database, self._retriever = database, retriever

    async def explain(
        self,
        kb: KnowledgeBase,
        question: str,
        within: Within,
        *,
        top_k: int,
        threshold: float | None,
        style: Style,
        expected: Expected | None = None,
    ) -> Explanation:
        """Search, and look where `expected` has come. Raises as `Retriever.search`."""
        ids: list[int] = []
        reason: Reason = "unknown"
        if expected is not None:
            async with self._database.read() as session:
                ids, reason = await _resolve(session, kb, within.viewer, expected)
        hits, trace = await self._retriever.search(
            [kb],
            question,
            within,
            top_k=top_k,
            threshold=threshold,
            style=style,
            expected=frozenset(ids),
        )
        mine = [found for found in trace.candidates if found.chunk_id in ids]
        best = min(mine, key=lambda found: found.order, default=None)
        told = [*trace.candidates[:_TOLD], *([best] if best else [])]
        async with self._database.read() as session:
            passages = await lexical_repository.load_passages(
                session, [found.chunk_id for found in told], within.viewer, kb.client_id
            )
        if expected is None:
            why = None
        elif best is None:
            why = Why(reason, _MISSING[reason])
        else:
            why = _judge(best, trace, top_k=top_k)
        return Explanation(style, hits, trace, passages, why)


async def _resolve(
    session: AsyncSession, kb: KnowledgeBase, viewer: Viewer, expected: Expected
) -> tuple[list[int], Reason]:
    """The searchable passages that are meant, and what to say when there is none."""
    if expected.chunk_id is not None:
        ids = await chunk_repository.find_chunk_ids(session, kb, viewer, limit=1, chunk_id=expected.chunk_id)
        return ids, "unknown"
    document_id = None
    if expected.file_name is not None:
        versions = await document_repository.find_seen(session, kb, viewer, name_key(expected.file_name))
        live = versions.get(Slot.LIVE)
        if live is None or live.state not in SEARCHED:
            return [], "not_ready" if versions else "unknown"
        document_id = live.id
    ids = await chunk_repository.find_chunk_ids(
        session, kb, viewer, limit=_EXPECTED, document_id=document_id, containing=expected.text
    )
    return ids, "unknown"


_MISSING: dict[Reason, Text] = {
    "unknown": Text(
        "知识库里没有这样的段落：检查文件名，或者看看这句话是否真在文件里、有没有被切在两段之间",
        "the knowledge base has no such passage: check the name, or whether these words stand in the file and were not cut in two",
    ),
    "not_ready": Text(
        "这个文件还不能检索：等它处理完，或看看它为什么失败",
        "this file cannot be searched yet: wait until it is ready, or see why it failed",
    ),
    "gone": Text(
        "这个段落刚刚被替换或删除，请再试一次", "this passage was replaced or deleted just now; try again"
    ),
}


_NOT_EMBEDDED = Text(
    "该文件尚未向量化，目前只按词匹配，而且不够靠前：等它处理完再试",
    "its file is not embedded yet: only its words count, and they do not suffice; try again when it is done",
)


def _judge(found: Candidate, trace: Trace, *, top_k: int) -> Why:
    """In words, with what would have to change."""
    if not found.is_embedded and found.outcome in ("threshold", "rank", "depth"):
        return Why("not_embedded", _NOT_EMBEDDED, found)
    match found.outcome:
        case "hit":
            chosen = sum(
                1 for other in trace.candidates if other.outcome == "hit" and _is_before(other, found)
            )
            words = Text(f"找到了，是第 {chosen + 1} 条", f"it is hit number {chosen + 1}")
            if not found.is_embedded:
                words = Text(
                    f"{words.zh}；该文件尚未向量化，目前只按词匹配",
                    f"{words.en}; its file is not embedded yet, so that only words count",
                )
            return Why("hit", words, found)
        case "filter":
            words = Text("被筛选条件排除了：放宽筛选", "the filters leave it out: ask for less")
            return Why("filter", words, found)
        case "threshold":
            return Why("threshold", _too_far(found, *trace.limits[found.kb_id]), found)
        case "duplicate":
            words = Text(
                "与排在前面的一条说的相同，只取一条（检索设置里的“内容重复的段落只留一段”，collapse）",
                "a better hit says the same, and one of them is shown (`collapse` of the knowledge base)",
            )
            return Why("duplicate", words, found)
        case "rank":
            words = Text(
                f"排在第 {found.order[1]} 位，只取前 {top_k} 段：多取几段（top_k），或看看排在前面的为什么更像",
                f"it ranks {found.order[1]}, and {top_k} are taken: raise top_k, or see why those before it look better",
            )
            return Why("rank", words, found)
        case _:
            return Why("depth", _too_deep(found), found)


def _too_far(found: Candidate, farthest: float, least: float | None) -> Text:
    if found.score > farthest or least is None:
        return Text(
            f"相似度 {1 - found.score / 2:.1%} 低于阈值 {1 - farthest / 2:.1%}：调低相似度门槛，"
            f"也就是把 score_threshold（距离）从 {farthest:g} 提高到 {found.score + 0.001:.3f} 以上",
            f"it is like the question by {1 - found.score / 2:.1%}, less than {1 - farthest / 2:.1%}: raise score_threshold, the "
            f"distance, from {farthest:g} above {found.score:.3f}",
        )
    return Text(
        f"与问题的匹配程度 {found.fused:.2f} 低于该知识库校准出的门槛 {least:g}：用真实问题重新校准，不用校准的结果，或在请求里给出 score_threshold",
        f"it is worth {found.fused:.2f} to the question, less than the {least:g} that this knowledge base was calibrated to: "
        "calibrate again by questions that people ask, forget the calibration, or give a score_threshold",
    )


def _too_deep(found: Candidate) -> Text:
    """Neither of the two searches came so far."""
    if not found.words:
        return Text(
            "意思相差较远，也没有与问题相同的词：换个说法提问，给知识库加同义词，或在文件里写上人们会用的词",
            "it is far from the question's meaning and shares no word with it: ask in other words, give the knowledge base synonyms, "
            "or write into the file what people call it",
        )
    return Text(
        "与问题相同的词太常见，意思也不够近：问得更具体些，或把这些常见词设为停用词",
        "the words it shares with the question are too common, and its meaning is not near enough: ask more precisely, or make "
        "those words stop words",
    )


def _is_before(one: Candidate, other: Candidate) -> bool:
    return one.order < other.order


def tried(style: Style, changes: dict[str, object]) -> Style:
    """A style with some of its settings changed, for one search."""
    return replace(style, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]
