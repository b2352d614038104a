import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from embeddings import EmbedderConfig, EmbeddingError, Fingerprint
from embeddings.base import Embedder, Vectors
from embeddings.bundled import BundledEmbedder

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["年假有几天？", "The travel allowance is 400 yuan a night.", "出差住宿标准为每晚四百元。"]


def test_vectors_have_length_one_and_384_dimensions(bundled: BundledEmbedder) -> None:
    passages, question = bundled.embed_passages(TEXTS), bundled.embed_question(TEXTS[0])
    assert passages.shape == (3, 384)
    assert question.shape == (384,)
    assert passages.dtype == question.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm([*passages, question], axis=1), 1, atol=1e-5)


def test_a_question_is_not_embedded_as_a_passage(bundled: BundledEmbedder) -> None:
    cosine = bundled.embed_question(TEXTS[0]) @ bundled.embed_passages(TEXTS[:1])[0]
    assert 0.7 < cosine < 0.999


def test_a_question_is_nearest_to_its_answer(bundled: BundledEmbedder) -> None:
    passages = bundled.embed_passages(
        ["年休假：工作满一年的五天。", "报销须附发票原件。", "会议室须提前一天预订。"]
    )
    assert np.argmax(passages @ bundled.embed_question("我可以休几天年假？")) == 0


def test_no_texts_give_no_rows(bundled: BundledEmbedder) -> None:
    assert bundled.embed_passages([]).shape == (0, 384)
    assert bundled.embed_documents([]) == []


@pytest.mark.parametrize(
    "text", ["", " ", "\0", "年假\0有几天", "\ud800", "a\udfffb", "\ufeff", "👩‍👩‍👧‍👦" * 50, "🈶" * 600]
)
def test_any_text_has_a_vector(bundled: BundledEmbedder, text: str) -> None:
    vectors = np.stack([*bundled.embed_passages([text, text]), bundled.embed_question(text)])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_character_that_is_written_out_as_eighteen_does_no_harm() -> None:
    """In a process of its own: what is written over the end of a buffer ends it, now or later."""
    code = (
        "from embeddings import EmbedderConfig\n"
        "from embeddings.bundled import BundledEmbedder\n"
        "model = BundledEmbedder(EmbedderConfig('e5-small', 'bundled', threads=1))\n"
        "model.embed_passages(['ﷺ' * 60] * 2)\n"
        "same = model.embed_question('ﷺ') @ model.embed_question('صلى الله عليه وسلم')\n"
        "assert same > 0.9999, same\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_nul_does_not_end_the_text(bundled: BundledEmbedder) -> None:
    whole, cut = bundled.embed_passages(["年假\0差旅报销标准", "年假"])
    spaced = bundled.embed_passages(["年假 差旅报销标准"])[0]
    assert whole @ spaced > 0.9999 > whole @ cut


def test_a_text_of_100_kb_has_a_vector_of_its_whole(bundled: BundledEmbedder) -> None:
    # Georgian words of one token and 48 bytes, so that it does not take long.
    head, tail = "წარმომადგენლები " * 1100, "მუნიციპალიტეტის " * 1100
    assert len((head + tail).encode()) > 100_000
    both, first, last = (
        bundled.embed_passages([text])[0] for text in (head + tail, head[:8000], tail[:8000])
    )
    assert both @ first > first @ last
    assert both @ last > first @ last


def test_langchain_reads_the_same_numbers(bundled: BundledEmbedder) -> None:
    rows, row = bundled.embed_documents(TEXTS), bundled.embed_query(TEXTS[0])
    assert all(type(number) is float for number in [*rows[0], *row])
    np.testing.assert_array_equal(np.array(rows, np.float32), bundled.embed_passages(TEXTS))
    np.testing.assert_array_equal(np.array(row, np.float32), bundled.embed_question(TEXTS[0]))


def test_threads_get_their_own_answers(bundled: BundledEmbedder) -> None:
    texts = [f"第{n}条：本条规定第{n}类费用的标准。" for n in range(24)]
    alone = np.stack([bundled.embed_question(text) for text in texts])
    with ThreadPoolExecutor(8) as threads:
        together = np.stack(list(threads.map(bundled.embed_question, texts)))
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_waiting_threads_sleep() -> None:
    """Else a question takes seconds on a busy machine; the library reads it from the environment of the process."""
    code = (
        "from embeddings import EmbedderConfig, load_embedder; load_embedder(EmbedderConfig('m', 'bundled'))"
    )
    code += "; import subprocess; subprocess.run(['printenv', 'OMP_WAIT_POLICY'], check=True)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "passive\n"


def test_a_fingerprint_survives_json(bundled: BundledEmbedder) -> None:
    mine = bundled.fingerprint()
    read = Fingerprint.from_json(json.loads(json.dumps(mine.to_json())))
    assert read.matches(mine)
    assert mine.matches(read)
    assert (read.model, read.dimension) == ("e5-small", 384)
    assert mine is bundled.fingerprint()


def test_a_fingerprint_of_other_vectors_does_not_match(bundled: BundledEmbedder) -> None:
    mine = bundled.fingerprint()
    one_probe_moved = mine.probe[:384] + mine.probe[:384]
    assert not mine.matches(Fingerprint("e5-small", 384, one_probe_moved))
    assert not mine.matches(Fingerprint("e5-small", 192, mine.probe))
    assert not mine.matches(Fingerprint("e5-small", 384, mine.probe[:384]))


class Wrong(Embedder):
    """Answers with what it is given."""

    def __init__(self, rows: Vectors) -> None:
        super().__init__(EmbedderConfig("wrong", "local"))
        self.rows = rows

    def _embed(self, texts: list[str], *, is_query: bool) -> Vectors:
        return self.rows


@pytest.mark.parametrize(
    "rows", [[[1.0, 0.0]], [1.0, 0.0], [[1.0], [0.0]], [[1.0], [np.nan]], [[1.0], [np.inf]], []]
)
def test_vectors_that_cannot_be_used_are_refused(rows: list[object]) -> None:
    with pytest.raises(EmbeddingError) as caught:
        Wrong(np.array(rows, np.float32)).embed_passages(["a", "b"])
    assert caught.value.retry
    assert "wrong" in caught.value.zh
