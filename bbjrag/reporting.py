"""A filter for Django's error reports."""

from __future__ import annotations

import re

from django.views.debug import SafeExceptionReporterFilter


class SecretsFilter(SafeExceptionReporterFilter):
    """Hides what Django hides, and addresses that may contain a password."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|DATABASE|OLLAMA|_URLS?$|COOKIE|WEBHOOK|^GIT$",
        re.I,
    )
