"""Moving in: the predecessor's sources.toml and our own export; moving the sources out."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from sources.models import FIELDS, Source
from sources.moving import PREDECESSOR, exported, import_file

pytestmark = pytest.mark.django_db

OLD = """
data_dir = ""
[[sources]]
name = "mdx-new"
parser = "mdx"
paths = ["docs/"]
generation_tag = "dwc"
enabled = true
"""


@pytest.fixture
def data_dir(tmp_path: Path, settings: Any) -> Path:
    folder = settings.DATA_DIR = tmp_path / "data"
    for name in ("docs", "samples", "more"):
        (folder / name).mkdir(parents=True)
    Source.objects.all().delete()
    return folder


def toml(tmp_path: Path, text: str = OLD) -> Path:
    path = tmp_path / "sources.toml"
    path.write_text(text)
    return path


def command(*args: str) -> str:
    out = io.StringIO()
    call_command("import_sources", *args, stdout=out)
    return out.getvalue()


def test_it_works(data_dir: Path, tmp_path: Path) -> None:
    said = command(str(toml(tmp_path)), "--apply")
    row = Source.objects.get()
    assert (row.name, row.parser, row.paths) == ("mdx-new", "MdxParser", ["docs"])
    assert (row.generation, row.enabled, row.title) == ("dwc", True, "Mdx new")
    assert "create  mdx-new" in said
    assert "Written (1 create)" in said


def test_without_apply_nothing_is_written(data_dir: Path, tmp_path: Path) -> None:
    said = command(str(toml(tmp_path)))
    assert "create  mdx-new                 MdxParser reads docs" in said
    assert "Nothing was written yet (1 create). Do it with --apply." in said
    assert not Source.objects.exists()


def test_a_second_import_changes_nothing(data_dir: Path, tmp_path: Path) -> None:
    command(str(toml(tmp_path)), "--apply")
    stamp = Source.objects.get().updated_at
    assert "same    mdx-new" in command(str(toml(tmp_path)), "--apply")
    assert Source.objects.get().updated_at == stamp


def test_an_update_tells_each_field_from_and_to(data_dir: Path, tmp_path: Path) -> None:
    Source.objects.create(name="mdx-new", title="Mine", parser="MdxParser", paths=["more"])
    said = command(str(toml(tmp_path)), "--apply")
    assert 'paths: ["more"] -> ["docs"]' in said
    assert 'generation: "auto" -> "dwc"' in said
    assert Source.objects.get().title == "Mine"


def test_all_ten_rows_of_the_predecessor_meet_the_ten_that_are_seeded(tmp_path: Path) -> None:
    rows = [
        ("flare", "flare", '["bbjdocs"]', "bbj"),
        ("pdf", "pdf", '["bbj-ai-strategy/GuideToGuiProgrammingInBBj.pdf"]', "bbj_gui"),
        ("mdx-dwc", "mdx", '["bbj-dwc-tutorial/docs"]', "dwc"),
        ("mdx-beginner", "mdx", '["bbj-beginner-tutorial/docs"]', "bbj"),
        ("mdx-db-modernization", "mdx", '["bbj-db-modernization-tutorial/docs"]', "bbj"),
        (
            "bbj-source",
            "bbj-source",
            '["bbj-dwc-tutorial/samples", "bbj-beginner-tutorial"]',
            "auto",
        ),
        ("wordpress-advantage", "wordpress-advantage", "[]", "bbj"),
        ("wordpress-kb", "wordpress-kb", "[]", "bbj"),
        ("web-crawl", "web-crawl", "[]", "bbj"),
        ("javadoc", "javadoc", "[]", "bbj_api"),
    ]
    text = "\n".join(
        f'[[sources]]\nname="{n}"\nparser="{p}"\npaths={paths}\ngeneration_tag="{tag}"\n'
        for n, p, paths, tag in rows
    )
    results = import_file(toml(tmp_path, text), apply=True)
    assert Source.objects.count() == 10
    assert {result.verdict for result in results} <= {"same", "update"}
    assert "wordpress-kb is the source kb here" in " ".join(results[7].details)


JAVADOC = """
[[sources]]
name = "javadoc"
parser = "javadoc"
paths = []
generation_tag = "bbj_api"
enabled = true
"""


def test_the_javadoc_of_bbj_comes_in_disabled_until_its_folder_is_there(
    data_dir: Path, tmp_path: Path
) -> None:
    said = command(str(toml(tmp_path, OLD + JAVADOC)), "--apply")
    row = Source.objects.get(name="javadoc")
    assert (row.parser, row.paths, row.generation) == ("JavaDocParser", ["javadoc"], "bbj")
    assert not row.enabled
    assert f"mount or copy $BBJ_HOME/documentation/javadoc to {data_dir}/javadoc" in said
    assert "generation_tag bbj_api is the generation bbj here" in said
    assert "Written (2 create)" in said


def test_the_javadoc_of_bbj_comes_in_enabled_if_its_folder_is_there(
    data_dir: Path, tmp_path: Path
) -> None:
    (data_dir / "javadoc").mkdir()
    said = command(str(toml(tmp_path, JAVADOC)), "--apply")
    assert Source.objects.get().enabled
    assert "Disabled" not in said


def test_javadoc_elsewhere_keeps_its_path(data_dir: Path, tmp_path: Path) -> None:
    command(str(toml(tmp_path, JAVADOC.replace("[]", '["more"]'))), "--apply")
    row = Source.objects.get()
    assert (row.paths, row.enabled) == (["more"], True)


def test_each_parser_of_the_predecessor_is_one_of_ours() -> None:
    choices = dict(Source._meta.get_field("parser").flatchoices)
    assert {parser for parser, _ in PREDECESSOR.values()} <= set(choices)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('name="a"\nparser="word"\npaths=["docs"]', "word"),
        ('name="a"\nparser="mdx"\npaths=["nope"]', "does not exist under DATA_DIR"),
        ('name="a"\nparser="mdx"\npaths=["../../etc"]', "leaves DATA_DIR"),
        ('name="a"\nparser="mdx"\npaths=["/etc"]', "leaves DATA_DIR"),
        ('name="a"\nparser="mdx"\npaths=[]', "at least one path"),
        ('name="a"\nparser="mdx"\npaths="docs"', "is not a list"),
        ('name="a"\nparser="mdx"\npaths=["docs"]\nenabled="yes"', "is not a bool"),
        ('name="a"\nparser="mdx"\npaths=["docs"]\ngeneration_tag="dos"', "generation"),
        ('name="A B"\nparser="mdx"\npaths=["docs"]', "small letters"),
        ('name="file"\nparser="mdx"\npaths=["docs"]', "scheme"),
        ('parser="mdx"\npaths=["docs"]', "no name"),
        ('name=7\nparser="mdx"\npaths=["docs"]', "no name"),
    ],
)
def test_a_row_that_cannot_be_is_refused_and_keeps_all_out(
    data_dir: Path, tmp_path: Path, row: str, says: str
) -> None:
    path = toml(tmp_path, f"{OLD}\n[[sources]]\n{row}\n")
    results = import_file(path, apply=True)
    assert [result.verdict for result in results] == ["create", "refuse"]
    assert says in " ".join(results[1].details)
    assert not Source.objects.exists()
    with pytest.raises(CommandError, match=r"Nothing was written \(1 create, 1 refuse\)"):
        command(str(path), "--apply")


EXPORT = '{{"format": "bbjrag sources", "version": 1, "sources": [{{%s}}]}}'
ROW = '"name": "a", "title": "A", "parser": "MdxParser", "paths": ["docs"]'
DEEP_FILES = {
    "export": EXPORT % (ROW + ', "options": {{"a": {0}1{1}}}'),
    "export, in its name": EXPORT % '"name": {0}1{1}',
    "JSON": '{{"x": {0}1{1}}}',
    "TOML": '[[sources]]\nname="a"\nparser="mdx"\npaths=["docs"]\noptions={0}1{1}\n',
    "TOML, in its name": "[[sources]]\nname={0}1{1}\n",
}


@pytest.mark.parametrize("levels", [50, 300, 900, 3000])
@pytest.mark.parametrize("kind", DEEP_FILES)
def test_a_file_nested_far_too_deep_is_refused(
    data_dir: Path, tmp_path: Path, kind: str, levels: int
) -> None:
    path = toml(tmp_path, DEEP_FILES[kind].format("[" * levels, "]" * levels))
    with pytest.raises(CommandError, match="nested more than 20 levels deep"):
        command(str(path), "--apply")
    assert not Source.objects.exists()


def test_partial_writes_what_can_be(data_dir: Path, tmp_path: Path) -> None:
    path = toml(tmp_path, f'{OLD}\n[[sources]]\nname="x"\nparser="mdx"\npaths=["nope"]\n')
    said = command(str(path), "--apply", "--partial")
    assert "refuse  x" in said
    assert Source.objects.get().name == "mdx-new"


def test_a_name_that_stands_twice_is_refused(data_dir: Path, tmp_path: Path) -> None:
    results = import_file(toml(tmp_path, OLD + OLD.replace('data_dir = ""', "")), apply=True)
    assert "twice" in results[1].details[0]


def test_the_files_own_data_dir_counts_where_ours_lacks_the_path(
    data_dir: Path, tmp_path: Path
) -> None:
    (data_dir / "more" / "inner").mkdir()
    text = OLD.replace('data_dir = ""', 'data_dir = "data/more"').replace("docs/", "inner")
    import_file(toml(tmp_path, text), apply=True)
    assert Source.objects.get().paths == ["more/inner"]


def test_a_data_dir_elsewhere_is_refused_and_named(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "inner").mkdir(parents=True)
    text = OLD.replace('data_dir = ""', 'data_dir = "elsewhere"').replace("docs/", "inner")
    (result,) = import_file(toml(tmp_path, text), apply=True)
    assert f"{tmp_path}/elsewhere/inner" in result.details[0]
    assert f"DATA_DIR ({data_dir})" in result.details[0]


def test_a_disabled_source_may_wait_for_its_files(data_dir: Path, tmp_path: Path) -> None:
    text = OLD.replace("docs/", "later").replace("true", "false")
    assert import_file(toml(tmp_path, text), apply=True)[0].verdict == "create"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "neither TOML nor JSON"),
        ("\x00\x01", "neither TOML nor JSON"),
        ("[" * 100_000, "neither TOML nor JSON"),
        ("title = 'x'", "contains no sources"),
        ("sources = 7", "contains no sources"),
        ('{"format": "bbjrag sources", "version": 2, "sources": []}', "later version"),
        ("{}", "contains no sources"),
    ],
)
def test_a_file_of_another_kind_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        command(str(toml(tmp_path, text)))


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        command(str(tmp_path / "nope.toml"))


def test_what_is_exported_imports_into_the_same(data_dir: Path, tmp_path: Path) -> None:
    command(str(toml(tmp_path)), "--apply")
    Source.objects.update(
        title="Tütorial", schedule="0 3 * * 1-5", display_base_url="https://example.com/x/"
    )
    out = io.StringIO()
    call_command("export_sources", stdout=out)
    before = exported(Source.objects.all())
    Source.objects.all().delete()
    path = tmp_path / "export.json"
    path.write_text(out.getvalue())
    assert "Written (1 create)" in command(str(path), "--apply")
    assert exported(Source.objects.all()) == before
    assert json.loads(before)["sources"][0]["schedule"] == "0 3 * * 1-5"


def test_the_export_leaves_no_field_out() -> None:
    fields = {field.name for field in Source._meta.concrete_fields}
    assert fields - set(FIELDS) == {"id", "created_at", "updated_at"}
