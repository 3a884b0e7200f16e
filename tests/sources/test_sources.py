"""Source rows: the ten that are seeded, and what is refused at save."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from ingestion.models import Document
from sources.forms import SourceForm
from sources.models import Source

pytestmark = pytest.mark.django_db

TEN = {
    "flare": ("FlareParser", "bbj"),
    "pdf": ("PdfParser", "bbj_gui"),
    "mdx-dwc": ("MdxParser", "dwc"),
    "mdx-beginner": ("MdxParser", "bbj"),
    "mdx-db-modernization": ("MdxParser", "bbj"),
    "bbj-source": ("BbjSourceParser", "auto"),
    "javadoc": ("JavaDocParser", "bbj"),
    "advantage": ("AdvantageParser", "bbj"),
    "kb": ("KnowledgeBaseParser", "bbj"),
    "web-crawl": ("WebCrawlParser", "bbj"),
}


@pytest.fixture
def data_dir(tmp_path: Path, settings: Any) -> Path:
    folder = tmp_path / "data"
    settings.DATA_DIR = folder
    (folder / "docs" / "sub").mkdir(parents=True)
    (folder / "more").mkdir()
    return folder


def source(**fields: Any) -> Source:
    defaults = {"name": "mine", "title": "Mine", "parser": "MdxParser", "paths": ["docs"]}
    return Source(**(defaults | fields))


def refused(row: Source) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as error:
        row.full_clean()
    return error.value.message_dict


def test_it_works(data_dir: Path) -> None:
    source().full_clean()


def test_the_ten_sources_are_seeded() -> None:
    rows = {s.name: (s.parser, s.generation) for s in Source.objects.all()}
    assert rows == TEN


def test_each_enabled_seed_is_ready_to_run_on_the_sample_data() -> None:
    assert {s.name: s.problems() for s in Source.objects.filter(enabled=True) if s.problems()} == {}


def test_a_missing_path_is_refused_at_its_field(data_dir: Path) -> None:
    assert "does not exist under DATA_DIR" in refused(source(paths=["nope"]))["paths"][0]


@pytest.mark.parametrize("path", ["../outside", "/etc", "docs/../../outside"])
def test_a_path_that_leaves_data_dir_is_refused(data_dir: Path, path: str) -> None:
    (data_dir.parent / "outside").mkdir()
    assert "leaves DATA_DIR" in refused(source(paths=[path]))["paths"][0]


def test_a_symlink_that_leaves_data_dir_is_refused(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (data_dir / "link").symlink_to(tmp_path / "outside")
    assert "leaves DATA_DIR" in refused(source(paths=["link"]))["paths"][0]


def test_a_path_inside_another_is_refused(data_dir: Path) -> None:
    assert "is inside another" in refused(source(paths=["docs", "docs/sub"]))["paths"][0]


def test_no_path_at_all_is_refused(data_dir: Path) -> None:
    assert "at least one path" in refused(source(paths=[]))["paths"][0]


def test_an_option_the_parser_does_not_know_is_refused(data_dir: Path) -> None:
    messages = refused(source(options={"no_such_option": 1}))["options"]
    assert "no_such_option" in messages[0]
    assert "options" in messages[0]


def test_a_parser_that_does_not_exist_is_refused(data_dir: Path) -> None:
    assert "parser" in refused(source(parser="NopeParser"))


@pytest.mark.parametrize("name", ["Mine", "a b", "9lives", "ä", "a/b", ""])
def test_a_name_that_cannot_begin_an_address_is_refused(data_dir: Path, name: str) -> None:
    assert "name" in refused(source(name=name))


@pytest.mark.parametrize("name", ["http", "https", "file"])
def test_the_scheme_of_other_addresses_is_refused_as_a_name(data_dir: Path, name: str) -> None:
    assert "scheme" in refused(source(name=name))["name"][0]


def test_a_name_in_use_is_refused(data_dir: Path) -> None:
    assert "name" in refused(source(name="flare"))


def test_one_without_a_kind_is_told_so_once(data_dir: Path) -> None:
    [said] = refused(source(parser=""))["parser"]
    assert "blank" in said


def test_a_kind_that_this_version_lacks_is_named(data_dir: Path) -> None:
    assert any("'OldParser'" in said for said in refused(source(parser="OldParser"))["parser"])


def test_a_disabled_source_may_wait_for_its_files(data_dir: Path) -> None:
    source(paths=["later"], enabled=False).full_clean()


def test_a_disabled_source_may_not_leave_data_dir_either(data_dir: Path) -> None:
    assert "leaves DATA_DIR" in refused(source(paths=["../x"], enabled=False))["paths"][0]


def test_a_schedule_that_is_no_cron_line_is_refused(data_dir: Path) -> None:
    assert "Example: 0 3 * * 1-5" in refused(source(schedule="every night"))["schedule"][0]


def test_deleting_a_source_deletes_its_documents(data_dir: Path) -> None:
    row = source()
    row.save()
    Document.objects.create(
        source=row,
        url="mine://a",
        title="A",
        doc_type="concept",
        first_seen="2026-01-01T00:00Z",
        last_seen="2026-01-01T00:00Z",
        changed_at="2026-01-01T00:00Z",
    )
    row.delete()
    assert not Document.objects.filter(url="mine://a").exists()


def form_errors(**typed: Any) -> dict[str, list[str]]:
    """What the form shows at each field for what a person has typed."""
    fields = {"name": "mine", "title": "Mine", "parser": "MdxParser", "paths": "docs"}
    form = SourceForm({**fields, "generation": "auto", "options": "{}", "enabled": "on", **typed})
    return {name: [str(message) for message in messages] for name, messages in form.errors.items()}


@pytest.mark.parametrize("name", ["flare", "kb"])
def test_a_name_in_use_is_reported_once_and_at_its_field(data_dir: Path, name: str) -> None:
    errors = form_errors(name=name)
    assert list(errors) == ["name"]
    assert errors["name"] == [
        f"There is a source '{name}' already: choose another name, as it begins the addresses of "
        "documents."
    ]


def test_an_absolute_path_below_data_dir_gets_the_relative_one(data_dir: Path) -> None:
    (message,) = form_errors(paths=f"{data_dir}/docs")["paths"]
    assert "is an absolute path: write 'docs', relative to DATA_DIR" in message


def test_backslashes_are_shown_as_they_were_typed(data_dir: Path) -> None:
    (message,) = form_errors(paths=r"docs\sub")["paths"]
    assert message.startswith(r"'docs\sub' does not exist")
    assert message.endswith("write 'docs/sub', with slashes.")
    (message,) = form_errors(paths=r"no\such")["paths"]
    assert message.startswith(r"'no\such' does not exist")


def flare_project(folder: Path, *targets: str) -> str:
    (folder / "Content").mkdir(parents=True)
    (folder / "Project/Targets").mkdir(parents=True)
    for target in targets:
        (folder / f"Project/Targets/{target}.fltar").write_text('<CatapultTarget Type="WebHelp2"/>')
    return folder.name


def test_a_target_that_is_not_in_the_project_is_refused_and_the_form_offers_those_that_are(
    data_dir: Path,
) -> None:
    path = flare_project(data_dir / "manual", "HTML5", "Intranet")
    typed = {"parser": "FlareParser", "paths": path}
    (message,) = form_errors(**typed, options='{"target": "Web"}')["options"]
    assert message == "target: there is no 'Web': name one of 'HTML5', 'Intranet'."
    assert "options" not in form_errors(**typed, options='{"target": "html5"}')
    assert offered(**typed) == ["HTML5", "Intranet"]


def offered(**typed: str) -> Any:
    field = SourceForm(typed).fields["option-FlareParser-target"]
    return list(field.choices_found)  # type: ignore[attr-defined]


def test_a_form_without_a_readable_path_offers_no_target(data_dir: Path) -> None:
    for paths in ("", "docs", "nope"):
        assert offered(parser="FlareParser", paths=paths) == []


def test_a_target_has_to_be_in_each_project_of_a_source(data_dir: Path) -> None:
    paths = [flare_project(data_dir / n, *t) for n, t in {"a": ("X", "Y"), "b": ("Y",)}.items()]
    typed = {"parser": "FlareParser", "paths": "\n".join(paths)}
    (message,) = form_errors(**typed, options='{"target": "X"}')["options"]
    assert message.endswith("name one of 'Y'.")


@pytest.mark.parametrize(
    ("parser", "options", "expected"),
    [
        ("MdxParser", '{"exclude": 3}', "exclude: must be a list, such as ["),
        ("MdxParser", '{"exclude": [3]}', "exclude.0: must be a text in quotes"),
        ("MdxParser", '{"no_such": 3}', "no_such: there is no such option"),
        ("KnowledgeBaseParser", '{"max_pages": "many"}', "max_pages: must be a whole number"),
        ("KnowledgeBaseParser", '{"delay": "long"}', "delay: must be a number"),
    ],
)
def test_an_option_of_a_wrong_type_is_refused_in_the_words_of_json(
    data_dir: Path, parser: str, options: str, expected: str
) -> None:
    typed = {"parser": parser, "options": options, "start_url": "https://site.example/kb/"}
    (message,) = form_errors(**typed)["options"]
    assert expected in message
    assert "tuple" not in message
