"""What a topic is about and what kind it is: the tables of FORMATS, row by row."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from ingestion.documents import ParsedDocument
from ingestion.enrichment.doc_types import doc_type_of
from ingestion.enrichment.generations import generations_of, is_deprecated
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.flare import FlareParser

JUDGED = Path(__file__).parents[1] / "data" / "flare_judgements.json"

PATHS = {
    "bbjobjects/Window/bbjwindow.htm": "bbj_gui",
    "bbjevents/x.htm": "bbj_gui",
    "bbjinterfaces/x.htm": "bbj_gui",
    "gridmethods/x.htm": "bbj_gui",
    "gridctrl/x.htm": "bbj_gui",
    "bui/x.htm": "bbj_gui",
    "appbuildingblocks/x.htm": "bbj_gui",
    "mnemonic/sysgui/x.htm": "bbj_gui",
    "commands/bbj-commands/x.htm": "bbj_gui",
    "commands/bbj-variables/x.htm": "bbj_gui",
    "dwc/x.htm": "dwc",
    "mnemonic/terminal/x.htm": "character",
    "guibuild/x.htm": "vpro5",
    "formbuilder/x.htm": "vpro5",
    "resbuild/x.htm": "vpro5",
    "rescomp/x.htm": "vpro5",
    "resprops/x.htm": "vpro5",
    "ddbuild/x.htm": "vpro5",
    "commands/x.htm": "all",
    "events/x.htm": "all",
    "sendmsg/x.htm": "all",
    "sysadmin/x.htm": "all",
    "config/x.htm": "all",
    "usr/x.htm": "all",
    "dataserv/x.htm": "all",
    "b3odbc/x.htm": "all",
    "bbutil/x.htm": "all",
    "util/x.htm": "all",
    "eus/x.htm": "all",
    "Commands/Upper.htm": "all",
    "mnemonic/x.htm": "untagged",
    "commandsx/x.htm": "untagged",
    "x.htm": "untagged",
}
CONDITIONS = {
    "Primary.guibuild_chm": "vpro5",
    "Primary.resbuild_chm": "vpro5",
    "Primary.ddbuild_chm": "vpro5",
    "Primary.config_chm": "all",
    "Primary.EMHelp": "all",
    "Primary.BDTHelp": "all",
    "Primary.BASISHelp": "untagged",
    "Primary.Deprecated": "untagged",
}
TEXTS = {
    "Put PROCESS_EVENTS in the program.": "bbj_gui",
    "process_events,err=*next": "bbj_gui",
    "api! = BBjAPI().getConfig()": "bbj_gui",
    'OPEN (x)"X0" the SysGUI device': "bbj_gui",
    "gui! = api!.openSysGui()": "bbj_gui",
    "The Dynamic Web Client renders it.": "dwc",
    "Since DWC 22.0": "dwc",
    "a BBjWebComponent of your own": "dwc",
    "wrap web components": "dwc",
    "the dwcx file": "untagged",
    "in character mode only": "character",
    "A green screen program": "character",
    "needs terminal emulation": "character",
    "in Visual PRO/5 only": "vpro5",
    "VPRO5 programs": "vpro5",
    "drawn in GUI Builder": "vpro5",
    "with the Resource Compiler": "vpro5",
    "Nothing that tells.": "untagged",
}


@pytest.mark.parametrize(("path", "generation"), PATHS.items())
def test_generation_by_path(path: str, generation: str) -> None:
    assert generations_of(path, (), "") == (generation,)


@pytest.mark.parametrize(("condition", "generation"), CONDITIONS.items())
def test_generation_by_condition(condition: str, generation: str) -> None:
    assert generations_of("x.htm", ("Primary.BASISHelp", condition), "") == (generation,)


@pytest.mark.parametrize(("text", "generation"), TEXTS.items())
def test_generation_by_text(text: str, generation: str) -> None:
    assert generations_of("x.htm", (), text) == (generation,)


def test_signals_of_several_generations_give_several() -> None:
    found = generations_of("bbjobjects/x.htm", ("Primary.EMHelp",), "VPRO5, DWC, green screen")
    assert found == ("all", "character", "vpro5", "bbj_gui", "dwc")


def test_the_source_adds_its_tag() -> None:
    assert generations_of("dwc/x.htm", (), "", "bbj") == ("dwc", "bbj")
    assert generations_of("dwc/x.htm", (), "", "dwc") == ("dwc",)
    assert generations_of("x.htm", (), "", "bbj") == ("untagged", "bbj")
    assert generations_of("x.htm", (), "", "auto") == ("untagged",)


@pytest.mark.parametrize(
    ("conditions", "deprecated"),
    [
        (("Primary.Deprecated",), True),
        (("Primary.BASISHelp", " primary.superseded "), True),
        (("Primary.BASISHelp",), False),
        ((), False),
    ],
)
def test_deprecated(conditions: tuple[str, ...], deprecated: bool) -> None:
    assert is_deprecated(conditions) is deprecated


def sections(*names: str) -> str:
    return "\n\n".join(f"## {name}\n\ntext" for name in names)


@pytest.mark.parametrize(
    ("title", "path", "content", "doc_type"),
    [
        ("X", "x.htm", sections("Description", "Syntax", "Parameters"), "api-reference"),
        ("X", "x.htm", sections("Description", "Syntax", "Return Value"), "api-reference"),
        ("X", "x.htm", sections("Description", "Syntax:"), "language-reference"),
        ("X", "x.htm", sections("Description"), "concept"),
        ("X", "x.htm", sections("Methods of BBjWindow"), "api-reference"),
        ("X", "bbjobjects/x.htm", sections("Description", "Syntax"), "language-reference"),
        ("X", "bbjobjects/x.htm", "text", "api-reference"),
        ("X", "commands/x.htm", "text", "language-reference"),
        ("X", "x.htm", "Syntax\n\nx\n\nParameters\n\ny", "api-reference"),
        ("X", "x.htm", "```\n## Syntax\n```\n\n" + "text\n\n" * 5, "concept"),
        ("Migrating from PRO/5", "x.htm", "text", "migration"),
        ("X", "migration/x.htm", "text", "migration"),
        ("Best Practices", "x.htm", "text", "best-practice"),
        ("What's New in 24.00", "x.htm", "text", "version-note"),
        ("Release Notes", "x.htm", "text", "version-note"),
        ("July 2023", "x.htm", "text", "version-note"),
        ("Gadget Cloud May 2023", "x.htm", "text", "version-note"),
        ("Grid Tutorial", "x.htm", "text", "tutorial"),
        ("Sample Program", "x.htm", "text", "example"),
        ("X", "samples/x.htm", "text", "example"),
        ("X", "x.htm", "```\n" + "line\n" * 20 + "```", "example"),
        ("X", "x.htm", "In this tutorial we draw a window.", "tutorial"),
        ("X", "x.htm", "text", "concept"),
    ],
)
def test_document_type(title: str, path: str, content: str, doc_type: str) -> None:
    assert doc_type_of(title, path, content) == doc_type


@pytest.mark.corpus
@pytest.mark.skipif("BBJRAG_CORPUS" not in os.environ, reason="BBJRAG_CORPUS is not set")
def test_types_agree_with_a_reader() -> None:
    """Twenty topics drawn with a fixed seed (judge_flare.py), read one by one.

    None is about BBj, so that none may be given a generation.
    """
    judged = json.loads(JUDGED.read_text(encoding="utf-8"))
    corpus = Path(os.environ["BBJRAG_CORPUS"]) / "flare"
    config = SourceConfig("flare", corpus, ("laserfiche-cloud",))
    found = {d.url: d for d in FlareParser(config).parse() if isinstance(d, ParsedDocument)}
    agreed = Counter(found[j["url"]].doc_type in j["doc_types"] for j in judged)
    assert len(judged) == 20
    assert agreed[True] >= 19
    assert all(list(found[j["url"]].generations) == j["generations"] for j in judged)
