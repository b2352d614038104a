"""Mail by Python's own library, and by hand what other programs write."""

from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.kb.loaders.reading import pairs, refused, write

HEADERS = "Subject: 请假申请\nFrom: 张三 <zhang@example.com>\nTo: li@example.com, wang@example.com\n"
HEADERS += "Date: 2026-03-02T09:00:00+08:00\n\n"


def _mail(subject: str | None = "请假申请") -> EmailMessage:
    mail = EmailMessage()
    if subject:
        mail["Subject"] = subject
        mail["From"] = "张三 <zhang@example.com>"
        mail["To"] = "li@example.com, wang@example.com"
        mail["Date"] = "Mon, 02 Mar 2026 09:00:00 +0800"
    return mail


@pytest.mark.parametrize("charset", ["utf-8", "gb18030"])
def test_mail(tmp_path: Path, charset: str) -> None:
    mail = _mail()
    mail.set_content("你好，\n\n我申请下周一请年假一天。\n\nThanks\n", charset=charset)
    mail.add_attachment(b"secret,1\n", maintype="text", subtype="csv", filename="x.csv")
    text = HEADERS + "你好，\n我申请下周一请年假一天。\nThanks"
    assert pairs(write(tmp_path / "a.eml", bytes(mail))) == [("请假申请", text)]


def test_mail_with_a_table_in_html(tmp_path: Path) -> None:
    mail = _mail()
    mail.set_content("plain")
    html = (
        "<p>名单：</p><table><tr><th>姓名</th><th>部门</th></tr><tr><td>张三</td><td>研发</td></tr></table>"
    )
    mail.add_alternative(html + "<img src='http://127.0.0.1:9/pixel'>", subtype="html")
    text = HEADERS + "名单：\n姓名: 张三; 部门: 研发"
    assert pairs(write(tmp_path / "a.eml", bytes(mail))) == [("请假申请", text)]


def test_mail_without_headers(tmp_path: Path) -> None:
    mail = _mail(subject=None)
    mail.set_content("Only a body, and no header of any use.")
    (found,) = pairs(write(tmp_path / "a.eml", bytes(mail)))
    assert (found[0], found[1].strip()) == (None, "Only a body, and no header of any use.")


def test_a_subject_too_short_to_be_told(tmp_path: Path) -> None:
    data = "Subject: 通知\r\nFrom: HR\r\n\r\n春节放假八天，二月十六日上班。\r\n".encode("gbk")
    assert pairs(write(tmp_path / "a.eml", data))[0][0] == "通知"


def test_headers_and_body_in_bytes_of_gbk(tmp_path: Path) -> None:
    """As old Chinese programs write them: no encoding is named anywhere."""
    data = "Subject: 关于春节放假的通知\r\nFrom: 人事部\r\n\r\n春节放假八天，二月十六日上班。\r\n".encode(
        "gbk"
    )
    assert pairs(write(tmp_path / "a.eml", data)) == [
        ("关于春节放假的通知", "Subject: 关于春节放假的通知\nFrom: 人事部\n\n春节放假八天，二月十六日上班。")
    ]


@pytest.mark.parametrize("data", [b"", b"\x00\xff" * 500])
def test_damaged_mail(tmp_path: Path, data: bytes) -> None:
    assert refused(write(tmp_path / "a.eml", data)) in ("no_text", "parse_error", "encoding")
