"""The tables: what is stored of a source (Document with DocumentText and Original, Chunk,
EmbeddingProfile), what happened (Run, SourceRun, Failure, LogLine), how well search answers
(Question, Evaluation), and what people were told and asked (Notification, AskedQuery). Behaviour
lives in `pipeline`, `runs`, `search` and `notifications`."""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import Case, Exists, Func, OuterRef, Q, Value, When
from django.db.models.functions import MD5, Left
from pgvector.django import VectorField

from sources.models import Source


class Document(models.Model):
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="documents")
    url = models.CharField(max_length=2000, unique=True)
    display_url = models.CharField(max_length=2000, blank=True)
    title = models.CharField(max_length=1000)
    doc_type = models.CharField("type", max_length=40, db_index=True)
    generations = ArrayField(models.CharField(max_length=20), default=list)
    deprecated = models.BooleanField(default=False)
    breadcrumb = ArrayField(models.TextField(), default=list)
    metadata = models.JSONField(default=dict)
    fingerprint = models.CharField(
        max_length=64,
        help_text="Over all that reaches the chunks; empty when a chunk could not be embedded, "
        "so that the next run tries again.",
    )
    read_key = models.CharField(
        max_length=64,
        help_text="The parser, its version and the source's settings at the last read.",
    )
    http_validators = models.JSONField(default=dict)
    inputs = models.JSONField(
        default=list, help_text="[path, size, mtime_ns] of each file the document drew from."
    )
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ["source", "url"]
        indexes = [GinIndex(fields=["generations"], name="document_generations_gin")]

    def __str__(self) -> str:
        return self.title or self.url


class Original(models.Model):
    """The bytes of a file that documents were read from, stored once for all of them.

    `index.texts` stores it, and removes what no document refers to any more.
    """

    digest = models.CharField(max_length=64, primary_key=True, help_text="SHA-256, in hex.")
    data = models.BinaryField(help_text="Compressed: see `index.texts`.")
    stored_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.digest


class DocumentText(models.Model):
    """What a document was read from, and the text that its chunks were cut from.

    A document that was stored before this table existed has no row until it is made again.
    """

    document = models.OneToOneField(
        Document, on_delete=models.CASCADE, primary_key=True, related_name="stored_text"
    )
    text = models.BinaryField(help_text="What the chunks are parts of; compressed.")
    places = models.BinaryField(
        help_text="The file's line and page of lines of the text; compressed."
    )
    chunks = models.BinaryField(
        help_text="Where each chunk begins and ends in the text; compressed."
    )
    original = models.ForeignKey(Original, null=True, on_delete=models.PROTECT, related_name="+")
    media_type = models.CharField(max_length=40, blank=True, help_text="Empty without a file.")
    original_size = models.BigIntegerField(null=True, help_text="In bytes, if there is a file.")
    previous = models.BinaryField(null=True, help_text="The text before the last change.")
    replaced_at = models.DateTimeField(null=True, help_text="When `previous` was replaced.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"The text of document {self.document_id}"


class EmbeddingProfile(models.Model):
    """A model that chunks were embedded with. Vectors of two profiles are never compared."""

    provider = models.CharField(max_length=40)
    model = models.CharField(max_length=200)
    digest = models.CharField(max_length=100)
    dimensions = models.PositiveIntegerField()
    document_prefix = models.TextField(blank=True)
    query_prefix = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "model", "digest", "dimensions", "document_prefix"],
                name="embedding_profile_unique",
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.model} ({self.dimensions})"

    @property
    def index_name(self) -> str:
        return f"chunk_hnsw_profile_{self.pk}"


class Enrichment(models.Model):
    """What a language model said of a text, or why nothing came of it: see `index.enrichments`.

    It stays when the chunks of that text go, so that no text is asked about twice. A row is never
    changed once it has words.
    """

    text_hash = models.CharField(
        max_length=64, help_text="Over context header and content of a chunk, without these words."
    )
    model = models.CharField(max_length=200)
    prompt = models.PositiveIntegerField(help_text="The version of the question.")
    context = models.TextField(blank=True, help_text="What the text is about, in its document.")
    questions = ArrayField(models.TextField(), default=list, help_text="That the text answers.")
    failure = models.TextField(blank=True, help_text="Why there are no words.")
    made_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["text_hash", "model", "prompt"], name="enrichment_unique"
            )
        ]

    def __str__(self) -> str:
        return self.failure or self.context


