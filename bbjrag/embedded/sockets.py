"""The Unix socket of a server: its folder, and the process that listens on it."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bbjrag.embedded.accounts import owner_of
from bbjrag.embedded.home import Home
from bbjrag.embedded.launch import needs_capability

PORT = 5432
# sun_path holds 107 bytes on Linux and 103 on macOS; "/.s.PGSQL.5432" takes 14.
LONGEST_SOCKET_FOLDER = 89


@dataclass(frozen=True, slots=True)
class Sockets:
    home: Home

    def folder(self) -> Path:
        """The folder of the socket; a short one is used only if it is ours and private."""
        if not self._needs_short_folder():
            return self._own_folder()
        try:
            short = Path((self.home.folder / "socket-folder").read_text())
            found = short.lstat()
        except OSError:
            return self._own_folder()
        private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700
        ours = found.st_uid == owner_of(self.home.data)
        return short if private and ours else self._own_folder()

    def _own_folder(self) -> Path:
        """Another one for each data folder made: a server whose data was deleted and made again
        ends within a minute, and deletes its socket by name."""
        try:
            inode = self.home.data.stat().st_ino
        except OSError:
            inode = 0
        return self.home.folder / f"socket-{inode}"

    def _needs_short_folder(self) -> bool:
        # libpq separates hosts at commas.
        path = os.fsencode(self._own_folder())
        return len(path) > LONGEST_SOCKET_FOLDER or b"," in path

    def make_fresh(self) -> None:
        """An empty private folder: what an earlier server left in it may name a reused pid."""
        for leftover in self.home.folder.glob("socket-*/"):
            shutil.rmtree(leftover)
        self.forget_short_folder()
        path = self.folder()
        if self._needs_short_folder():
            path = self._make_short_folder()
            _write_whole(self.home.folder / "socket-folder", str(path))
        path.mkdir(mode=0o700, exist_ok=True)
        for leftover in path.iterdir():
            leftover.unlink()
        if os.geteuid() == 0:
            os.chown(path, *self.home.account())

    def _make_short_folder(self) -> Path:
        """A folder below /tmp that only the server's account can enter; not even that, but root
        alone, if the server is given a capability: then who reaches it could use that.

        Not below tempfile.gettempdir(): that differs from process to process.
        """
        made = Path(tempfile.mkdtemp(prefix="bbjrag-", dir="/tmp"))
        return made / "s" if needs_capability(self.home) else made

    def forget_short_folder(self) -> None:
        path = self.folder()
        if path != self._own_folder():
            shutil.rmtree(path.parent if path.name == "s" else path, ignore_errors=True)
            (self.home.folder / "socket-folder").unlink(missing_ok=True)

    def listener(self) -> int | None:
        """The pid that listens on the socket; None if there is none, 0 if it is not known."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.folder() / f".s.PGSQL.{PORT}"))
            except OSError:
                return None
            if not hasattr(socket, "SO_PEERCRED"):
                return int((self.home.data / "postmaster.pid").read_text().split("\n", 1)[0])
            peer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            return int(struct.unpack("3i", peer)[0])


def _write_whole(path: Path, text: str) -> None:
    made = path.with_name(path.name + ".new")
    made.write_text(text)
    made.replace(path)
