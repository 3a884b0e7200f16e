"""Sources as files: our own export (JSON), and the `sources.toml` of the predecessor."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from ingestion.documents import counted
from ingestion.exceptions import ConfigError
from sources.models import FIELDS, LeftOut, Source
from sources.nesting import TOO_DEEP, is_too_deep

FORMAT = "bbjrag sources"
VERSION = 1
# The predecessor's names of parsers; it had the start of its web sources in its code.
PREDECESSOR = {
    "flare": ("FlareParser", ""),
    "pdf": ("PdfParser", ""),
    "mdx": ("MdxParser", ""),
    "bbj-source": ("BbjSourceParser", ""),
    "javadoc": ("JavaDocParser", ""),
    "wordpress-advantage": ("AdvantageParser", "https://basis.cloud/advantage-index/"),
    "wordpress-kb": ("KnowledgeBaseParser", "https://basis.cloud/knowledge-base/"),
    "web-crawl": (
        "WebCrawlParser",
        "https://documentation.basis.cloud/BASISHelp/WebHelp/",
    ),
}
# Where a parser of the predecessor read outside its data folder, and the folder here instead.
ELSEWHERE = {"javadoc": ("$BBJ_HOME/documentation/javadoc", "javadoc")}
# The predecessor's generation tags that are others here, and why.
GENERATIONS = {
    "bbj_api": ("bbj", "all generations of BBj have the API; its GUI classes get bbj_gui as well"),
}
LEFT_OUT = ("url", "title", "reason", "author")
TYPES: Mapping[str, type[Any]] = {"paths": list, "options": dict, "enabled": bool}

Verdict = Literal["create", "update", "same", "refuse"]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file, as fields of a Source, and notes on what was translated."""

    fields: Mapping[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What an import does, or would do, with one row of the file."""

    name: str
    verdict: Verdict
    details: tuple[str, ...] = ()


class Refused(Exception):
    """A row cannot be imported; the arguments say why."""


def exported(sources: Iterable[Source]) -> str:
    rows = [_row(source) for source in sources]
    return json.dumps({"format": FORMAT, "version": VERSION, "sources": rows}, indent=2) + "\n"


def _row(source: Source) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(source, name) for name in FIELDS}
    if out := list(source.left_out.order_by("url").values(*LEFT_OUT)):
        row["left_out"] = out
    return row


def import_file(path: Path, *, apply: bool, partial: bool = False) -> list[Result]:
    """Read a file as `import_text` does. Raises ConfigError also if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigError(f"{path} is neither TOML nor JSON: {error}") from None
    return import_text(text, path, apply=apply, partial=partial)


def import_text(text: str, path: Path, *, apply: bool, partial: bool = False) -> list[Result]:
    """Read the rows of a file into Source rows; with `apply` off, everything is undone again.

    If one row is refused, no row is imported, unless `partial`. Raises ConfigError for a file that
    is neither of the two kinds.
    """
    rows = list(_rows(text, path))
    with transaction.atomic():
        taken: set[str] = set()
        results = [_result(row, taken) for row in rows]
        refused = any(result.verdict == "refuse" for result in results)
        if not apply or (refused and not partial):
            transaction.set_rollback(True)
    return results


def _result(row: Row, taken: set[str]) -> Result:
    name = str(row.fields.get("name", "") or "(a row without a name)")
    try:
        source, notes = _matched(row.fields)
        if source.name in taken:
            raise Refused("The file names this source twice.")
        taken.add(source.name)
        verdict, changes = _written(source, row.fields)
    except Refused as error:
        return Result(name, "refuse", tuple(map(str, error.args)))
    return Result(source.name, verdict, (*notes, *changes, *row.notes))


def _matched(row: Mapping[str, Any]) -> tuple[Source, list[str]]:
    """The Source of this row: by its name, else by the site it reads."""
    name = row.get("name")
    if not isinstance(name, str) or not name:
        raise Refused("It has no name.")
    found = Source.objects.filter(name=name).first()
    if found is None and row.get("start_url"):
        twin = Source.objects.filter(parser=row["parser"], start_url=row["start_url"]).first()
        if twin:
            return twin, [f"{name} is the source {twin.name} here, and keeps that name."]
    if found is None:
        return Source(name=name, title=name.replace("-", " ").capitalize()), []
    return found, []


def _written(source: Source, row: Mapping[str, Any]) -> tuple[Verdict, list[str]]:
    changes = []
    for name in FIELDS[1:]:
        before = getattr(source, name)
        if name in row and row[name] != before:
            _check_type(name, row[name])
            setattr(source, name, row[name])
            changes.append(f"{name}: {_shown(before)} -> {_shown(row[name])}")
    out = _left_out(source, row.get("left_out", []))
    if source.pk and not changes and not out:
        return "same", []
    try:
        source.full_clean()
    except ValidationError as error:
        raise Refused(*_messages(error)) from None
    verdict: Verdict = "update" if source.pk else "create"
    source.save()
    LeftOut.objects.bulk_create(out)
    if out:
        changes.append(f"leaves {counted(len(out), 'more document')} out of search")
    return verdict, changes if verdict == "update" else [f"{source.parser} reads {_reads(source)}"]


def _left_out(source: Source, rows: Any) -> list[LeftOut]:
    """The documents that the row leaves out and nobody here does. Raises Refused."""
    if not isinstance(rows, list) or not all(map(_is_left_out, rows)):
        raise Refused(
            "left_out: each entry has a url, a reason, and perhaps a title and an author."
        )
    known = set(LeftOut.objects.values_list("url", flat=True)) if rows else set[str]()
    new = {row["url"]: row for row in rows if row["url"] not in known}
    return [LeftOut(source=source, **row) for row in new.values()]


def _is_left_out(row: Any) -> bool:
    """Whether an entry has texts that fit the columns, and no others."""
    if not isinstance(row, dict) or not {"url", "reason"} <= row.keys() <= set(LEFT_OUT):
        return False
    try:
        LeftOut(**row).clean_fields(exclude=["source"])
    except (ValidationError, TypeError):
        return False
    return all(isinstance(value, str) for value in row.values())


def _check_type(name: str, value: Any) -> None:
    wanted = TYPES.get(name, str)
    if not isinstance(value, wanted):
        raise Refused(f"{name}: {value!r} is not a {wanted.__name__}.")
    if isinstance(value, list) and not all(isinstance(path, str) for path in value):
        raise Refused("paths: each must be a text.")


def _messages(error: ValidationError) -> Iterator[str]:
    for field, messages in error.message_dict.items():
        for message in messages:
            yield message if field == "__all__" else f"{field}: {message}"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _reads(source: Source) -> str:
    paths = ", ".join(source.paths)
    within = f" in {source.repository}" if source.repository else ""
    return source.start_url or f"{paths}{within}"


def _rows(text: str, path: Path) -> Iterator[Row]:
    content = _parsed(text, path)
    if content.get("format") == FORMAT:
        if content.get("version") != VERSION:
            raise ConfigError(f"{path} was exported by a later version: update bbjrag first.")
        yield from map(Row, _listed(content, path))
        return
    for row in _listed(content, path):
        yield _translated(row, content, path)


def _parsed(text: str, path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{path} cannot be imported. {TOO_DEEP}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is neither TOML nor JSON: {error}") from None
    if is_too_deep(found):
        raise ConfigError(f"{path} cannot be imported. {TOO_DEEP}")
    return found if isinstance(found, dict) else {}


def _listed(content: Mapping[str, Any], path: Path) -> Sequence[Mapping[str, Any]]:
    rows = content.get("sources")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigError(
            f"{path} contains no sources: expected [[sources]] tables (sources.toml), "
            "or the output of `manage.py export_sources`."
        )
    return rows


def _translated(row: Mapping[str, Any], content: Mapping[str, Any], path: Path) -> Row:
    """Translate a row of the predecessor. What cannot be translated is left to validation."""
    kind = str(row.get("parser"))
    parser, start_url = PREDECESSOR.get(kind, (kind, ""))
    tag = row.get("generation_tag", "bbj")
    generation, why = GENERATIONS.get(str(tag), (tag, ""))
    found: dict[str, Any] = {
        "name": row.get("name"),
        "parser": parser,
        "generation": generation,
        "enabled": row.get("enabled", True),
    }
    notes = (f"generation_tag {tag} is the generation {generation} here: {why}.",) if why else ()
    if start_url:
        return Row(found | {"start_url": start_url}, notes)
    if kind in ELSEWHERE and not row.get("paths"):
        return _brought(found, *ELSEWHERE[kind], notes)
    below = str(row.get("data_dir") or content.get("data_dir") or "").strip()
    paths = row.get("paths", [])
    if isinstance(paths, list):
        paths = [_placed(str(entry), below, path.parent) for entry in paths]
    return Row(found | {"paths": paths}, notes)


def _brought(found: Mapping[str, Any], origin: str, folder: str, notes: tuple[str, ...]) -> Row:
    """The row of a source that reads `folder` below DATA_DIR; disabled until that is there."""
    row = {**found, "paths": [folder]}
    place = settings.DATA_DIR / folder
    if place.is_dir():
        return Row(row, notes)
    to_do = f"Disabled: mount or copy {origin} to {place}, then enable the source."
    return Row(row | {"enabled": False}, (to_do, *notes))


def _placed(entry: str, below: str, beside: Path) -> str:
    """A path of the predecessor, in DATA_DIR or else the file's data_dir, relative to our DATA_DIR;
    unchanged if it is elsewhere, so that validation reports it."""
    data_dir = settings.DATA_DIR.resolve()
    if not Path(entry).is_absolute() and (not below or (data_dir / entry).exists()):
        return entry.rstrip("/")
    there = (beside / below / entry).expanduser().resolve()
    return there.relative_to(data_dir).as_posix() if there.is_relative_to(data_dir) else str(there)