class Chunk(models.Model):
    document = models.ForeignKey(
        Document,
        on_delete=models.CASCADE,
        related_name="chunks",
        db_index=False,  # the unique constraint begins with it
    )
    ordinal = models.PositiveIntegerField()
    title = models.CharField(max_length=1000, help_text="A copy of the document's title.")
    heading_path = ArrayField(models.TextField(), default=list)
    context_header = models.TextField(blank=True)
    content = models.TextField()
    content_hash = models.CharField(
        max_length=64,
        help_text="Over all that is embedded: the key under which an embedding is reused.",
    )
    tokens = models.PositiveIntegerField()
    start_line = models.PositiveIntegerField(null=True)
    start_page = models.PositiveIntegerField(null=True)
    profile = models.ForeignKey(
        EmbeddingProfile,
        on_delete=models.PROTECT,
        related_name="chunks",
        db_index=False,  # an index of its own tempted the planner to read the whole profile
    )
    embedding = VectorField()
    search_vector = SearchVectorField(
        null=True, help_text="Made by `ingestion.text.analyzer`, which takes identifiers apart."
    )
    enrichment = models.ForeignKey(
        Enrichment,
        null=True,
        on_delete=models.PROTECT,
        related_name="chunks",
        db_index=False,  # nearly always null: see the partial index
        help_text="The words of a language model that its vectors were made with.",
    )

    class Meta:
        ordering = ["document", "ordinal"]
        constraints = [
            models.UniqueConstraint(fields=["document", "ordinal"], name="chunk_ordinal_unique")
        ]
        indexes = [
            models.Index(fields=["profile", "content_hash"], name="chunk_profile_hash"),
            GinIndex(fields=["search_vector"], name="chunk_search_vector_gin"),
            models.Index(
                fields=["enrichment"],
                name="chunk_enrichment",
                condition=Q(enrichment__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} [{self.ordinal}]"


class TokenVectors(models.Model):
    """What a small transformer says of the tokens of a chunk: see `embedding.token_vectors`.

    Kept by the text, as embeddings are; `runs.token_vectors` makes them, beside the runs.
    """

    content_hash = models.CharField(max_length=64, primary_key=True, help_text="Of the chunk.")
    version = models.PositiveSmallIntegerField(help_text="Of how they are made.")
    vectors = models.BinaryField()
    centroids = ArrayField(
        models.SmallIntegerField(),
        default=list,
        help_text="Those that the tokens are nearest to; a search finds texts by them.",
    )
    centroid_bytes = models.BinaryField(
        default=b"", help_text="The same, as a search reads them: two bytes each."
    )

    class Meta:
        default_permissions = ()
        verbose_name = verbose_name_plural = "token vectors"
        indexes = [
            GinIndex(fields=["centroids"], name="token_vectors_centroids_gin", fastupdate=False)
        ]

    def __str__(self) -> str:
        return self.content_hash


class SearchTerm(models.Model):
    """A term of the full text index, with the number of chunks that contain it.

    The empty term has the number of all chunks. See `index.term_statistics`.
    """

    term = models.TextField(primary_key=True)
    chunks = models.PositiveIntegerField()
    trigrams = ArrayField(models.TextField(), default=list)

    class Meta:
        indexes = [GinIndex(fields=["trigrams"], name="search_term_trigrams_gin")]

    def __str__(self) -> str:
        return f"{self.term} ({self.chunks})"


class SourceTerm(models.Model):
    """A term, with the number of chunks of one source that contain it: for those who may not see
    all sources. The empty term has the number of the source's chunks. See `index.term_statistics`.
    """

    pk = models.CompositePrimaryKey("term", "source_id")
    term = models.TextField()
    source = models.ForeignKey(
        Source,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
        db_constraint=False,  # terms are counted while a source is deleted
    )
    chunks = models.PositiveIntegerField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.term} ({self.chunks})"


class ApiToken(models.Model):
    """A token of the HTTP API. Only its hash is stored: see `ingestion.api.tokens`.

    `ingestion.access` says what it allows.
    """

    name = models.CharField(max_length=100, help_text="Who uses it. Example: editor plug-in")
    beginning = models.CharField(max_length=12, help_text="To tell tokens apart.")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256, in hex.")
    requests_per_minute = models.PositiveIntegerField(default=120)
    every_source = models.BooleanField(default=True)
    sources = models.ManyToManyField(
        Source, blank=True, related_name="+", help_text="If it is not for every source."
    )
    may_search = models.BooleanField("search", default=True)
    may_read = models.BooleanField("read documents", default=True)
    may_run = models.BooleanField("start and cancel runs, decide on removals", default=False)
    window_start = models.DateTimeField(null=True, editable=False)
    window_requests = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API token"
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return f"{self.name} ({self.beginning}...)"


class Run(models.Model):
    """One request to read sources: who asked, when, how."""

    class Origin(models.TextChoices):
        COMMAND = "command"
        ADMIN = "admin"
        SCHEDULE = "schedule"
        API = "api"

    origin = models.CharField(max_length=20, choices=Origin)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL
    )
    token = models.ForeignKey(
        ApiToken, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    options = models.JSONField(
        default=dict, help_text="clean, retry_failed, addresses, data_dir: as they were asked for."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        permissions = [
            ("start_run", "Can start runs and retry failures"),
            ("cancel_run", "Can cancel runs"),
            ("decide_removal", "Can approve and refuse removals"),
        ]

    def __str__(self) -> str:
        return f"Run {self.pk}"

    @property
    def who(self) -> str:
        """The person or the token that asked for it; empty if none is known."""
        if self.requested_by:
            return str(self.requested_by)
        return f"token {self.token.name}" if self.token else ""


class StartKey(models.Model):
    """The key that a client sent with a start, and the answer, which it gets again for it."""

    token = models.ForeignKey(ApiToken, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=100)
    asked = models.JSONField(help_text="The request; another one with the same key is refused.")
    run = models.ForeignKey(Run, null=True, on_delete=models.CASCADE, related_name="+")
    answer = models.JSONField(default=dict)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["token", "key"], name="one_start_per_key"),
        ]

    def __str__(self) -> str:
        return self.key


