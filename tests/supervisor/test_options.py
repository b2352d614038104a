"""The command lines that chat2llm's scripts have, and what they start here."""

import pytest

from server.supervisor.options import parser, plan

EVERYTHING = {"api", "worker", "engines"}


@pytest.mark.parametrize(
    ("line", "parts", "notes"),
    [
        ("", EVERYTHING, []),
        ("--lite", {"api", "worker"}, []),
        ("-a --lite", {"api", "worker"}, ["-a:"]),
        ("-a -i", {"api", "worker"}, ["-a:"]),
        ("--all-webui", EVERYTHING, ["-a:"]),
        ("--all-api", EVERYTHING, []),
        ("--all-api -n a b -q", EVERYTHING, []),
        ("--llm-api", {"api", "engines"}, ["--llm-api:"]),
        ("-o", {"api"}, ["-o:"]),
        ("--openai-api -m", {"api", "engines"}, ["-o:"]),
        ("--model-worker -c http://127.0.0.1:20001", {"engines"}, ["-c:"]),
        ("--api -p", {"api", "worker"}, ["-p:"]),
        ("--api-worker", set(), ["-p:"]),
        ("-w", {"api", "worker"}, ["-w:"]),
        ("-m --lite", set(), []),
        ("--controller x -f my.ini --host 0.0.0.0 --port 8000 --workers 2", EVERYTHING, ["-c:"]),
    ],
)
def test_what_a_command_line_starts(line: str, parts: set[str], notes: list[str]) -> None:
    chosen = plan(parser().parse_args(line.split()))
    assert chosen.parts == parts
    assert [note.split(" ")[0] for note in chosen.notes] == notes
    assert not [note for note in chosen.notes if "\n" in note]
