"""What `kb verify` may find, each in words that say what to do. What becomes of it: mending.py."""

from dataclasses import dataclass
from enum import StrEnum

from server.core.i18n import Text


class Mend(StrEnum):
    """What `kb repair` does about a finding."""

    NOTHING = "nothing"  # somebody must: from a backup, or by uploading the file again
    REEMBED = "reembed"  # vectors are made of the passages that are there
    REREAD = "reread"  # the file is read again
    FAIL = "fail"  # the document tells its readers that its file is gone
    QUEUE = "queue"  # the worker takes it up
    FORGET = "forget"  # an earlier version loses its vectors: it is read again when it is restored
    COUNT = "count"  # the worker finds its words anew
    REBUILD_WORDS = "rebuild_words"  # the text index of the database is made anew
    REMOVE = "remove"  # a cache, or a file that nothing stands for
    LATER = "later"  # happens by itself; no fault


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it must be, or (`Mend.LATER`) not yet."""

    code: str
    mend: Mend
    text: Text
    kb: str = ""
    file: str = ""
    kb_id: str = ""
    document_id: str = ""
    path: str = ""

    @property
    def is_fault(self) -> bool:
        return self.mend != Mend.LATER


# Code → what it is, and what to do, in both languages.
TEXTS: dict[str, Text] = {
    "database_damaged": Text(
        "数据库文件已损坏：停止服务，用备份恢复（kb restore）",
        "the database file is damaged: stop the server and restore your backup (`kb restore`)",
    ),
    "words_index_damaged": Text(
        "词语索引与段落不一致：运行 kb repair 重建",
        "the index of words does not agree with the passages: `kb repair` makes it anew",
    ),
    "content_missing": Text(
        "保存的原文件丢失：从备份恢复该文件，或重新上传；仍能检索的文档不受影响",
        "the stored file is gone: restore it from your backup or upload it again; what is searchable stays so",
    ),
    "content_damaged": Text(
        "保存的原文件与上传时不同：从备份恢复该文件，或重新上传；仍能检索的文档不受影响",
        "the stored file is not the one that was uploaded: restore it from your backup or upload it again; what is searchable stays so",
    ),
    "segment_missing": Text(
        "向量文件丢失：kb repair 由段落重新计算",
        "its vectors are gone: `kb repair` makes them of its passages",
    ),
    "segment_damaged": Text(
        "向量文件损坏：kb repair 由段落重新计算",
        "its vectors are damaged: `kb repair` makes them of its passages",
    ),
    "segment_shape": Text(
        "向量数量或维度与段落不符：kb repair 由段落重新计算",
        "its vectors are not as many as its passages, or of another model: `kb repair` makes them of its passages",
    ),
    "segment_values": Text(
        "向量里有无效数值：kb repair 由段落重新计算",
        "there are numbers in its vectors that are none: `kb repair` makes them of its passages",
    ),
    "version_damaged": Text(
        "较早版本的向量丢失或损坏：kb repair 之后，恢复该版本时会重新读取文件",
        "an earlier version has lost its vectors: after `kb repair` it is read again when somebody restores it",
    ),
    "chunks_missing": Text(
        "标为就绪却没有段落：kb repair 重新读取该文件",
        "it is ready, but has no passages: `kb repair` has the file read again",
    ),
    "chunks_wrong": Text(
        "段落的数量或次序不对：kb repair 重新读取该文件",
        "its passages are not as many as they must be, or out of order: `kb repair` has the file read again",
    ),
    "words_wrong": Text(
        "词语统计与段落不符：kb repair 由后台重新统计",
        "its words are counted in other passages than it has: `kb repair` has them counted again",
    ),
    "words_waiting": Text(
        "词语还没有编入索引，后台空闲时会处理",
        "its words are not indexed yet; the worker does it when it is idle",
    ),
    "stuck": Text(
        "等待处理却没有任务：kb repair 重新排队",
        "it waits for the worker, but no job stands for it: `kb repair` queues it",
    ),
    "no_reason": Text(
        "标为失败却没有原因：kb repair 补上，然后重新上传",
        "it failed without a reason: `kb repair` gives one; upload it again",
    ),
    "snapshot_damaged": Text(
        "索引快照损坏（只是缓存）：kb repair 删除，后台会重建",
        "a snapshot of its index is damaged (a cache): `kb repair` removes it, the worker makes it anew",
    ),
    "left_over": Text(
        "没有任何文档对应这个文件：kb repair 移走（原文件在 orphans/ 保留一周）",
        "no document stands for this file: `kb repair` takes it away (uploaded files stay in orphans/ for a week)",
    ),
}

_MENDS = {
    "database_damaged": Mend.NOTHING,
    "words_index_damaged": Mend.REBUILD_WORDS,
    "content_missing": Mend.NOTHING,
    "content_damaged": Mend.NOTHING,
    "chunks_missing": Mend.REREAD,
    "chunks_wrong": Mend.REREAD,
    "words_wrong": Mend.COUNT,
    "words_waiting": Mend.LATER,
    "version_damaged": Mend.FORGET,
    "stuck": Mend.QUEUE,
    "no_reason": Mend.FAIL,
    "snapshot_damaged": Mend.REMOVE,
    "left_over": Mend.REMOVE,
}


def finding(code: str, mend: Mend | None = None, **where: str) -> Finding:
    """`where`: kb, file, kb_id, document_id, path."""
    return Finding(code, mend or _MENDS.get(code, Mend.REEMBED), TEXTS[code], **where)
