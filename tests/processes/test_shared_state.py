"""What a process shares with those it forks, whatever becomes of them."""

from __future__ import annotations

import os
import signal

from ingestion.processes.shared_state import ChildStatus, Fault, Flag, Text


def test_what_a_killed_process_wrote_last_is_read() -> None:
    note, flag = ChildStatus(), Flag()
    note.pulse.rest()
    child = os.fork()
    if not child:
        flag.set()
        note.fail(Fault.DATABASE, "Zu groß.")
        note.hold("pages://a.md")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert flag.is_set()
    assert (note.url.read(), note.fault) == ("pages://a.md", Fault.DATABASE)
    assert note.error.read() == "Zu groß."
    assert 0 <= note.pulse.age < 600
    note.hold("pages://b.md")
    assert note.url.read() == "pages://b.md"


def test_a_text_is_cut_off_between_characters() -> None:
    text = Text()
    text.write("ß" * 4000)
    assert text.read() == "ß" * 2047
    text.write("short")
    assert text.read() == "short"
