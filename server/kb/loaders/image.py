"""Pictures: their text, recognised. Several pages of a TIFF are pages."""

import warnings
from collections.abc import Iterator

from langchain_core.documents import Document
from PIL import Image, ImageOps, UnidentifiedImageError

from server.kb.loaders.base import FileLoader
from server.kb.loaders.errors import (
    image_limit,
    library,
    no_text_in_picture,
    parse_error,
    too_many_ocr_pages,
)
from server.kb.loaders.ocr import Picture, best_scale, recognise

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")
_WHITE = (255, 255, 255, 255)


class ImageLoader(FileLoader):
    """What a picture is, its content decides. Its size is looked at before it is unpacked."""

    def lazy_load(self) -> Iterator[Document]:
        Image.MAX_IMAGE_PIXELS = None  # we count ourselves
        has_text = False
        try:
            with (
                library("OCR"),
                warnings.catch_warnings(action="ignore"),
                Image.open(self.path, formats=_FORMATS) as file,
            ):
                # The others may be animated: their first picture will do.
                pages = getattr(file, "n_frames", 1) if file.format == "TIFF" else 1
                if pages > self.limits.max_ocr_pages:
                    raise too_many_ocr_pages(self.limits)
                findings = self.watch.findings
                findings.pages = pages
                for page in range(pages):
                    self.watch.tell(page, pages, True)
                    file.seek(page)
                    text = recognise(self._picture(file))
                    (findings.ocr_pages if text else findings.blank_pages).append(page + 1)
                    if text:
                        has_text = True
                        yield Document(page_content=text, metadata={"page": page + 1} if pages > 1 else {})
        except UnidentifiedImageError as error:
            raise parse_error(self.suffix.removeprefix(".").upper()) from error
        if not has_text:
            raise no_text_in_picture()

    def _picture(self, file: Image.Image) -> Picture:
        import numpy as np

        if file.width * file.height > self.limits.max_pixels:
            raise image_limit(self.limits)
        scale = min(best_scale(*file.size), 1.0)
        size = (max(round(file.width * scale), 1), max(round(file.height * scale), 1))
        file.draft("RGB", size)  # a JPEG need not be unpacked in full
        picture = ImageOps.exif_transpose(file)
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, _WHITE), picture)
        picture.thumbnail((max(size), max(size)))
        return np.asarray(picture.convert("RGB"))
