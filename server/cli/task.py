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
    def idle(self) -> list[str]:
        """What was said of options that change nothing here, each with what they go with."""
        of_kbs = self.reads or self.prune_db or self.prune_folder
        given: dict[str, object] = {
            "-n": self.kb_name,
            "-e": self.embed_model,
            "--content": self.content,
            "--client": self.client,
            "--private": self.private or None,
        }
        notes = [
            f"{option} does nothing by itself; it goes with -i, -u, -r, --import-db, --prune-db or --prune-folder"
            for option, value in given.items()
            if value is not None and not of_kbs
        ]
        if self.embed_model is not None and of_kbs and not self.recreate_vs:
            notes.append(
                f"-e {self.embed_model} is for knowledge bases that are made now; those that are there change to it with -r"
            )
        return notes

    @property
    def uses_folders(self) -> bool:
        """Does it look at folders that an operator fills?"""
        return self.recreate_vs or self.update_in_db or self.increment or self.prune_folder

    @property
    def reads(self) -> bool:
        """Does it leave documents to be read?"""
        return self.recreate_vs or self.update_in_db or self.increment or self.import_db is not None
