from __future__ import annotations

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

from bbjrag import slow_statements

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bbjrag.settings")
slow_statements.limit(settings.DATABASES["default"], settings.WEB_STATEMENT_TIMEOUT)
application = get_asgi_application()
