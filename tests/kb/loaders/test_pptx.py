"""Presentations by python-pptx."""

from pathlib import Path

import pptx
from pptx.util import Inches

from server.kb.loaders.base import LoadLimits
from tests.kb.loaders.reading import read, refused

SIZE = (Inches(1), Inches(1), Inches(4), Inches(1))


def _presentation(tmp_path: Path) -> Path:
    show = pptx.Presentation()
    first = show.slides.add_slide(show.slide_layouts[1])
    first.shapes.title.text = "年假制度"
    first.placeholders[1].text = "十五天\n提前申请"
    first.notes_slide.notes_text_frame.text = "讲解工龄"
    second = show.slides.add_slide(show.slide_layouts[6])
    table = second.shapes.add_table(2, 2, *SIZE).table
    for cell, text in zip(table.iter_cells(), ["姓名", "部门", "张三", "研发"], strict=True):
        cell.text = text
    group = second.shapes.add_group_shape().shapes.add_group_shape()
    group.shapes.add_textbox(*SIZE).text_frame.text = "组内\v换行"
    hidden = show.slides.add_slide(show.slide_layouts[5])
    hidden.shapes.title.text = "隐藏"
    hidden.element.set("show", "0")
    show.slides.add_slide(show.slide_layouts[5]).shapes.title.text = "结束"
    show.save(str(tmp_path / "a.pptx"))
    return tmp_path / "a.pptx"


def test_one_document_per_visible_slide(tmp_path: Path) -> None:
    assert [(d.page_content, d.metadata) for d in read(_presentation(tmp_path))] == [
        ("年假制度\n十五天\n提前申请\n讲解工龄", {"slide": 1, "heading": "年假制度"}),
        ("姓名: 张三; 部门: 研发\n组内\n换行", {"slide": 2}),
        ("结束", {"slide": 4, "heading": "结束"}),
    ]


def test_too_many_slides(tmp_path: Path) -> None:
    path = _presentation(tmp_path)
    assert refused(path, LoadLimits(max_pages=3)) == "too_many_pages"
    assert len(read(path, LoadLimits(max_pages=4))) == 3


def test_presentation_without_text(tmp_path: Path) -> None:
    show = pptx.Presentation()
    show.slides.add_slide(show.slide_layouts[6])
    show.save(str(tmp_path / "a.pptx"))
    assert refused(tmp_path / "a.pptx") == "no_text"