class State(models.TextChoices):
    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    WAITING = "waiting", "waiting"
    SUCCEEDED = "succeeded", "succeeded"
    PARTIAL = "partial", "finished with failures"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"
    INTERRUPTED = "interrupted", "interrupted"
    NEEDS_APPROVAL = "needs_approval", "needs approval"


OPEN_STATES = [State.QUEUED, State.RUNNING, State.WAITING]


class SourceRuns(models.QuerySet["SourceRun"]):
    def open(self) -> Self:
        """Those that have not come to an end."""
        return self.filter(state__in=OPEN_STATES)


class SourceRun(models.Model):
    """The reading of one source within a Run. `runs.state_machine` moves it between states."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="source_runs")
    source = models.ForeignKey(
        Source, null=True, on_delete=models.SET_NULL, related_name="source_runs"
    )
    source_name = models.CharField(max_length=60)
    state = models.CharField(max_length=20, choices=State, default=State.QUEUED, db_index=True)
    attempt = models.PositiveIntegerField(default=0)
    stage = models.CharField(max_length=20, blank=True)
    timings = models.JSONField(default=dict, help_text="Seconds spent in each stage.")
    expected = models.PositiveIntegerField(null=True, help_text="Documents at the last reading.")
    read = models.PositiveIntegerField(default=0, help_text="Documents read so far in this run.")
    documents = models.PositiveIntegerField(default=0, help_text="Documents stored of the source.")
    chunks = models.PositiveIntegerField(default=0, help_text="Chunks stored of the source.")
    added = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    embedded = models.PositiveIntegerField(default=0, help_text="Chunks embedded.")
    reused = models.PositiveIntegerField(
        default=0, help_text="Chunks of the documents met that kept a vector stored before."
    )
    removed = models.PositiveIntegerField(default=0, help_text="Documents removed.")
    moved = models.PositiveIntegerField(
        default=0, help_text="Documents that were met at a new address, with the same text."
    )
    failures = models.PositiveIntegerField(default=0)
    warnings = models.PositiveIntegerField(default=0)
    vanished = models.JSONField(
        default=list,
        help_text="Addresses of the documents that were removed, or whose removal waits.",
    )
    moves = models.JSONField(
        default=list, help_text="[old, new] addresses of the documents that have moved."
    )
    quality = models.JSONField(
        default=dict, help_text="Figures of what is stored of the source at its end."
    )
    commit = models.CharField(
        max_length=64, blank=True, help_text="What was read of a source in Git."
    )
    current_url = models.CharField(max_length=2000, blank=True)
    last_line = models.TextField(blank=True, help_text="What happened last, in one sentence.")
    error = models.TextField(blank=True, help_text="What stopped it, and the way out.")
    cancel_requested = models.BooleanField(default=False)
    worker = models.CharField(max_length=200, blank=True, help_text="Host and process.")
    queued_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    heartbeat = models.DateTimeField(null=True)
    waiting_since = models.DateTimeField(null=True)
    resume_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = SourceRuns.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["source"],
                condition=Q(state__in=OPEN_STATES),
                name="one_open_run_per_source",
            )
        ]

    def __str__(self) -> str:
        return f"{self.source_name} in run {self.run_id}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def seconds(self) -> float | None:
        """From start to finish; None unless both are known."""
        if self.started_at and self.finished_at:
            return (self.finished_at - self.started_at).total_seconds()
        return None


class IgnoredProblem(models.Model):
    """A problem that a person has decided to live with, until its message says something else."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="+")
    document_url = models.CharField(max_length=2000, blank=True)
    reason = models.CharField(max_length=32, help_text="The reason of the failures it covers.")
    level = models.CharField(max_length=10)
    stage = models.CharField(max_length=20)
    message = models.TextField(help_text="As it was when it was ignored.")
    note = models.CharField(max_length=500, help_text="Why it is ignored.")
    ignored_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    ignored_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        default_permissions = ()
        permissions = [("ignore_problem", "Can ignore problems")]
        constraints = [
            # The address may be too long for an index.
            models.UniqueConstraint(
                "source", MD5("document_url"), "reason", name="ignored_problem_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.document_url}: {self.message}"


def ignoring() -> models.QuerySet[IgnoredProblem]:
    """What ignores a failure, in a query over failures: the same reason at the same document."""
    same = {name: OuterRef(name) for name in ("source", "document_url", "reason")}
    return IgnoredProblem.objects.filter(**same)


class Failures(models.QuerySet["Failure"]):
    def open(self) -> Self:
        """Those that no later run has resolved."""
        return self.filter(resolved=False)

    def ignored(self) -> Self:
        return self.filter(Exists(ignoring()))

    def waiting(self) -> Self:
        """The open ones that need somebody: their source exists, and nobody ignores them."""
        return self.open().filter(~Exists(ignoring()), source__isnull=False)

    def errors(self) -> Self:
        """Without warnings: each of these is a document, or a part of a source, that is missing."""
        return self.filter(level=Failure.Level.ERROR)


def _starred(text: Func | Case, pattern: str) -> Func:
    """The text with a star in place of everything that matches."""
    return Func(
        *(text, Value(pattern), Value("*"), Value("g")),
        function="regexp_replace",
        output_field=models.TextField(),
    )


def _reason() -> Func:
    """A hash of a message without what is specific to its document: the file's name before a
    colon, quotes, paths (with blanks in them too) and numbers."""
    message = Left("message", 2000)
    head = Func(
        *(message, Value(": "), Value(1)), function="split_part", output_field=models.TextField()
    )
    rest = Func(
        *(message, Value("^.*?: "), Value("")),
        function="regexp_replace",
        output_field=models.TextField(),
    )
    names = Case(
        When(document_url__contains=head, then=rest),
        default=message,
        output_field=models.TextField(),
    )
    quotes = _starred(names, """'[^']*'|"[^"]*"|`[^`]*`""")
    spaced = _starred(quotes, r"""[^\s'"`]*/([^\s'"`,:;]+ ){0,6}[^\s'"`,:;]*\.[A-Za-z]{2,5}""")
    paths = _starred(spaced, r"""[^\s'"`]*/[^\s'"`]+""")
    return MD5(_starred(paths, r"\d+"))


class Failure(models.Model):
    class Level(models.TextChoices):
        ERROR = "error"
        WARNING = "warning"

    source_run = models.ForeignKey(SourceRun, on_delete=models.CASCADE, related_name="failure_rows")
    source = models.ForeignKey(Source, null=True, on_delete=models.SET_NULL, related_name="+")
    level = models.CharField(max_length=10, choices=Level, default=Level.ERROR)
    document_url = models.CharField(max_length=2000, blank=True)
    stage = models.CharField(max_length=20)
    message = models.TextField()
    reason = models.GeneratedField(
        expression=_reason(), output_field=models.CharField(max_length=32), db_persist=True
    )
    created_at = models.DateTimeField(auto_now_add=True)
    resolved = models.BooleanField(default=False)

    objects = Failures.as_manager()

    class Meta:
        verbose_name = "problem"
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["source"], condition=Q(resolved=False), name="failure_unresolved"),
            models.Index(fields=["reason", "created_at"], name="failure_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.document_url}: {self.message}"


class LogLine(models.Model):
    """A line of the log of a source run. `runs.log` writes and limits them."""

    class Level(models.TextChoices):
        INFO = "info"
        WARNING = "warning"
        ERROR = "error"

    source_run = models.ForeignKey(
        SourceRun, on_delete=models.CASCADE, related_name="log_lines", db_index=False
    )
    at = models.DateTimeField()
    level = models.CharField(max_length=10, choices=Level, default=Level.INFO)
    message = models.TextField()

    class Meta:
        ordering = ["-pk"]
        default_permissions = ()
        indexes = [models.Index(fields=["source_run", "id"], name="log_line_source_run")]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.level}: {self.message}"


class ScheduledRun(models.Model):
    """When a source's schedule is due next. `runs.schedules` keeps it up to date."""

    source = models.OneToOneField(Source, on_delete=models.CASCADE, related_name="scheduled_run")
    cron = models.CharField(max_length=100, help_text="The schedule that `at` was reckoned from.")
    at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.source} at {self.at}"


