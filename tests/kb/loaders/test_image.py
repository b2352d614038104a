"""Pictures up to the point where their text is recognised: kinds, sizes, damage. What is recognised: test_ocr.py."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from server.kb.loaders import load, ocr
from server.kb.loaders.base import LoadLimits, Watch
from server.kb.loaders.ocr import best_scale
from server.kb.loaders.reading_order import Box, lines_of
from tests.kb.loaders.reading import read, refused, write


@pytest.fixture(autouse=True)
def pictures(monkeypatch: pytest.MonkeyPatch) -> list[ocr.Picture]:
    """What was given to OCR."""
    seen: list[ocr.Picture] = []

    def recognise(picture: ocr.Picture) -> str:
        seen.append(picture)
        return f"第 {len(seen)} 张"

    monkeypatch.setattr("server.kb.loaders.image.recognise", recognise)
    return seen


def _image(size: tuple[int, int] = (60, 40), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, 128 if mode in "L1P" else (10, 20, 30, 0)[: len(mode)])


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "webp", "tiff"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_content_decides_which_kind_it_is(tmp_path: Path, kind: str, suffix: str) -> None:
    _image().save(tmp_path / "x", kind)
    (document,) = read((tmp_path / "x").rename(tmp_path / f"a{suffix}"))
    assert (document.page_content, document.metadata) == ("第 1 张", {})


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "LA"])
def test_modes(tmp_path: Path, mode: str, pictures: list[ocr.Picture]) -> None:
    image = _image().convert(mode)
    image.save(tmp_path / "a.tiff")
    read(tmp_path / "a.tiff")
    assert pictures[0].shape == (40, 60, 3)


def test_transparent_is_white(tmp_path: Path, pictures: list[ocr.Picture]) -> None:
    _image(mode="RGBA").save(tmp_path / "a.png")
    read(tmp_path / "a.png")
    assert pictures[0].min() == 255


def test_pages_of_a_tiff(tmp_path: Path) -> None:
    _image().save(tmp_path / "a.tif", save_all=True, append_images=[_image(), _image()])
    told: list[tuple[int, int, bool]] = []
    watch = Watch(tell=lambda *message: told.append(message))
    documents = list(load(tmp_path / "a.tif", ".tif", LoadLimits(), watch))
    assert [(d.page_content, d.metadata) for d in documents] == [
        (f"第 {n} 张", {"page": n}) for n in (1, 2, 3)
    ]
    assert told == [(0, 3, True), (1, 3, True), (2, 3, True)]
    assert watch.findings.ocr_pages == [1, 2, 3]
    assert refused(tmp_path / "a.tif", LoadLimits(max_ocr_pages=2)) == "too_many_pages"


def test_a_camera_says_which_side_is_up(tmp_path: Path, pictures: list[ocr.Picture]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    _image().save(tmp_path / "a.jpg", exif=exif)
    read(tmp_path / "a.jpg")
    assert pictures[0].shape == (60, 40, 3)


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and a little of it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def test_a_flood_of_pixels_is_refused_before_it_is_unpacked(
    tmp_path: Path, pictures: list[ocr.Picture]
) -> None:
    assert refused(write(tmp_path / "a.png", png_header(50_000, 50_000))) == "image_limit"
    _image((2000, 1000)).save(tmp_path / "b.tif")
    assert refused(tmp_path / "b.tif", LoadLimits(max_pixels=1_999_999)) == "image_limit"
    assert pictures == []


@pytest.mark.parametrize(
    "data", [png_header(100, 100), b"\x89PNG\r\n\x1a\n", b"no picture", b"GIF89a" + bytes(50)]
)
def test_damage(tmp_path: Path, data: bytes) -> None:
    assert refused(write(tmp_path / "a.png", data)) == "parse_error"


def test_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.kb.loaders.image.recognise", lambda _: "")
    _image().save(tmp_path / "a.png")
    assert refused(tmp_path / "a.png") == "no_text"


def test_large_pictures_are_made_smaller(tmp_path: Path, pictures: list[ocr.Picture]) -> None:
    _image((4000, 3000)).save(tmp_path / "a.jpg")
    _image((1080, 9000)).save(tmp_path / "b.png")
    _image((3000, 9000)).save(tmp_path / "c.png")
    for name in ("a.jpg", "b.png", "c.png"):
        read(tmp_path / name)
    assert [picture.shape[:2] for picture in pictures] == [(1500, 2000), (9000, 1080), (4200, 1400)]


def test_scale() -> None:
    assert round(595 * best_scale(595, 842)) == 1413
    assert best_scale(1000, 1000) == 2
    assert best_scale(10, 10**6) < 0.05


def test_long_pictures_are_cut_between_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.full((5000, 600, 3), 255, np.uint8)
    for top in range(0, 5000, 40):
        picture[top : top + 25, 50:550:2] = 0  # a line of text
    heights = []

    def read_strip(strip: ocr.Picture) -> str:
        heights.append(strip.shape[0])
        return "x"

    monkeypatch.setattr(ocr, "_read", read_strip)
    ocr.recognise(picture)
    assert sum(heights) == 5000
    assert max(heights) <= 1600
    ends = np.cumsum(heights)[:-1]
    assert all(end % 40 >= 25 or end % 40 == 0 for end in ends)


def _grid(columns: list[int], width: int, rows: int, prefix: str = "") -> list[Box]:
    return [
        Box(left, 20.0 * row, left + width, 20.0 * row + 15, f"{prefix}{column}{row}")
        for column, left in enumerate(columns)
        for row in range(rows)
    ]


def test_columns_are_read_one_after_the_other() -> None:
    title, foot = Box(10, -30, 690, -10, "题"), Box(10, 300, 690, 315, "脚")
    lines = lines_of([*_grid([10, 380], 310, 10), title, foot])
    assert lines == ["题", *(f"0{n}" for n in range(10)), *(f"1{n}" for n in range(10)), "脚"]


def test_tables_are_read_by_rows() -> None:
    assert lines_of(_grid([0, 200, 400], 60, 6)) == [f"0{n}  1{n}  2{n}" for n in range(6)]


def test_a_crooked_line_is_one() -> None:
    boxes = [Box(0, 0, 100, 20, "甲"), Box(110, 4, 200, 24, "乙"), Box(0, 30, 100, 50, "丙")]
    assert lines_of(boxes) == ["甲  乙", "丙"]


def test_gif_is_no_picture_of_ours(tmp_path: Path) -> None:
    buffer = BytesIO()
    _image().save(buffer, "GIF")
    assert refused(write(tmp_path / "a.png", buffer.getvalue())) == "parse_error"
