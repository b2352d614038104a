"""No network for the parser process and for all that it starts, by order of the kernel: native code asks no Python hook.

Of sockets only those inside the machine's file system are left (LibreOffice speaks to itself through one).
"""

import ctypes
import errno
import platform
import struct
import sys

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
# Machine → its number for the kernel, and its numbers of socket(). io_uring makes sockets, too; its number is the same.
_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_IO_URING_SETUP, _FIRST_X32_CALL, _AF_UNIX = 425, 0x40000000, 1
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES
# Where the kernel puts what a filter looks at: number of the call, machine, first argument.
_CALL, _MACHINE, _ARGUMENT = 0, 4, 16


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def close_network() -> bool:
    """Whether the kernel took the order; it has none on other systems than Linux."""
    machine = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or machine is None:
        return False
    code = _filter(*machine)
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program)) == 0)


def _filter(machine: int, socket_call: int) -> bytes:
    """Each step: what to do, how many steps to skip when it holds and when not, with what."""
    steps = (
        (_LOAD, 0, 0, _MACHINE),
        (_EQUAL, 0, 8, machine),
        (_LOAD, 0, 0, _CALL),
        (_AT_LEAST, 6, 0, _FIRST_X32_CALL),
        (_EQUAL, 5, 0, _IO_URING_SETUP),
        (_EQUAL, 0, 3, socket_call),
        (_LOAD, 0, 0, _ARGUMENT),
        (_EQUAL, 1, 0, _AF_UNIX),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    )
    return b"".join(struct.pack("HBBI", *step) for step in steps)