class Preview(models.Model):
    """What a person tries: settings of a source, stored or not, and what reading them finds.

    `runs.previews` keeps it up to date. Nothing of it is searched; it is removed after a day.
    """

    class State(models.TextChoices):
        READING = "reading"
        ENDED = "ended"
        CANCELLED = "cancelled"
        REFUSED = "refused"
        FAILED = "failed"

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    source = models.ForeignKey(Source, null=True, on_delete=models.CASCADE, related_name="+")
    values = models.JSONField(help_text="The settings that are tried, by the names of a Source.")
    seconds = models.PositiveIntegerField(help_text="How long it reads at most.")
    state = models.CharField(max_length=20, choices=State, default=State.READING)
    read = models.PositiveIntegerField(default=0, help_text="Documents read so far.")
    current = models.CharField(max_length=2000, blank=True, help_text="The one read last.")
    error = models.TextField(blank=True, help_text="Why nothing was read, and the way out.")
    result = models.BinaryField(null=True, help_text="Figures and problems: compressed JSON.")
    cancel_requested = models.BooleanField(default=False)
    heartbeat = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"Preview {self.pk}"


class PreviewDocument(models.Model):
    """A document as a preview met it, or one that it did not meet any more."""

    class Kind(models.TextChoices):
        ADDED = "added"
        CHANGED = "changed"
        GONE = "gone"
        MOVED = "moved"
        UNCHANGED = "unchanged"

    preview = models.ForeignKey(Preview, on_delete=models.CASCADE, related_name="documents")
    kind = models.CharField(max_length=20, choices=Kind)
    url = models.CharField(max_length=2000)
    old_url = models.CharField(max_length=2000, blank=True)
    title = models.CharField(max_length=1000, blank=True)
    chunks = models.PositiveIntegerField(default=0)
    body = models.BinaryField(null=True, help_text="Its text and chunks: compressed JSON.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.title or self.url


class Question(models.Model):
    """A question with known answers, which search is measured by; without one it is a gap, kept
    until somebody writes the answer. See `search.questions`."""

    query = models.TextField(max_length=8000, help_text="As somebody types it.")
    kind = models.CharField(
        max_length=60,
        default="question",
        help_text="Figures are shown by kind. One of those that are used, or your own.",
    )
    passages = models.JSONField(
        default=list,
        blank=True,
        help_text="Each with the address of its document and a phrase of the passage.",
    )
    expected = models.JSONField(
        default=list,
        blank=True,
        help_text="Addresses of documents, or their beginnings: any of their text is an answer.",
    )
    phrases = models.JSONField(
        default=list, blank=True, help_text="Any text with one of these phrases is an answer."
    )
    all = models.BooleanField(
        "needs all of its answers",
        default=False,
        help_text="Otherwise one of them is enough.",
    )
    half = models.CharField(
        max_length=20,
        blank=True,
        help_text="Of a set in two halves: tune, to change search by, or held-out, to judge it.",
    )
    note = models.TextField(blank=True, help_text="Who asked, or why this is the answer.")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            # The query may be too long for an index.
            models.UniqueConstraint(
                MD5("query"),
                name="question_unique",
                violation_error_message="This question is there already.",
            )
        ]

    def __str__(self) -> str:
        return self.query

    @property
    def is_gap(self) -> bool:
        """Whether nothing answers it: somebody has to write that first."""
        return not (self.expected or self.phrases or self.passages)


