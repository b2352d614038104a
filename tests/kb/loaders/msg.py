"""Writes Outlook messages: a compound file with the few properties that a mail needs. Nothing on PyPI does it simply."""

import struct
from datetime import UTC, datetime
from itertools import chain

_END, _FREE, _FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
_SECTOR, _MINI = 512, 64
_STRING, _TIME = 0x001F, 0x0040
Folder = dict[str, "bytes | Folder"]


def outlook_message(subject: str, body: str, sender: tuple[str, str], to: str, sent: datetime) -> bytes:
    strings = {0x001A: "IPM.Note", 0x0037: subject, 0x1000: body, 0x0C1A: sender[0], 0x0C1F: sender[1]}
    ticks = int((sent.astimezone(UTC) - datetime(1601, 1, 1, tzinfo=UTC)).total_seconds()) * 10_000_000
    top = struct.pack("<8xIIII8x", 1, 0, 1, 0)
    folder = _properties(top, strings, struct.pack("<HHIQ", _TIME, 0x0039, 6, ticks))
    folder["__recip_version1.0_#00000000"] = _properties(bytes(8), {0x3001: to, 0x39FE: to})
    return compound_file(folder)


def _properties(header: bytes, strings: dict[int, str], fixed: bytes = b"") -> Folder:
    folder: Folder = {
        f"__substg1.0_{number:04X}{_STRING:04X}": text.encode("utf-16-le") for number, text in strings.items()
    }
    entries = [
        struct.pack("<HHIII", _STRING, number, 6, 2 * len(text) + 2, 0) for number, text in strings.items()
    ]
    folder["__properties_version1.0"] = header + b"".join(entries) + fixed
    return folder


def compound_file(tree: Folder) -> bytes:
    """Every stream, being short, goes into the mini stream; siblings hang in a chain, sorted as readers expect."""
    entries: list[bytes] = []
    mini, mini_fat = bytearray(), list[int]()

    def add(name: str, kind: int, child: int = _FREE, start: int = _END, size: int = 0) -> None:
        encoded = name.encode("utf-16-le")
        head = encoded.ljust(64, b"\0") + struct.pack("<HBB", len(encoded) + 2, kind, 1)
        entries.append(head + struct.pack("<III36xIQ", _FREE, _FREE, child, start, size))

    def add_folder(folder: Folder) -> int:
        first = before = _FREE
        for name in sorted(folder, key=lambda name: (len(name), name.upper())):
            index, content = len(entries), folder[name]
            if isinstance(content, bytes):
                assert len(content) < 4096
                start, count = len(mini_fat), -(-len(content) // _MINI)
                add(name, 2, start=start if count else _END, size=len(content))
                mini_fat.extend([*range(start + 1, start + count), _END] if count else [])
                mini.extend(content.ljust(count * _MINI, b"\0"))
            else:
                add(name, 1)
                child = add_folder(content)
                entries[index] = entries[index][:76] + struct.pack("<I", child) + entries[index][80:]
            if before == _FREE:
                first = index
            else:
                entries[before] = entries[before][:72] + struct.pack("<I", index) + entries[before][76:]
            before = index
        return first

    add("Root Entry", 5)
    child = add_folder(tree)
    blocks = [b"".join(entries), struct.pack(f"<{len(mini_fat)}I", *mini_fat), bytes(mini)]
    padding = [b"\0", b"\xff", b"\0"]
    counts = [-(-len(block) // _SECTOR) for block in blocks]
    starts = [1, 1 + counts[0], 1 + counts[0] + counts[1]]
    entries[0] = entries[0][:76] + struct.pack("<I36xIQ", child, starts[2], len(mini))
    blocks[0] = b"".join(entries)
    chains = ([*range(start + 1, start + count), _END] for start, count in zip(starts, counts, strict=True))
    fat = [_FAT, *chain.from_iterable(chains)]
    assert len(fat) <= _SECTOR // 4
    fat += [_FREE] * (_SECTOR // 4 - len(fat))
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<IIIIIIIII", 0, 1, starts[0], 0, 4096, starts[1], counts[1], _END, 0)
    header += struct.pack("<109I", 0, *[_FREE] * 108)
    body = [
        block.ljust(count * _SECTOR, fill) for block, count, fill in zip(blocks, counts, padding, strict=True)
    ]
    return header + struct.pack("<128I", *fat) + b"".join(body)
