"""The only settings file. All settings come from the environment; see `.env.example`."""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from bbjrag import __version__, env, oidc, places
from ingestion.git.credentials import TOKEN_PREFIX
from ingestion.git.settings import GitSettings
from ingestion.parsers.web_settings import WebSettings
from ingestion.processes.isolation import Limits

VERSION = __version__
BASE_DIR = places.BASE_DIR
env.load("ENV_FILE", BASE_DIR / ".env")

STATE_DIR = env.folder("STATE_DIR", BASE_DIR / ".data")
DATA_DIR = env.folder("DATA_DIR", places.SHIPPED / "sample_data")
DEBUG = env.boolean("DEBUG", False)

# For this machine only, nothing needs to be set; with another host, it is in production.
LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS", ",".join(LOOPBACK))
PRODUCTION = env.boolean("PRODUCTION", not set(ALLOWED_HOSTS) <= set(LOOPBACK))
if PRODUCTION and set(ALLOWED_HOSTS) <= set(LOOPBACK):
    raise ImproperlyConfigured(
        "PRODUCTION needs ALLOWED_HOSTS: the names people type into the browser, "
        "such as docs.example.com. For a trial on this machine: PRODUCTION=false."
    )
if PRODUCTION and DEBUG:
    raise ImproperlyConfigured("DEBUG shows settings to visitors: unset it in production.")
ALLOWED_HOSTS = list(dict.fromkeys([*ALLOWED_HOSTS, *LOOPBACK]))  # health checks come from here
CSRF_FAILURE_VIEW = "ingestion.admin.errors.csrf_failure"
CSRF_TRUSTED_ORIGINS = env.listing("CSRF_TRUSTED_ORIGINS")


def _kept_secret() -> str:
    """The key of this installation, created at first use and stored next to its data."""
    try:
        return _read_or_made_secret(STATE_DIR / "secret_key")
    except OSError as error:
        raise ImproperlyConfigured(
            f"STATE_DIR={STATE_DIR} cannot be used ({error.strerror}): name a folder that this "
            "process's user can write to."
        ) from None


def _read_or_made_secret(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"secret_key.{secrets.token_hex(4)}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(50))
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass  # another process was first: use its key
        finally:
            draft.unlink()
    return path.read_text().strip()


def _secret_key() -> str:
    given = env.text("SECRET_KEY", "")
    if PRODUCTION and len(given) < SHORTEST_SECRET:
        raise ImproperlyConfigured(
            f"Production needs a SECRET_KEY of at least {SHORTEST_SECRET} characters, the same "
            "for every web server and worker of one database, or a file SECRET_KEY_FILE with it. "
            "Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(50))'. "
            "For a trial on this machine: PRODUCTION=false."
        )
    return given or _kept_secret()


SHORTEST_SECRET = 50  # the minimum of `check --deploy`
SECRET_KEY = _secret_key()

INSTALLED_APPS = [
    "bbjrag",
    "sources",
    "ingestion",
    "ingestion.admin.config.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django_q",
    "axes",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "bbjrag.login_throttle.KnownBrowserMiddleware",
    "bbjrag.slow_statements.SlowStatements",
    "ingestion.admin.errors.EmptyAnswers",
    "axes.middleware.AxesMiddleware",
]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "img-src": ["'self'", "data:"],
    }
}
ROOT_URLCONF = "bbjrag.urls"
WSGI_APPLICATION = "bbjrag.wsgi.application"
ASGI_APPLICATION = "bbjrag.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [places.SHIPPED / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

_database = env.postgres("DATABASE_URL")
_database_password = env.text("DATABASE_PASSWORD", "")
# Shown to people, so without credentials.
DATABASE_URL = env.text("DATABASE_URL", "").rpartition("@")[2]
EMBEDDED_POSTGRES_SETTINGS = env.pairs("EMBEDDED_POSTGRES_SETTINGS")
DATABASES: dict[str, Any]
if _database:
    _database["PASSWORD"] = _database["PASSWORD"] or _database_password
    DATABASES = {"default": _database}
