"""Makes the tables and serves, at the address in PROVIDER."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import django
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from waitress import serve

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.support.oidc_provider.settings"
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"

if __name__ == "__main__":
    django.setup()
    call_command("migrate", verbosity=0)
    port = urlsplit(os.environ["PROVIDER"]).port
    serve(get_wsgi_application(), host="localhost", port=port, threads=4)
