"""What is stored of a source, and whether its files and pages have changed since.

Loaded at the start of a run: each stored document with its fingerprint, the key it was read with,
the sizes and times of its files, and its HTTP validators.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ingestion import documents
from ingestion.index.enrichments import stale_addresses
from ingestion.models import Document, Failure
from ingestion.parsers import beneath
from sources.models import Source, SourceMemory

STANDING = frozenset(("parse", "embed", "store"))
"""Stages whose failures leave something of a document, and hold until it changes. Those of others
leave nothing; and a reading that died with a document in hand said nothing of it."""
SHARED_FILES = 4096  # whose status is cached, because many documents share them
NO_VALIDATORS: Mapping[str, str] = {}
_FIELDS = (
    *("url", "pk", "fingerprint", "read_key", "inputs", "http_validators", "changed_at"),
    *("stored_text__pk", "stored_text__original_id", "stored_text__original_size"),
)


class Stored(NamedTuple):
    pk: int
    fingerprint: str
    read_key: str
    inputs: tuple[tuple[str, int, int], ...]
    validators: Mapping[str, str]
    changed_at: datetime
    has_text: bool
    has_original: bool  # or it has no file, or one too large to be stored


class _Shared:
    """Keeps one copy of values that many documents share, above all their input files."""

    def __init__(self, original_limit: int) -> None:
        self.original_limit = original_limit
        self.values: dict[Any, Any] = {}

    def stored(
        self,
        pk: int,
        fingerprint: str,
        read_key: str,
        inputs: list[list[Any]],
        validators: dict[str, str],
        changed_at: datetime,
        text: int | None,
        original: str | None,
        size: int | None,
    ) -> Stored:
        files = tuple(self._once(tuple(entry)) for entry in inputs)
        kept = validators or NO_VALIDATORS
        when = self._once(changed_at)
        has_original = original is not None or not 0 < (size or 0) <= self.original_limit
        key, inputs_ = self._once(read_key), self._once(files)
        return Stored(pk, fingerprint, key, inputs_, kept, when, text is not None, has_original)

    def _once(self, value: Any) -> Any:
        return self.values.setdefault(value, value)


def read_key(source: Source, versions: tuple[object, ...]) -> str:
    """A key that changes when the same files could give different chunks: after a change of the
    row's settings, or of the `versions` of parser, chunker and profile.

    DATA_DIR is not part of it: web server, workers and later releases may use different paths for
    the same files.
    """
    facts = [
        source.parser,
        versions,
        source.paths,
        source.start_url,
        source.generation,
        source.display_base_url,
        source.options,
    ]
    if source.repository:
        facts += [source.repository, source.link_template]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


class KnownDocuments:
    """The stored documents of a source, as its parser sees them (`parsers.base.Known`).

    `key` covers the parser, the row's settings and the chunking: a document read with another key
    is never current. With `made_since`, only documents made since then count as known, so a run
    that makes everything again resumes where an earlier attempt ended. Without `trust_times`, size
    and time of a file do not make it current. Neither is a document current whose text, or file of
    at most `original_limit` bytes, is not stored, or whose chunks lack words that there are of the
    `enrichment_model`, or have others. Unless the last reading `was_whole`, a file of several
    documents is not current: it may have been left in its middle. `in_hand` is called with each
    address that the parser asks about, which it reads next.
    """

    def __init__(
        self,
        source: Source,
        key: str,
        data_dir: Path,
        *,
        made_since: datetime | None = None,
        trust_times: bool = True,
        original_limit: int = 0,
        enrichment_model: str = "",
        was_whole: bool = True,
        in_hand: Callable[[str], None] = lambda url: None,
    ) -> None:
        self.source = source
        self.key = key
        self.data_dir = data_dir.resolve()
        self.made_since = made_since
        self.trust_times = trust_times
        self.was_whole = was_whole
        self.in_hand = in_hand
        self.by_url: dict[str, Stored] = {}
        self.by_file: dict[str, list[str]] = {}
        rows = Document.objects.filter(source=source).order_by().values_list(*_FIELDS)
        shared = _Shared(original_limit)
        for url, *rest in rows.iterator():
            self.by_url[url] = shared.stored(*rest)
            if "#" in url:
                self.by_file.setdefault(url.partition("#")[0], []).append(url)
        for url in stale_addresses(source.pk, enrichment_model) & self.by_url.keys():
            self.by_url[url] = self.by_url[url]._replace(fingerprint="")
        self.failing: dict[str, list[documents.DocumentFailure]] = {}
        errors = Failure.objects.open().errors().filter(source=source)
        for row in errors.order_by("pk"):
            failure = documents.DocumentFailure(row.document_url, row.message, row.stage)
            noted = self.failing.setdefault(row.document_url, [])
            if failure not in noted:  # an earlier attempt of this run may have recorded it too
                noted.append(failure)
        self._on_disk = lru_cache(SHARED_FILES)(self._stat)

    def covered(self, url: str) -> list[str]:
        """The stored addresses that are `url` or sections of it."""
        if url in self.by_url:
            return [url]
        return self.by_file.get(url, [])

    def current(self, url: str) -> bool:
        self.in_hand(url)
        if url not in self.by_url and not self.was_whole:
            return False
        urls = self.covered(url)
        return bool(urls) and all(self._is_current(u) for u in urls)

    def standing_failures(self, url: str) -> list[documents.DocumentFailure]:
        """The open failures of a file that was skipped as unchanged, as far as they hold."""
        if url not in self.failing or not (self.current(url) or self.validators(url)):
            return []
        return [failure for failure in self.failing[url] if failure.stage in STANDING]

    def validators(self, url: str) -> Mapping[str, str]:
        """The HTTP validators of the stored documents at `url`, if they all agree."""
        self.in_hand(url)
        found = [self._validators(self.by_url[covered]) for covered in self.covered(url)]
        return found[0] if found and all(item == found[0] for item in found) else {}

    def _validators(self, stored: Stored) -> Mapping[str, str]:
        return stored.validators if self._counts(stored) else NO_VALIDATORS

    def holds(self, url: str, fingerprint: str) -> Stored | None:
        """The stored document if it has this fingerprint and need not be made again."""
        stored = self.by_url.get(url)
        if stored is None or stored.fingerprint != fingerprint:
            return None
        return stored if self._is_new_enough(stored) else None

    def _is_new_enough(self, stored: Stored) -> bool:
        return self.made_since is None or stored.changed_at >= self.made_since

    def _counts(self, stored: Stored) -> bool:
        whole = bool(stored.fingerprint) and stored.read_key == self.key
        is_kept = stored.has_text and stored.has_original
        return whole and is_kept and self._is_new_enough(stored)

    def stored(self, url: str) -> bool:
        return bool(self.covered(url))

    def memory(self) -> Mapping[str, Any]:
        if self.made_since is not None:
            return {}
        kept = SourceMemory.objects.filter(source=self.source, read_key=self.key).first()
        return kept.data if kept else {}

    def remember(self, memory: Mapping[str, Any]) -> None:
        SourceMemory.objects.update_or_create(
            source=self.source, defaults={"read_key": self.key, "data": dict(memory)}
        )

    def _is_current(self, url: str) -> bool:
        stored = self.by_url[url]
        if not (self.trust_times and stored.inputs and self._counts(stored)):
            return False
        return all(self._on_disk(path) == (size, mtime) for path, size, mtime in stored.inputs)

    def _stat(self, path: str) -> tuple[int, int]:
        try:
            stat = beneath.status(self.data_dir, path)
        except OSError:
            return -1, 0
        return stat.st_size, stat.st_mtime_ns
