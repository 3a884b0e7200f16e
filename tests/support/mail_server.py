"""An SMTP server on the loopback interface, and the faults that one can have.

with MailServer() as server:
    server.url                       # for EMAIL_URL
    server.refuses("450 4.3.2 busy") # from now on; "" takes mail again
    server.hangs = True              # says nothing any more
    ...
    assert [mail["Subject"] for mail in server.mails] == ["[bbjrag] Test"]
"""

from __future__ import annotations

import base64
import socketserver
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Self


class MailServer:
    def __init__(self, user: str = "", password: str = "") -> None:
        self.user, self.password = user, password
        self.mails: list[EmailMessage] = []
        self.connections = 0
        self.refusal = ""
        self.hangs = False
        self.over = threading.Event()

    def __enter__(self) -> Self:
        owner = self

        class Handler(_Handler):
            server_of: MailServer = owner

        self._server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        login = f"{self.user}:{self.password}@" if self.user else ""
        return f"smtp://{login}127.0.0.1:{self.port}"

    @property
    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails]

    def refuses(self, line: str) -> None:
        self.refusal = line


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class _Handler(socketserver.StreamRequestHandler):
    server_of: MailServer

    def handle(self) -> None:
        owner = self.server_of
        owner.connections += 1
        if owner.hangs:
            owner.over.wait(60)
            return
        self._say("220 here")
        while line := self.rfile.readline():
            if not self._answer(line.decode().strip()):
                return

    def _answer(self, line: str) -> bool:
        """Answer one command; whether the conversation goes on."""
        verb = line.partition(" ")[0].upper()
        if verb == "DATA":
            self._take()
        elif verb == "EHLO":
            self._say("250-here\r\n250 AUTH PLAIN" if self.server_of.user else "250 here")
        elif verb == "AUTH":
            self._say("235 welcome" if self._is_known(line) else "535 5.7.8 wrong password")
        elif verb == "MAIL" and self.server_of.refusal:
            self._say(self.server_of.refusal)
        elif verb == "QUIT":
            self._say("221 bye")
            return False
        else:
            self._say("250 fine")
        return True

    def _is_known(self, line: str) -> bool:
        given = base64.b64decode(line.split()[-1]).decode().split("\0")
        return given[1:] == [self.server_of.user, self.server_of.password]

    def _take(self) -> None:
        self._say("354 go on")
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line)
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        self.server_of.mails.append(mail)
        self._say("250 taken")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())