else:
    DATABASES = {
        "default": {
            "ENGINE": "bbjrag.embedded.backend",
            "NAME": "bbjrag",
            "EMBEDDED_DATA": str(STATE_DIR / "postgres"),
            "CONN_MAX_AGE": 60,
            "OPTIONS": {"server_settings": EMBEDDED_POSTGRES_SETTINGS},
        }
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": {
        "BACKEND": "bbjrag.json_cache.JSONCache",
        "LOCATION": "django_cache",
        "VERSION": 2,  # version 1 were pickles; processes of an earlier release may still run
    }
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LANGUAGE_CODE = "en-us"
TIME_ZONE = env.time_zone("TIME_ZONE", "UTC")
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # files are served from their place: no collectstatic
WHITENOISE_AUTOREFRESH = DEBUG

CHUNK_SIZE = env.integer("CHUNK_SIZE", 400, minimum=32, maximum=8192)
CHUNK_OVERLAP = env.integer("CHUNK_OVERLAP", 50)
TRUST_FILE_TIMES = env.boolean("TRUST_FILE_TIMES", True)
CHUNKING_PROCESSES = env.integer("CHUNKING_PROCESSES", 0, minimum=0, maximum=64)
ORIGINAL_LIMIT_KB = env.integer("ORIGINAL_LIMIT_KB", 2048, minimum=0, maximum=65536)
ORIGINAL_LIMIT = 1024 * ORIGINAL_LIMIT_KB  # bytes

EMBEDDING_MODELS = {
    "wordllama": "l2_supercat",
    "minilm": "all-MiniLM-L6-v2",
    "auto": "all-MiniLM-L6-v2",
    "ollama": "qwen3-embedding:0.6b",
    "openai": "",
}
EMBEDDING_PROVIDER = env.choice("EMBEDDING_PROVIDER", "wordllama", tuple(EMBEDDING_MODELS))
EMBEDDING_MODEL = env.text("EMBEDDING_MODEL", EMBEDDING_MODELS[EMBEDDING_PROVIDER])
OLLAMA_HOSTS = env.listing("OLLAMA_HOST", "http://127.0.0.1:11434")
EMBEDDING_URLS = env.listing("EMBEDDING_URL")
EMBEDDING_KEY = env.text("EMBEDDING_KEY", "")
EMBEDDING_CONTEXT = env.integer("EMBEDDING_CONTEXT", 0, maximum=1_000_000)
if EMBEDDING_PROVIDER == "openai" and not (EMBEDDING_URLS and EMBEDDING_MODEL):
    raise ImproperlyConfigured(
        "EMBEDDING_PROVIDER=openai needs a server and a model: set EMBEDDING_URL, "
        "such as http://127.0.0.1:8000/v1, and EMBEDDING_MODEL."
    )
EMBEDDING_TIMEOUT = env.number("EMBEDDING_TIMEOUT", 120.0, minimum=1.0)
EMBEDDING_CONCURRENCY = env.integer("EMBEDDING_CONCURRENCY", 0, maximum=64)
EMBEDDING_BATCH_SIZE = env.integer("EMBEDDING_BATCH_SIZE", 0, maximum=2048)

ENRICHMENT_MODEL = env.text("ENRICHMENT_MODEL", "")

LATE_INTERACTION = env.boolean("LATE_INTERACTION", True)

RERANKER_URL = env.address("RERANKER_URL", ending="/rerank")
RERANKER_MODEL = env.text("RERANKER_MODEL", "")
RERANKER_KEY = env.text("RERANKER_KEY", "")
RERANKER_TIMEOUT = env.number("RERANKER_TIMEOUT", 3.0, minimum=0.1, maximum=60.0)

MCP_MAX_CHARACTERS = env.integer("MCP_MAX_CHARACTERS", 40_000, minimum=4000)
BBJ_COMPILER = env.text("BBJ_COMPILER", "")

