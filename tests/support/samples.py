"""One small file of every kind, each with a question that only it answers and the place where the answer stands."""

import io
import json
from typing import Any

import docx
import openpyxl
import pptx
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

# name → (bytes, question, metadata of the passage)
Samples = dict[str, tuple[bytes, str, dict[str, Any]]]


def every_kind() -> Samples:
    """The formats of the lite set, in UTF-8 and in GBK where text may be either."""
    table = "设备,保修年限\n打印机,三年\n投影仪,两年\n"
    return {
        "停车.txt": ("员工车辆凭停车证进入地下车库，每月十五日前续费。".encode(), "停车证什么时候续费", {}),
        "班车.txt": ("班车七点四十从城西站发车，八点二十到达公司。".encode("gb18030"), "班车几点从城西站发车", {}),
        "图书.txt": ("图书室的书每次可以借两本，借期三十天。".encode("utf-16"), "图书室的书可以借几天", {}),
        "体检.md": ("# 福利\n\n## 体检\n\n每年十月安排一次体检。\n".encode(), "体检安排在几月", {"heading": "福利 > 体检"}),
        "健身.md": ("# 健身房\n\n健身房晚上九点关门。\n".encode("gb18030"), "健身房几点关门", {"heading": "健身房"}),
        "食堂.html": (_html().encode(), "食堂午餐供应到几点", {"heading": "食堂"}),
        "咖啡.html": (_html("咖啡角", "咖啡机每周一清洗。").replace("utf-8", "gbk").encode("gbk"), "咖啡机每周几清洗", {"heading": "咖啡角"}),
        "保修.csv": (table.encode(), "投影仪的保修年限", {"row": 3}),
        "网络.csv": ("问题,办法\n无线密码忘了,拨打分机6010\n".encode("gbk"), "忘了无线密码怎么办", {"row": 2}),
        "钥匙.json": (json.dumps([{"物品": "会议室钥匙", "保管人": "前台"}], ensure_ascii=False).encode(), "会议室钥匙由谁保管", {}),
        "印章.jsonl": ('{"事项": "借用公章", "审批": "法务主管"}\n{"事项": "借用合同章", "审批": "财务主管"}\n'.encode("gbk"), "借用公章由谁审批", {"row": 1}),
        "消防.pdf": (_pdf("本页没有内容要点。", "灭火器每季度检查一次，由行政部记录。"), "灭火器多久检查一次", {"page": 2}),
        "快递.docx": (_docx(), "快递送到哪里签收", {"heading": "快递 > 签收"}),
        "价目.xlsx": (_xlsx(), "复印一张多少钱", {"sheet": "打印", "row": 2}),
        "培训.pptx": (_pptx(), "新人培训第一课讲什么", {"slide": 2}),
    }  # fmt: skip


def _html(title: str = "食堂", text: str = "食堂午餐供应到下午一点半。") -> str:
    script = "<script>var 食堂 = '隐藏的内容';</script>"
    return f'<html><head><meta charset="utf-8">{script}</head><body><nav>首页</nav><h1>{title}</h1><p>{text}</p></body></html>'


def _pdf(*pages: str) -> bytes:
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    for text in pages:
        canvas.setFont("STSong-Light", 14)
        canvas.drawString(72, 700, text)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _docx() -> bytes:
    document = docx.Document()
    document.add_heading("快递", 1)
    document.add_heading("签收", 2)
    document.add_paragraph("快递统一送到一楼收发室签收。")
    return _saved(document)


def _xlsx() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.create_sheet(index=0)
    sheet.title = "打印"
    sheet.append(["项目", "单价（元）"])
    sheet.append(["黑白复印一张", 0.3])
    sheet.append(["彩色打印一张", 1.5])
    return _saved(book)


def _pptx() -> bytes:
    show = pptx.Presentation()
    for title, text in (("目录", "两部分内容"), ("新人培训", "第一课讲公司的产品和历史。")):
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = text
    return _saved(show)


def _saved(document: Any) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()
