"""The provider's own process, a small Django project; tests/support/single_sign_on.py starts it."""

from __future__ import annotations

CLIENT = "bbjrag-tests"
SECRET = "a secret of the provider and bbjrag"
PASSWORD = "known-to-the-provider"