WORKERS = env.integer("WORKERS", 2, minimum=1, maximum=64)
RUN_ATTEMPTS = env.integer("RUN_ATTEMPTS", 3, minimum=1)
RUN_MEMORY_LIMIT_MB = env.integer("RUN_MEMORY_LIMIT_MB", 2048, minimum=0)
RUN_CANCEL_GRACE = env.number("RUN_CANCEL_GRACE", 10.0)
RUN_POLL = env.number("RUN_POLL", 0.5, minimum=0.01)
RUN_HEARTBEAT = env.number("RUN_HEARTBEAT", 5.0, minimum=0.1)
DOCUMENT_TIME_LIMIT = env.number("DOCUMENT_TIME_LIMIT", 60.0)
DOCUMENT_MEMORY_LIMIT_MB = env.integer("DOCUMENT_MEMORY_LIMIT_MB", 1024, minimum=0)
DOCUMENT_LIMITS = Limits(DOCUMENT_TIME_LIMIT, DOCUMENT_MEMORY_LIMIT_MB)
RUN_STALL_LIMIT = env.number("RUN_STALL_LIMIT", 900.0)
WORKER_STALL_LIMIT = env.number("WORKER_STALL_LIMIT", 60.0, minimum=1.0)
REAPER_INTERVAL = env.number("REAPER_INTERVAL", 60.0, minimum=0.1)
CANARY_TIMEOUT = env.number("CANARY_TIMEOUT", 3.0, minimum=0.1)
EMBEDDER_WAIT_LIMIT = env.number("EMBEDDER_WAIT_LIMIT", 24 * 3600.0)
EMBEDDER_WAIT_FIRST = env.number("EMBEDDER_WAIT_FIRST", 10.0, minimum=0.1)
EMBEDDER_WAIT_MAX = env.number("EMBEDDER_WAIT_MAX", 600.0, minimum=0.1)
REMOVAL_GATE_SHARE = env.number("REMOVAL_GATE_SHARE", 0.2, maximum=1.0)
REMOVAL_GATE_DOCUMENTS = env.integer("REMOVAL_GATE_DOCUMENTS", 10)
EVALUATE_AFTER_RUNS = env.boolean("EVALUATE_AFTER_RUNS", True)
RETENTION_DAYS = env.integer("RETENTION_DAYS", 90, maximum=36500)
QUERY_LOG_DAYS = env.integer("QUERY_LOG_DAYS", 0, maximum=36500)

# Messages to people (ingestion/notifications), if there is somewhere to send them.
_mail_server = env.mail_server("EMAIL_URL")
EMAIL_HOST = _mail_server.host
EMAIL_PORT = _mail_server.port
EMAIL_HOST_USER = _mail_server.user
EMAIL_HOST_PASSWORD = env.text("EMAIL_PASSWORD", _mail_server.password)
EMAIL_USE_TLS = _mail_server.scheme == "smtp+starttls"
EMAIL_USE_SSL = _mail_server.scheme == "smtps"
EMAIL_TIMEOUT = 10
NOTIFY_MAIL_TO = env.listing("NOTIFY_MAIL_TO")
NOTIFY_MAIL_FROM = env.text("NOTIFY_MAIL_FROM", "bbjrag@localhost")
NOTIFY_WEBHOOK_URL = env.web_address("NOTIFY_WEBHOOK_URL")
NOTIFY_WEBHOOK_SECRET = env.text("NOTIFY_WEBHOOK_SECRET", "")
NOTIFY_NOT_READ_DAYS = env.number("NOTIFY_NOT_READ_DAYS", 30.0, maximum=36500.0)
NOTIFY_AWAY_MINUTES = env.number("NOTIFY_AWAY_MINUTES", 10.0, maximum=10080.0)
if NOTIFY_MAIL_TO and not EMAIL_HOST:
    raise ImproperlyConfigured(
        "NOTIFY_MAIL_TO needs a mail server: set EMAIL_URL, "
        "such as smtp+starttls://user:password@mail.example.com:587."
    )
SHORTEST_WEBHOOK_SECRET = 16
if NOTIFY_WEBHOOK_URL and len(NOTIFY_WEBHOOK_SECRET) < SHORTEST_WEBHOOK_SECRET:
    raise ImproperlyConfigured(
        f"NOTIFY_WEBHOOK_URL needs a NOTIFY_WEBHOOK_SECRET of at least {SHORTEST_WEBHOOK_SECRET} "
        "characters, by which the receiver knows that a message is ours. "
        "Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'."
    )

