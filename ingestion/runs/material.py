"""What a source is read from: files below DATA_DIR, a site, or a commit of a repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from django.conf import settings

from ingestion.documents import DocumentFailure, Parsed, ParsedDocument
from ingestion.git.program import Watch, nothing_to_watch
from ingestion.git.repository import Checkout, checked_out
from ingestion.parsers import output
from ingestion.parsers.base import NOTHING_KNOWN, Known, SourceConfig
from ingestion.parsers.permalinks import at_commit

STAGE = "fetch"  # of the warnings about what a checkout leaves out


@dataclass(frozen=True)
class Material:
    """The configuration with the folder to read, and the commit if that is a checkout, which took
    so many `seconds`. With `is_unchanged`, it need not be looked at."""

    config: SourceConfig
    commit: str = ""
    warnings: tuple[DocumentFailure, ...] = ()
    is_unchanged: bool = False
    seconds: float = 0.0

    def read(self, parser: str, known: Known = NOTHING_KNOWN) -> Iterator[Parsed]:
        """What the parser yields, after what the checkout leaves out. Links have no commit yet."""
        return chain(self.warnings, output.read(parser, self.config, known))

    def worked_on(
        self, parser: str, known: Known, work: Callable[[ParsedDocument], Any], processes: int
    ) -> Iterator[Any]:
        """The same, with `work` done where documents are read (see `output.worked_on`)."""
        found = output.worked_on(parser, self.config, known, work, processes)
        return chain(self.warnings, found)

    def shown(self, parser: str) -> Iterator[Parsed]:
        """The same, with links as people follow them."""
        for parsed in self.read(parser):
            if isinstance(parsed, ParsedDocument):
                yield replace(parsed, display_url=at_commit(parsed.display_url, self.commit))
            else:
                yield parsed


@contextmanager
def opened(
    config: SourceConfig,
    *,
    read: str = "",
    watch: Watch = nothing_to_watch,
    seconds: float | None = None,
) -> Iterator[Material]:
    """The material of a source, which stays during the `with` block.

    A repository is fetched first, unless its commit is the one that was `read`. `watch` is called
    meanwhile and may raise; it may take `seconds`, or else GIT_TIMEOUT. Raises SourceError.
    """
    if not config.repository:
        yield Material(config)
        return
    with checked_out(config, settings.GIT, read=read, watch=watch, seconds=seconds) as found:
        yield _of(config, found)


def _of(config: SourceConfig, found: Checkout) -> Material:
    if found.folder is None:
        return Material(config, found.commit, is_unchanged=True)
    warnings = tuple(
        DocumentFailure(f"{config.name}://", text, stage=STAGE, warning=True)
        for text in found.warnings
    )
    there = replace(config, data_dir=found.folder, place="the repository")
    return Material(there, found.commit, warnings, seconds=found.seconds)
