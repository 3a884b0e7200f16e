"""Links to a file, and to a line of it, at the host of a Git repository.

A template holds {path} and may hold {commit} and, behind the path, {line}. The link of a document
is stored with the commit that its text was read at, where the file stays as it was read. A later
commit that leaves the file alone changes nothing of the document.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import quote, urlsplit

from ingestion.documents import ParsedDocument
from ingestion.exceptions import ConfigError
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.files import address_of

COMMIT, PATH, LINE = "{commit}", "{path}", "{line}"
GITHUB = "/blob/{commit}/{path}?plain=1#L{line}"
GITLAB = "/-/blob/{commit}/{path}?plain=1#L{line}"
GITEA = "/src/commit/{commit}/{path}?display=source#L{line}"
BITBUCKET = "/src/{commit}/{path}#lines-{line}"
# A host is known by its name, or by the first part of that, as in gitlab.example.com.
HOSTS = {
    "github.com": GITHUB,
    "gitlab.com": GITLAB,
    "bitbucket.org": BITBUCKET,
    "codeberg.org": GITEA,
    "gitea.com": GITEA,
}
COMMITS = {
    GITHUB: "/commit/",
    GITLAB: "/-/commit/",
    GITEA: "/commit/",
    BITBUCKET: "/commits/",
}  # where a host shows a whole commit
FIRST_PARTS = {"github": GITHUB, "gitlab": GITLAB, "gitea": GITEA, "forgejo": GITEA}
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_COMMIT = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{40})(?![0-9a-f])")


def check(template: str) -> None:
    """Raise ConfigError unless links can be made of this template (or it is empty)."""
    if not template:
        return
    if unknown := sorted({*_PLACEHOLDER.findall(template)} - {COMMIT, PATH, LINE}):
        raise ConfigError(
            f"{', '.join(unknown)} means nothing here: use {{commit}}, {{path}}, {{line}}."
        )
    if urlsplit(template).scheme not in ("http", "https") or template.count(PATH) != 1:
        raise ConfigError(
            "Give an http or https address with {path} in it, such as "
            "https://git.example.com/docs/blob/{commit}/{path}#L{line}"
        )
    if LINE in template.partition(PATH)[0]:
        raise ConfigError("{line} comes behind {path}.")


def template_of(repository: str, given: str) -> str:
    """The template of a row: the one `given`, else the host's own; empty if neither is known."""
    if given or not repository:
        return given
    form = _form(repository)
    return f"{_page(repository)}{form}" if form else ""


def commit_link(repository: str, commit: str) -> str:
    """Where the host of a repository shows a commit; empty if it is not known."""
    form = _form(repository)
    return f"{_page(repository)}{COMMITS[form]}{commit}" if form and commit else ""


def _form(repository: str) -> str:
    """How the host shows a line of a file; empty if it is not known."""
    host = urlsplit(repository).hostname or ""
    return HOSTS.get(host) or FIRST_PARTS.get(host.partition(".")[0], "")


def _page(repository: str) -> str:
    """The page of a repository at its host."""
    parts = urlsplit(repository)
    port = f":{parts.port}" if parts.port and parts.scheme == "https" else ""
    return f"https://{parts.hostname}{port}{parts.path.rstrip('/').removesuffix('.git')}"


def stored_link(document: ParsedDocument, config: SourceConfig) -> str:
    """The link of a document of a repository; {commit} is still in it. What the parser found stays
    if the row says where its documents are published."""
    path = _path(document, config)
    if config.display_base_url or not config.link_template or not path:
        return document.display_url
    before, _, behind = config.link_template.partition(PATH)
    mark = document.display_url.partition("#")[2]
    end = f"#{mark}" if mark else "" if LINE in behind else behind
    return f"{before}{quote(path)}{end}"


def _path(document: ParsedDocument, config: SourceConfig) -> str:
    """The path of a document's file in the repository; empty if it is not known."""
    place = document.url.partition("#")[0]
    for configured in sorted(config.paths, key=len, reverse=True):
        root = address_of(config, configured)
        folder = PurePosixPath(configured)
        if place.startswith(root):
            found = (folder / place.removeprefix(root)).as_posix()
            if any(entry.path == found for entry in document.inputs):
                return found
        if place.rstrip("/") == root.rstrip("/") or folder.name == place.removeprefix(root):
            return folder.as_posix()
    return document.inputs[0].path if document.inputs else ""


def at_commit(link: str, commit: str) -> str:
    """A stored link with the commit that the document was read at."""
    return link.replace(COMMIT, commit) if commit else link


def without_commit(link: str) -> str:
    """The link as it is at any commit, to compare what was read at different ones."""
    return _COMMIT.sub(COMMIT, link)


def line_link(link: str, template: str, line: int | None) -> str:
    """The link of a document to one of its lines; empty if its template has no lines."""
    behind = template.partition(PATH)[2]
    if not line or LINE not in behind or "#" in link:
        return ""
    return f"{link}{behind.replace(LINE, str(line))}"
