"""Source: a row with a parser and the place it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from croniter import croniter
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from ingestion.exceptions import BbjragError
from ingestion.git import address
from ingestion.git.folder import key_of
from ingestion.parsers import PARSERS, TITLES, parser_choices, parser_class, permalinks
from ingestion.parsers.base import Parser, SourceConfig
from ingestion.parsers.files import address_prefixes, normal_path, quoted, resolve_inside

RESERVED_NAMES = frozenset({"http", "https", "file", "ftp", "data", "javascript", "mailto"})
SAME_NAME = (
    "There is a source {!r} already: choose another name, as it begins the addresses of documents."
)
GIT_FIELDS = ("repository", "revision", "credential", "link_template")
FIELDS = (
    *("name", "title", "parser", "paths", "start_url", "generation", "enabled"),
    *("display_base_url", "options", "schedule"),
    *GIT_FIELDS,
)
"""What people set of a source: what a form, a preview and a file of sources hold."""

GENERATIONS = [
    ("auto", "auto (the parser decides, document by document)"),
    ("bbj", "bbj (BBj in general)"),
    ("all", "all"),
    ("character", "character"),
    ("vpro5", "vpro5"),
    ("bbj_gui", "bbj_gui"),
    ("dwc", "dwc"),
]


def validate_cron(value: str) -> None:
    if value and not croniter.is_valid(value):
        raise ValidationError(
            "%(value)r is not a cron line. Example: 0 3 * * 1-5", params={"value": value}
        )


class Source(models.Model):
    name = models.CharField(
        max_length=60,
        unique=True,
        validators=[
            RegexValidator(
                r"\A[a-z][a-z0-9-]*\Z",
                "Use small letters, digits and hyphens, beginning with a letter, e.g. mdx-dwc.",
            )
        ],
        help_text="Begins the address of each document (name://...), so it stays as it is once "
        "documents are stored. Example: mdx-dwc",
    )
    title = models.CharField(max_length=200, help_text="Shown to people. Example: DWC tutorial")
    parser = models.CharField(max_length=60, choices=parser_choices)
    paths = ArrayField(
        models.CharField(max_length=500),
        default=list,
        blank=True,
        help_text="Files or folders below DATA_DIR. Example: bbj-dwc-tutorial/docs",
    )
    repository = models.CharField(
        max_length=1000,
        blank=True,
        help_text="The address of a Git repository; the paths are then folders in it (. for all of "
        "it). Example: https://github.com/BasisHub/DWC-Course.git",
    )
    revision = models.CharField(
        max_length=250,
        blank=True,
        verbose_name="branch or tag",
        help_text="Empty for the repository's default branch. Example: main",
    )
    credential = models.CharField(
        max_length=60,
        blank=True,
        help_text="The name of a secret (a token or deploy key) that the operator provides, not "
        "the secret itself; empty for a public repository. Example: docs-key",
    )
    link_template = models.CharField(
        max_length=1000,
        blank=True,
        help_text="How the repository's host shows a line of a file; empty for GitHub, GitLab, "
        "Gitea and Bitbucket. Example: https://git.example.com/docs/{commit}/{path}#L{line}",
    )
    start_url = models.URLField(
        max_length=1000,
        blank=True,
        verbose_name="start URL",
        help_text="Where a web source begins. Example: https://basis.cloud/advantage-index/",
    )
    generation = models.CharField(
        max_length=20,
        choices=GENERATIONS,
        default="auto",
        help_text="A tag that each document of the source carries beside those its parser finds.",
    )
    enabled = models.BooleanField(
        default=True, help_text="A disabled source is left out of runs; its chunks stay searchable."
    )
    display_base_url = models.URLField(
        max_length=1000,
        blank=True,
        verbose_name="display base URL",
        help_text="Put before a document's path to make the link people follow. "
        "Example: https://basishub.github.io/DWC-Course/",
    )
    options = models.JSONField(
        default=dict,
        blank=True,
        help_text='Options of the parser, as JSON. Example: {"exclude": ["drafts/*"]}',
    )
    schedule = models.CharField(
        max_length=100,
        blank=True,
        validators=[validate_cron],
        help_text="When to run by itself, as a cron line; empty for never. Example: 0 3 * * 1-5",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                name="source_name_unique_in_any_case",
                violation_error_message="Another source has this name.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def kind(self) -> str:
        """The parser's name for people."""
        return TITLES.get(self.parser, self.parser)

    def config(self, data_dir: Path | None = None) -> SourceConfig:
        return SourceConfig(
            name=self.name,
            data_dir=data_dir or settings.DATA_DIR,
            paths=tuple(self.paths),
            address_prefixes=self.address_prefixes(),
            start_url=self.start_url,
            generation=self.generation,
            display_base_url=self.display_base_url,
            options=self.options,
            web=settings.WEB,
            limits=settings.DOCUMENT_LIMITS,
            repository=self.repository,
            revision=self.revision,
            credential=self.credential,
            link_template=permalinks.template_of(self.repository, self.link_template),
        )

    def address_prefixes(self) -> dict[str, str]:
        """The address prefix of each path in earlier runs."""
        return dict(self.path_addresses.values_list("path", "prefix")) if self.pk else {}

    def keep_address_prefixes(self) -> None:
        """Store the address prefix of each path for all later runs."""
        known = self.address_prefixes()
        for path, prefix in address_prefixes(self.paths, known).items():
            if known.get(path) != prefix:
                self.path_addresses.update_or_create(path=path, defaults={"prefix": prefix})

    def problems(self, data_dir: Path | None = None) -> dict[str, list[str]]:
        """What keeps a run of this source from starting: field name to messages."""
        if self.parser not in PARSERS:
            return {"parser": [f"There is no parser {self.parser!r} in this version."]}
        cls = parser_class(self.parser)
        found: dict[str, list[str]] = {}
        try:
            cls.check_options(self.options)
        except BbjragError as error:
            found["options"] = [str(error)]
        where = self._path_problems(data_dir) if cls.reads == "paths" else self._url_problems()
        found |= where | self._git_problems(data_dir, cls.reads == "paths")
        return found or self._choice_problems(cls, data_dir)

    def _git_problems(self, data_dir: Path | None, reads_paths: bool) -> dict[str, list[str]]:
        """What is wrong with the fields of a source in Git. Whether its repository can be read is
        seen when it is read."""
        if not self.repository:
            given = [n for n in GIT_FIELDS if n != "repository" and getattr(self, n)]
            return {name: ["This is for a source in Git: give its repository."] for name in given}
        if not reads_paths:
            return {"repository": [f"{self.kind} reads a web site, which has no repository."]}
        where = data_dir or settings.DATA_DIR
        checks: dict[str, Callable[[], object]] = {
            "repository": lambda: address.parsed(self.repository, where),
            "revision": lambda: address.check_revision(self.revision),
            "credential": lambda: address.check_credential(self.credential),
            "link_template": lambda: permalinks.check(self.link_template),
        }
        return {name: [said] for name, check in checks.items() if (said := _refused(check))}

    def _choice_problems(self, cls: type[Parser], data_dir: Path | None) -> dict[str, list[str]]:
        """What is wrong with options that name something which is not in the source. What a
        repository holds is seen when it is read."""
        if not self.options or self.repository:
            return {}
        parser = cls(self.config(data_dir))
        try:
            choices = parser.choices()
        except BbjragError as error:
            return {"paths": [str(error)]}
        wrong = {name: getattr(parser.options, name) for name in choices}
        messages = [
            f"{name}: there is no {value!r}: {_way_out(choices[name])}"
            for name, value in wrong.items()
            if value and value.casefold() not in map(str.casefold, choices[name])
        ]
        return {"options": messages} if messages else {}

    def _path_problems(self, data_dir: Path | None) -> dict[str, list[str]]:
        if not self.paths:
            where = "in the repository, . for all of it" if self.repository else "below DATA_DIR"
            return {"paths": [f"{self.kind} reads files: give at least one path {where}."]}
        messages, seen = [], list[Path]()
        for path in self.paths:
            try:
                target = self._target(path, data_dir)
            except BbjragError as error:
                messages.append(str(error))
                continue
            if any(target.is_relative_to(other) or other.is_relative_to(target) for other in seen):
                messages.append(
                    f"{quoted(path)} is inside another path of this source: keep only one."
                )
            seen.append(target)
        return {"paths": messages} if messages else {}

    def _target(self, path: str, data_dir: Path | None) -> Path:
        """Where a path leads to. Raises BbjragError if that cannot be."""
        if not self.repository:
            return resolve_inside(data_dir or settings.DATA_DIR, path)
        address.check_folder(path)
        return Path("/", normal_path(path))

    def _url_problems(self) -> dict[str, list[str]]:
        if not self.start_url:
            return {"start_url": [f"{self.kind} reads a web site: give its start URL."]}
        parts = urlsplit(self.start_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return {"start_url": ["Only http and https addresses are read."]}
        if parts.username or parts.password:
            return {"start_url": ["Leave user names and passwords out of the address."]}
        return {}

    def repository_key(self) -> str:
        """The name of the folder that its repository is kept in; empty without one."""
        return key_of(self.repository, self.credential) if self.repository else ""

    def clean(self) -> None:
        found: dict[str, list[str]] = {}
        if self.name in RESERVED_NAMES:
            found["name"] = [
                f"{self.name!r} is the scheme of other addresses: choose another name."
            ]
        elif twin := self._of_same_name():
            found["name"] = [SAME_NAME.format(twin)]
        if self.parser:  # else its field says that it is required
            found |= self.problems()
        if not self.enabled:
            found = {
                field: messages for field, messages in found.items() if self._always_wrong(field)
            }
        if not found.get("start_url") and (twin := self._shared_prefix()):
            found["start_url"] = [
                f"The source {twin!r} begins at this address, or above or below it, and one page "
                "can belong to one source only: choose another start, or change that source."
            ]
        if found:
            raise ValidationError(found)

    def _always_wrong(self, field: str) -> bool:
        """A disabled source may wait for its files, but never point out of DATA_DIR."""
        if field == "paths" and not self.repository:
            return any(self._escapes(path) for path in self.paths)
        return True

    def _escapes(self, path: str) -> bool:
        base = settings.DATA_DIR.resolve()
        try:
            return not (base / path).resolve().is_relative_to(base)
        except (OSError, RuntimeError, ValueError):  # a path that no file system can follow
            return True

    def _of_same_name(self) -> str | None:
        """The name of another source that differs only in case.

        Checked here, not as a constraint, so that the error is shown once, and at its field.
        """
        twins = Source.objects.exclude(pk=self.pk).filter(name__iexact=self.name)
        return twins.values_list("name", flat=True).first()

    def _shared_prefix(self) -> str | None:
        if not self.start_url:
            return None
        mine = self.start_url.rstrip("/") + "/"
        others: Any = Source.objects.exclude(pk=self.pk).exclude(start_url="")
        for name, url in others.values_list("name", "start_url"):
            theirs = url.rstrip("/") + "/"
            if mine.startswith(theirs) or theirs.startswith(mine):
                return str(name)
        return None


def _refused(check: Callable[[], object]) -> str:
    """Why a check refuses what it checks; empty if it does not."""
    try:
        check()
    except BbjragError as error:
        return str(error)
    return ""


class PathAddress(models.Model):
    """The address prefix of a path of a source, written by runs, so that addresses stay the same
    when the source gets more or fewer paths."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="path_addresses")
    path = models.CharField(max_length=500)
    prefix = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "path"], name="path_address")]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.source}: {self.path}"


class LeftOut(models.Model):
    """A document that people have left out of search. It is known by its address, so that it stays
    left out if it is read again, removed and found again, or embedded with another model."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="left_out")
    url = models.CharField("address", max_length=2000, unique=True)
    title = models.CharField(max_length=1000, blank=True)
    reason = models.CharField(
        max_length=500, help_text="For others, and for later. Example: describes a beta version"
    )
    author = models.CharField(max_length=150, blank=True, help_text="Who left it out.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "document left out of search"
        verbose_name_plural = "documents left out of search"
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return self.title or self.url


class SourceMemory(models.Model):
    """What a source's parser remembers for its next read (see `parsers.base.Known`)."""

    source = models.OneToOneField(Source, on_delete=models.CASCADE, related_name="memory")
    read_key = models.CharField(
        max_length=64,
        help_text="The parser, its version and the source's settings at that reading.",
    )
    data = models.JSONField(default=dict)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"memory of {self.source}"


def _way_out(choices: Sequence[str]) -> str:
    if not choices:
        return "there is none. Leave the option out."
    return f"name one of {', '.join(map(repr, choices))}."
