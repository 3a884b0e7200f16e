"""Programs of the server, run as its account."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bbjrag.embedded import privileges
from bbjrag.embedded.accounts import Account
from bbjrag.embedded.home import Home
from bbjrag.embedded.installation import installation


def run_as_server(home: Home, command: list[str], log: int, keep: int) -> None:
    """Run `command` as the server's account, in a session of its own, output to `log`.

    It inherits the descriptor `keep`. Raises PostgresError with the end of the log.
    """
    account = home.account()
    drops = os.geteuid() == 0
    if drops and needs_capability(home):
        capability = privileges.CAP_DAC_READ_SEARCH
        if not installation_program().stat().st_mode & 0o001:
            capability = privileges.CAP_DAC_OVERRIDE  # the other does not execute what is closed
        script = [sys.executable, "-I", "-S", privileges.__file__, str(capability)]
        command = [*script, str(account.uid), str(account.gid), *command]
        drops = False
    try:
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.folder,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            start_new_session=True,
            pass_fds=(keep,),
            user=account.uid if drops else None,
            group=account.gid if drops else None,
            extra_groups=[] if drops else None,
        )
    except subprocess.CalledProcessError as error:
        ended = f"its command ended with exit code {error.returncode}"
        raise home.failure(f"The embedded PostgreSQL cannot start: {ended}") from error
    except OSError as error:
        raise home.failure(f"The embedded PostgreSQL cannot start: {error}") from error


def installation_program() -> Path:
    return installation() / "bin" / "postgres"


def needs_capability(home: Home) -> bool:
    """Whether root starts the server for an account that may not pass every folder above the
    program and the data."""
    return os.geteuid() == 0 and not _reachable(home, home.account())


def _reachable(home: Home, account: Account) -> bool:
    script = 'test -x "$1" && test -r "$2" && cd "$3"'
    share = installation() / "share" / "postgresql" / "postgres.bki"
    program = installation_program()
    probe = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(program), str(share), str(home.folder)],
        check=False,
        capture_output=True,
        cwd="/",
        user=account.uid,
        group=account.gid,
        extra_groups=[],
    )
    return probe.returncode == 0