class Evaluation(models.Model):
    """One time that all questions were asked, and how well search answered.

    `runs.evaluations` moves it between states.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    run = models.ForeignKey(
        Run,
        null=True,
        on_delete=models.SET_NULL,
        related_name="evaluations",
        help_text="The run that it followed, if nobody asked for it.",
    )
    modes = ArrayField(models.CharField(max_length=20))
    state = models.CharField(max_length=20, choices=State, default=State.QUEUED, db_index=True)
    questions = models.PositiveIntegerField(default=0)
    asked = models.PositiveIntegerField(default=0, help_text="In all modes together.")
    profiles = ArrayField(models.TextField(), default=list, help_text="In use when it ran.")
    chunk_size = models.PositiveIntegerField(null=True, help_text="CHUNK_SIZE when it ran.")
    chunks = models.PositiveIntegerField(default=0, help_text="In the index when it ran.")
    figures = models.JSONField(default=dict, help_text="By mode and kind.")
    change = models.JSONField(default=dict, help_text="What fell and rose since the one before.")
    report = models.JSONField(default=dict, help_text="See `search.evaluation.report`.")
    notes = ArrayField(models.TextField(), default=list, help_text="What limited the results.")
    error = models.TextField(blank=True, help_text="What stopped it, and the way out.")
    cancel_requested = models.BooleanField(default=False)
    attempt = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=200, blank=True, help_text="Host and process.")
    heartbeat = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view",)
        permissions = [("start_evaluation", "Can start and stop evaluations of search")]

    def __str__(self) -> str:
        return f"Evaluation {self.pk}"

    @property
    def is_open(self) -> bool:
        return self.state in (self.State.QUEUED, self.State.RUNNING)


class Notification(models.Model):
    """Something that people are told of once, and once more when it is over.

    `notifications` keeps it up to date. A cause has one row while it lasts.
    """

    cause = models.CharField(max_length=100, help_text="For programs. Example: failed:12")
    title = models.CharField(max_length=200)
    text = models.TextField(help_text="What happened, and what to do.")
    source_name = models.CharField(max_length=60, blank=True)
    since = models.DateTimeField()
    seen = models.DateTimeField(help_text="When it was last seen to be so.")
    told = models.DateTimeField(
        null=True, help_text="When its messages were written; empty while it may end by itself."
    )
    over = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view",)
        permissions = [("test_notification", "Can send test messages")]
        constraints = [
            models.UniqueConstraint(
                fields=["cause"], condition=Q(over=None), name="one_notification_per_cause"
            )
        ]

    def __str__(self) -> str:
        return self.title


class NotificationMessage(models.Model):
    """What is sent of a notification over one channel; a test belongs to none."""

    class Event(models.TextChoices):
        BEGAN = "began"
        OVER = "over"
        TEST = "test"

    notification = models.ForeignKey(
        Notification, null=True, on_delete=models.CASCADE, related_name="messages"
    )
    channel = models.CharField(max_length=20)
    event = models.CharField(max_length=10, choices=Event)
    attempts = models.PositiveIntegerField(default=0)
    next_try = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    answer = models.TextField(blank=True, help_text="What the receiver said, or the last problem.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["notification", "channel", "event"], name="notification_message_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.event} by {self.channel}"


class AskedQuery(models.Model):
    """What somebody asked, and how well it was answered (setting QUERY_LOG_DAYS).

    `search.query_log` writes it.
    """

    at = models.DateTimeField(db_index=True)
    query = models.CharField(max_length=1000)
    same = models.CharField(max_length=32, help_text="The same for the same words.")
    mode = models.CharField(max_length=10)
    filters = models.JSONField(default=dict)
    asked_by = models.CharField(max_length=100, help_text="The name of a token, admin or mcp.")
    hits = models.PositiveIntegerField()
    trusted = models.FloatField(help_text="From 0 to 1: see `search.trust`.")
    source_name = models.CharField(max_length=60, blank=True, help_text="Of the best hit.")
    url = models.CharField(max_length=2000, blank=True, help_text="Of the best hit.")
    profile = models.ForeignKey(
        EmbeddingProfile, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    embedding = VectorField(null=True)

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view",)
        verbose_name_plural = "asked queries"
        indexes = [models.Index(fields=["same", "-at"], name="asked_query_same")]

    def __str__(self) -> str:
        return self.query
