"""Words for people, in the two languages the product speaks: Chinese first, English second."""

from dataclasses import dataclass
from typing import Literal

Language = Literal["zh", "en"]


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence for people in Chinese and in English."""

    zh: str
    en: str

    def in_language(self, language: Language) -> str:
        return self.en if language == "en" else self.zh

    def to_json(self) -> dict[str, str]:
        return {"zh": self.zh, "en": self.en}


def negotiate(accept_language: str | None) -> Language:
    """Pick a language from an Accept-Language header: the first of zh/en that it names, else Chinese."""
    for item in (accept_language or "").split(","):
        primary = item.split(";")[0].strip().split("-")[0].lower()
        if primary in ("zh", "en"):
            return "en" if primary == "en" else "zh"
    return "zh"
