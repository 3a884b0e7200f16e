from __future__ import annotations

import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from bbjrag import slow_statements

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bbjrag.settings")
slow_statements.limit(settings.DATABASES["default"], settings.WEB_STATEMENT_TIMEOUT)
application = get_wsgi_application()
import_module(settings.ROOT_URLCONF)  # the first request would otherwise wait two seconds for it
