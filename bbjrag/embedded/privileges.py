"""Exec a command as another account that keeps only the right to enter folders closed to it.

Run by root as a script (`python -I -S privileges.py CAPABILITY UID GID COMMAND ...`) before the
embedded PostgreSQL, which refuses root, if its program or data are in a folder that only root may
enter (a checkout under /root). The modes of those folders stay as they are.
The constants are Linux's: prctl(2), capabilities(7).
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 4
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1  # read, write and execute everything
CAP_DAC_READ_SEARCH = 2  # read everything, and pass every folder


class CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class CapabilityData(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def become(capability: int, uid: int, gid: int) -> None:
    """Give up root for `uid`, with one capability that survives exec.

    Without the fixup the change of user keeps capabilities, and access(2), by which initdb looks
    for the other programs, counts them. Raises OSError if kernel or container do not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    bit = 1 << capability
    kept = (CapabilityData * 2)(CapabilityData(bit, bit, bit))
    _checked(libc.capset(ctypes.byref(CapabilityHeader(CAPABILITY_VERSION_3, 0)), kept))
    _checked(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    try:
        become(*map(int, sys.argv[1:4]))
    except OSError as error:
        sys.exit(
            f"Root may not pass its rights on here ({error.strerror}). Move the checkout to a "
            "folder that everyone may enter, or run as an ordinary user, or set DATABASE_URL."
        )
    os.execv(sys.argv[4], sys.argv[4:])
