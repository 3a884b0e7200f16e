"""What a worker logs while the database is away."""

from __future__ import annotations

import time

import pytest

from ingestion.worker.outage import REMINDED_EVERY, Outage


def test_an_hour_without_a_database_is_a_dozen_lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 50.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    caplog.set_level("INFO")
    outage = Outage()
    outage.is_over()
    assert caplog.messages == []
    for _ in range(3600):
        outage.goes_on(OSError("connection refused"))
        now += 1.0
    outage.is_over()
    first, *reminders, last = caplog.messages
    assert "does not answer (connection refused)" in first
    assert len(reminders) == 3600 // REMINDED_EVERY - 1
    assert "has not answered for 55 minutes" in reminders[-1]
    assert last == "The database answers again, after 3600 s."
    outage.goes_on(OSError("again"))
    assert "does not answer (again)" in caplog.messages[-1]