# The web server (bbjrag/web_server.py).
SERVER_PROCESSES = env.integer("SERVER_PROCESSES", 2, minimum=1, maximum=64)
SERVER_THREADS = env.integer("SERVER_THREADS", 8, minimum=4, maximum=64)
REQUEST_TIMEOUT = env.number("REQUEST_TIMEOUT", 20.0, minimum=1.0, maximum=600.0)
# At most half of the threads of one process, so that the others stay free for everybody else.
PREVIEWS = env.integer("PREVIEWS", 2, minimum=1, maximum=SERVER_THREADS // 2)
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024  # of a request's body; the API allows less
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
DATA_UPLOAD_MAX_NUMBER_FILES = 1  # no page takes files

# web
WEB_CONTACT = env.ascii_line("WEB_CONTACT")
WEB_ALLOW_NETWORKS = env.networks("WEB_ALLOW_NETWORKS")
WEB_ORIGIN_MAP = env.origins("WEB_ORIGIN_MAP")
WEB_TIMEOUT = env.number("WEB_TIMEOUT", 20.0, minimum=0.1, maximum=600.0)
WEB_REQUEST_LIMIT = env.number("WEB_REQUEST_LIMIT", 120.0, minimum=0.1, maximum=3600.0)
WEB_ATTEMPTS = env.integer("WEB_ATTEMPTS", 3, minimum=1, maximum=10)
WEB = WebSettings(
    version=VERSION,
    contact=WEB_CONTACT,
    allow_networks=WEB_ALLOW_NETWORKS,
    origin_map=WEB_ORIGIN_MAP,
    connect_seconds=min(WEB_TIMEOUT, 10.0),
    read_seconds=WEB_TIMEOUT,
    request_seconds=WEB_REQUEST_LIMIT,
    attempts=WEB_ATTEMPTS,
)

# Git
GIT_MAX_MB = env.integer("GIT_MAX_MB", 1024, minimum=1)
GIT_QUOTA_MB = env.integer("GIT_QUOTA_MB", 4096)
GIT_TIMEOUT = env.number("GIT_TIMEOUT", 600.0, minimum=1.0)
GIT_STALL_LIMIT = env.number("GIT_STALL_LIMIT", 60.0, minimum=1.0)
GIT_KNOWN_HOSTS = env.path("GIT_KNOWN_HOSTS")
GIT_CA_FILE = env.path("GIT_CA_FILE")
GIT_SECRETS_DIR = env.path("GIT_SECRETS_DIR")
GIT = GitSettings(
    folder=STATE_DIR / "repositories",
    max_mb=GIT_MAX_MB,
    quota_mb=GIT_QUOTA_MB,
    seconds=GIT_TIMEOUT,
    stall_seconds=GIT_STALL_LIMIT,
    known_hosts=GIT_KNOWN_HOSTS,
    ca_file=GIT_CA_FILE,
    secrets_dir=GIT_SECRETS_DIR,
    tokens=env.beginning(TOKEN_PREFIX),
)

# A task only announces a SourceRun row. `retry` is longer than any run, so that a long run is not
# delivered again; the reaper, not redelivery, finds what is lost with a worker.
Q_CLUSTER = {
    "name": "bbjrag",
    "orm": "default",
    "workers": WORKERS,
    "queue_limit": WORKERS,
    "bulk": 1,
    "poll": 0,  # the worker itself pauses between polls
    "timeout": 7 * 24 * 3600,
    "retry": 7 * 24 * 3600 + 3600,
    "max_attempts": 2,
    "ack_failures": True,
    "catch_up": False,
    "save_limit": 100,
    "recycle": 20,
    "log_level": "WARNING",
    "label": "Task queue",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"run": {"()": "ingestion.log_context.RunContext"}},
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": "{asctime}{levelname}{name}{message}",
            "style": "{",
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
        },
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": env.choice("LOG_FORMAT", "line", ("line", "json")),
            "filters": ["run"],
        }
    },
    "root": {"handlers": ["stderr"], "level": env.log_level("LOG_LEVEL", "WARNING")},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "django-q": {"handlers": [], "level": "WARNING", "propagate": True},
        "gunicorn.error": {"level": "INFO", "propagate": True},
        "waitress.queue": {"level": "ERROR"},  # it counts the requests that wait, in warnings
    },
}

# Behind HTTPS. Subdomains are not ours, so their owner decides about them.
HTTPS = env.boolean("HTTPS", PRODUCTION)
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", int(HTTPS), maximum=10)
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^(health|ready)/?$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
HSTS_SECONDS = env.integer("HSTS_SECONDS", 31536000)
SECURE_HSTS_SECONDS = HSTS_SECONDS if HTTPS else 0
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SESSION_HOURS = env.integer("SESSION_HOURS", 12, minimum=1)
SESSION_COOKIE_AGE = SESSION_HOURS * 3600
DEFAULT_EXCEPTION_REPORTER_FILTER = "bbjrag.reporting.SecretsFilter"

