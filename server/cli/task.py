"""What init_db.py was asked to do."""

import argparse
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Task:
    """The command line, see init_db.py."""

    create_tables: bool = False
    clear_tables: bool = False
    yes_really: bool = False
    import_db: Path | None = None
    recreate_vs: bool = False
    update_in_db: bool = False
    increment: bool = False
    prune_db: bool = False
    prune_folder: bool = False
    kb_name: list[str] | None = None
    embed_model: str | None = None
    content: Path | None = None
    client: str | None = None
    private: bool = False

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Task":
        return cls(**{field.name: getattr(options, field.name) for field in fields(cls)})

    @property
    def is_any(self) -> bool:
        """Is there more to do than to prepare?"""
        return self.create_tables or self.clear_tables or self.prune_db or self.prune_folder or self.reads

    @property
    def reads(self) -> bool:
        """Does it leave documents to be read?"""
        return self.recreate_vs or self.update_in_db or self.increment or self.import_db is not None
