"""Text in pictures, by RapidOCR: its models come inside its package, nothing is fetched. One thread."""

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

from server.kb.loaders.errors import library
from server.kb.loaders.reading_order import Box, lines_of

# The longer side of what is looked at at once; letters stay large enough, at 170 dpi of an A4 page. What is much longer
# than wide (a screenshot of a long talk) is looked at in strips, which end between lines.
_MAX_SIDE, _MAX_WIDTH, _LONG = 2000, 1400, 2.0
_STRIP, _LEEWAY, _MAX_STRIPS = 1600, 150, 30
_MIN_SCORE = 0.5
# Text that stands upright is read with more certainty than this.
_UPRIGHT = 0.75
# Pages that lie on their side: most boxes are this much higher than wide.
_TALL, _MOST = 1.5, 0.6

Picture = Any  # a NumPy array of height, width and RGB


class _Found(NamedTuple):
    boxes: list[tuple[Box, float]]  # with how sure it is of each
    score: float  # the mean of all characters


@cache
def has_ocr() -> bool:
    """Is there what reads pictures? Looks for the packages and imports none."""
    return all(find_spec(package) is not None for package in ("rapidocr", "onnxruntime", "PIL"))


def best_scale(width: float, height: float) -> float:
    """By what to multiply the sides of a picture so that its text is recognised best."""
    long, short = max(width, height, 1.0), max(min(width, height), 1.0)
    if long <= _LONG * short:
        return _MAX_SIDE / long
    return min(_MAX_WIDTH / short, _MAX_STRIPS * _STRIP / long)


def recognise(picture: Picture) -> str:
    """The lines of a picture in reading order; nothing when there are none."""
    with library("OCR"):
        return "\n".join(text for strip in _strips(picture) if (text := _read(strip)))


def _strips(picture: Picture) -> Iterator[Picture]:
    height, width = picture.shape[:2]
    if height <= _MAX_SIDE or height <= _LONG * width:
        yield picture
        return
    # Rows of pixels in which nothing changes are between lines.
    unrest = picture.min(axis=2).astype("int16").std(axis=1)
    top = 0
    while height - top > _STRIP:
        start = top + _STRIP - _LEEWAY
        cut = start + int(unrest[start : start + _LEEWAY].argmin()) + 1
        yield picture[top:cut]
        top = cut
    yield picture[top:]


def _read(picture: Picture) -> str:
    found = _find(picture)
    if _lies_on_its_side(found.boxes):
        # Tall boxes are turned before they are read, so the score of this one says nothing.
        found = max((_find(_turn(picture, turns)) for turns in (1, 3)), key=lambda one: one.score)
    elif found.boxes and found.score < _UPRIGHT:
        found = max(found, _find(_turn(picture, 2)), key=lambda one: one.score)
    return "\n".join(lines_of([box for box, score in found.boxes if score >= _MIN_SCORE]))


def _turn(picture: Picture, turns: int) -> Picture:
    import numpy as np

    return np.ascontiguousarray(np.rot90(picture, turns))


def _find(picture: Picture) -> _Found:
    # Without the part that turns single lines upside down: pages are turned as a whole.
    result = _engine()(picture, use_cls=False)
    if result.boxes is None:
        return _Found([], 0.0)
    boxes = [
        (_box(corners, text), float(score))
        for corners, text, score in zip(result.boxes, result.txts, result.scores, strict=True)
        if text.strip()
    ]
    characters = sum(len(box.text) for box, _ in boxes)
    return _Found(boxes, sum(len(box.text) * score for box, score in boxes) / max(characters, 1))


def _box(corners: Any, text: str) -> Box:
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return Box(left, top, right, bottom, text)


def _lies_on_its_side(boxes: Sequence[tuple[Box, float]]) -> bool:
    long = [box for box, _ in boxes if len(box.text) > 1]
    tall = sum(box.bottom - box.top > _TALL * (box.right - box.left) for box in long)
    return len(long) > 1 and tall > _MOST * len(long)


@cache
def _engine() -> Any:
    import cv2
    from rapidocr import RapidOCR

    cv2.setNumThreads(1)
    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.max_side_len": _MAX_SIDE,
            "Global.text_score": 0.0,
            **threads,
        }
    )