# Too many wrong passwords from one address, or for one account: that one waits for a while.
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
LOGIN_ATTEMPTS = env.integer("LOGIN_ATTEMPTS", 10, minimum=1)
AXES_FAILURE_LIMIT = LOGIN_ATTEMPTS
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = ["ip_address"]
AXES_CLIENT_IP_CALLABLE = "bbjrag.login_throttle.login_origin"
AXES_HANDLER = "bbjrag.login_throttle.LoginThrottle"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # else who goes on makes the wait endless
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

# What one visitor may take of the web processes.
WEB_STATEMENT_TIMEOUT = env.number("WEB_STATEMENT_TIMEOUT", 15.0, maximum=3600.0)

# A second factor for the admin, by parts of allauth (bbjrag/second_factor).
SECOND_FACTOR = env.choice("SECOND_FACTOR", "off", ("off", "optional", "required"))
if SECOND_FACTOR != "off":
    INSTALLED_APPS.remove("ingestion.admin.config.AdminConfig")
    INSTALLED_APPS += [
        "bbjrag.second_factor.config.AdminConfig",
        "allauth.account",  # allauth.mfa does not load without it
        "allauth.mfa",
    ]
    MIDDLEWARE += [
        "allauth.account.middleware.AccountMiddleware",
        "bbjrag.second_factor.middleware.SecondFactorMiddleware",
    ]
    ACCOUNT_EMAIL_VERIFICATION = "none"
    MFA_ADAPTER = "bbjrag.second_factor.adapter.Adapter"
    MFA_TOTP_ISSUER = "bbjrag"
    MFA_TOTP_TOLERANCE = 1  # a code before and after: clocks differ

# Single sign-on by OpenID Connect, by parts of allauth (bbjrag/single_sign_on).
OIDC_ISSUER = env.text("OIDC_ISSUER", "")
OIDC_CLIENT_ID = env.text("OIDC_CLIENT_ID", "")
OIDC_CLIENT_SECRET = env.text("OIDC_CLIENT_SECRET", "")
OIDC_SCOPES = env.listing("OIDC_SCOPES", "openid,profile,email")
OIDC_ROLE_CLAIM = env.text("OIDC_ROLE_CLAIM", "groups")
OIDC_ROLES = env.pairs("OIDC_ROLES")
OIDC_ONLY = env.boolean("OIDC_ONLY", False)
oidc.complain(OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, OIDC_SCOPES, OIDC_ROLES, OIDC_ONLY)
OIDC_LABEL = env.text("OIDC_LABEL", urlsplit(OIDC_ISSUER).hostname or "")
if OIDC_ISSUER:
    if SECOND_FACTOR == "off":
        INSTALLED_APPS += ["allauth.account"]
        MIDDLEWARE += ["allauth.account.middleware.AccountMiddleware"]
    INSTALLED_APPS += ["allauth.socialaccount", "bbjrag.single_sign_on"]
    TEMPLATES[0]["OPTIONS"]["context_processors"] += ["bbjrag.single_sign_on.context.button"]
    AUTHENTICATION_BACKENDS += [oidc.BACKEND]
    if OIDC_ONLY:
        AUTHENTICATION_BACKENDS.remove("django.contrib.auth.backends.ModelBackend")
    ACCOUNT_EMAIL_VERIFICATION = "none"
    SOCIALACCOUNT_ADAPTER = "bbjrag.single_sign_on.adapter.Adapter"
    SOCIALACCOUNT_EMAIL_AUTHENTICATION = False  # an address proves nothing about an account here
    SOCIALACCOUNT_STORE_TOKENS = False
    SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {
            "APPS": [
                {
                    "provider_id": OIDC_ISSUER,
                    "name": OIDC_LABEL,
                    "client_id": OIDC_CLIENT_ID,
                    "secret": OIDC_CLIENT_SECRET,
                    "settings": {
                        "server_url": OIDC_ISSUER,
                        "scope": OIDC_SCOPES,
                        "oauth_pkce_enabled": True,
                    },
                }
            ]
        }
    }

X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
