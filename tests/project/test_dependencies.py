"""What is installed is what is pinned: nothing comes in unnoticed."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from django.conf import settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(settings.BASE_DIR)


def listed(name: str) -> dict[str, Requirement]:
    lines = [line.partition("  #")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and line[0] not in "#-"]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def pins(name: str) -> dict[str, str]:
    return {
        key: re.sub("^==", "", str(requirement.specifier))
        for key, requirement in listed(name).items()
    }


def brought_along(names: list[str]) -> set[str]:
    """The distributions that these need on this machine, and they themselves."""
    found: set[str] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        requirement = waiting.pop()
        key = canonicalize_name(requirement.name)
        found.add(key)
        for line in metadata.requires(requirement.name) or []:
            needed = Requirement(line)
            extras = requirement.extras or {""}
            wanted = not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in extras)
            if wanted and canonicalize_name(needed.name) not in found:
                waiting.append(needed)
    return found


def test_each_requirement_is_pinned() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "constraints.txt"):
        for key, requirement in listed(name).items():
            assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), f"{name}: {key}"


def test_all_that_they_bring_along_is_pinned_as_it_is_installed() -> None:
    constraints = pins("constraints.txt")
    names = [str(r).split(";")[0] for r in listed("requirements.txt").values()]
    for key in brought_along(names):
        assert constraints.get(key) == metadata.version(key), key


def test_the_lists_agree() -> None:
    constraints = pins("constraints.txt")
    for name in ("requirements.txt", "requirements-dev.txt"):
        differing = {k: v for k, v in pins(name).items() if constraints.get(k, v) != v}
        assert differing == {}, name


def test_nothing_that_runs_is_under_the_agpl() -> None:
    names = [str(r).split(";")[0] for r in listed("requirements.txt").values()]
    for key in brought_along(names):
        about = metadata.metadata(key)
        told = [about[name] for name in ("License-Expression", "License") if name in about]
        licences = " ".join([*told, *(about.get_all("Classifier") or [])])
        assert not re.search("AGPL|Affero", licences), key
