"""PDFs that no program would write, and a few that one would."""

import io
import zlib

from pypdf import PdfWriter
from reportlab.pdfgen.canvas import Canvas

HEAD = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
TEXT = b"BT /F 12 Tf 50 700 Td (Annual leave is fifteen days) Tj ET"


def raw(*objects: bytes, trailer: bytes = b"") -> bytes:
    """Objects numbered from 1, the first of them the catalogue, with a true table of where they are."""
    data, places = HEAD, []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    end = b"trailer<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n" % (size, trailer, len(data))
    return data + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + end


def stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (entries, len(content), content)


def page(entries: bytes = b"", content: bytes = TEXT, catalogue: bytes = b"", *more: bytes) -> bytes:
    """One page of text; `more` begin with object 6."""
    return raw(
        b"<</Type/Catalog/Pages 2 0 R%s>>" % catalogue,
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>%s>>>>"
        % entries,
        stream(content),
        FONT,
        *more,
    )


def encrypted() -> bytes:
    writer = PdfWriter(clone_from=io.BytesIO(page()))
    writer.encrypt("user", "owner")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def outline_loop() -> bytes:
    item = b"<</Title(again)/Parent 6 0 R/Next 7 0 R/Prev 7 0 R/First 7 0 R/Last 7 0 R/Count 1>>"
    return page(b"", TEXT, b"/Outlines 6 0 R", b"<</Type/Outlines/First 7 0 R/Last 7 0 R/Count 1>>", item)


def page_tree_loop() -> bytes:
    return raw(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 100/Parent 2 0 R>>")


def form_loop() -> bytes:
    """A form that draws itself, twice."""
    entries = b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 6 0 R>>>>"
    return page(b"/XObject<</X 6 0 R>>", TEXT + b" /X Do", b"", stream(b"/X Do /X Do", entries))


def previous_table_loop() -> bytes:
    data = page()
    return data.replace(b"trailer<<", b"trailer<</Prev %d" % data.index(b"xref\n"))


def unpacks_to_a_hundred_megabytes() -> bytes:
    packed = zlib.compress(b"BT /F 12 Tf (a) Tj ET\n" * 5_000_000, 9)
    return raw(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
        stream(packed, b"/Filter/FlateDecode"),
        FONT,
    )


def many_pages(count: int) -> bytes:
    kids = b" ".join(b"%d 0 R" % number for number in range(3, count + 3))
    pages = [b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"] * count
    return raw(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, count), *pages)


def picture_only() -> bytes:
    canvas = Canvas(buffer := io.BytesIO(), pagesize=(200, 200))
    from PIL import Image
    from reportlab.lib.utils import ImageReader

    canvas.drawImage(ImageReader(Image.new("RGB", (50, 50), "white")), 0, 0, 200, 200)
    canvas.save()
    return buffer.getvalue()


def active(url: str) -> bytes:
    """Runs a script, starts a program, opens an address and brings a file along, if one lets it."""
    script = b"<</S/JavaScript/JS(app.launchURL\\('%s/js'\\))/Next 7 0 R>>" % url.encode()
    launch = b"<</S/Launch/F(/bin/touch)/Win<</F(cmd)>>/Next 8 0 R>>"
    address = b"<</S/URI/URI(%s/uri)>>" % url.encode()
    catalogue = b"/OpenAction 6 0 R/AA<</WC 6 0 R>>/Names<</EmbeddedFiles<</Names[(x) 9 0 R]>>>>"
    spec = b"<</Type/Filespec/F(../../x.exe)/EF<</F 10 0 R>>>>"
    return page(b"", TEXT, catalogue, script, launch, address, spec, stream(b"EMBEDDED"))


def character_map(path: str) -> bytes:
    """A font whose characters are to be looked up in a file of the system."""
    font = b"<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/%s/ToUnicode(%s)/DescendantFonts[7 0 R]>>"
    name = path.replace("/", "#2F").encode()
    inner = b"<</Type/Font/Subtype/CIDFontType2/BaseFont/X/CIDSystemInfo<</Registry(%s)/Ordering(x)/Supplement 0>>>>"
    content = TEXT + b" BT /G 12 Tf 50 600 Td <00010002> Tj ET"
    body = page(b"", content, b"", font % (name, path.encode()), inner % path.encode())
    return body.replace(b"/Font<</F 5 0 R>>", b"/Font<</F 5 0 R/G 6 0 R>>")
