"""What a row may name, and what is refused at its field before Git sees it."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ValidationError

from ingestion.git.address import parsed
from sources.models import Source

pytestmark = pytest.mark.django_db

GOOD = "https://git.example.com/docs.git"
ADMITTED = [
    GOOD,
    "https://github.com/BasisHub/DWC-Course",
    "https://git.example.com:8443/a/b.git",
    "ssh://git@git.example.com/a/b.git",
    "ssh://git@git.example.com:2222/a/b.git",
    "http://10.1.2.3/a.git",
    "git://[fd00::1]/a.git",
    "https://git.example.com/with%20blank.git",
]
REFUSED = [
    "-oProxyCommand=touch /tmp/x",
    "--upload-pack=touch",
    "ext::sh -c touch% /tmp/x",
    "ext::touch",
    "fd::17",
    "https://-oProxyCommand=x/a.git",
    "ssh://-oProxyCommand=touch/a.git",
    "ssh://-l@host/a.git",
    "ssh://git@host;touch/a.git",
    "ssh://git@$(touch)/a.git",
    "git@git.example.com:a/b.git",
    "https://user@git.example.com/a.git",
    "https://user:word@git.example.com/a.git",
    "ssh://git:word@git.example.com/a.git",
    "https://git.example.com/../a.git",
    "https://git.example.com/%2e%2e/a.git",
    "https://git.example.com/a%0ahost=evil.git",
    "https://git.example.com/a\nb.git",
    "https://git.example.com/a b.git",
    "https://git.example.com/a.git?x=1",
    "https://git.example.com/a.git#x",
    "https://git.example.com\\@evil.example/a.git",
    "https://git.example.com",
    "https:///a.git",
    "https://git.example.com:99999/a.git",
    "https://git.example.com:0/a.git",
    "ftp://git.example.com/a.git",
    "http+unix://a/b",
    "/srv/a.git",
    "a.git",
    "file:///etc",
    "file://host/a.git",
    "file:///%00",
]
BRANCHES = ["main", "v1.2", "release/2024", "refs/heads/main", "feature#7", "über", ""]
NO_BRANCHES = [
    "-b",
    "--upload-pack=x",
    "+main",
    "a..b",
    "a b",
    "a\tb",
    "a:b",
    "a^",
    "a~1",
    "a?",
    "a*",
    "a[b",
    "a\\b",
    "@{u}",
    "@",
    "/a",
    "a/",
    "a//b",
    ".a",
    "a/.b",
    "a.lock",
    "a.",
    "main\n",
]


def row(**fields: object) -> Source:
    defaults = {"name": "mine", "title": "Mine", "parser": "MdxParser", "paths": ["docs"]}
    return Source(**(defaults | {"repository": GOOD} | fields))


def refused(source: Source) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as error:
        source.full_clean()
    return error.value.message_dict


@pytest.mark.parametrize("address", ADMITTED)
def test_addresses_are_admitted(address: str) -> None:
    row(repository=address).full_clean()


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_no_address_is_refused_at_its_field(address: str) -> None:
    assert set(refused(row(repository=address))) == {"repository"}


def test_the_short_form_of_ssh_is_refused_with_the_long_one() -> None:
    said = refused(row(repository="git@github.com:BasisHub/DWC-Course.git"))["repository"][0]
    assert said == "Write it as an address: ssh://git@github.com/BasisHub/DWC-Course.git"


def test_a_local_repository_is_below_data_dir(tmp_path: Path) -> None:
    inside = parsed(f"file://{tmp_path}/a%20b.git", tmp_path)
    assert (inside.scheme, inside.path) == ("file", f"{tmp_path}/a b.git")
    (tmp_path / "link.git").symlink_to("/etc")
    for outside in ("/etc", f"{tmp_path}/link.git", f"{tmp_path}x/a.git"):
        with pytest.raises(Exception, match="outside DATA_DIR"):
            parsed(f"file://{outside}", tmp_path)


@pytest.mark.parametrize("name", BRANCHES)
def test_branches_and_tags_are_admitted(name: str) -> None:
    row(revision=name).full_clean()


@pytest.mark.parametrize("name", NO_BRANCHES)
def test_what_is_no_branch_is_refused_at_its_field(name: str) -> None:
    assert set(refused(row(revision=name))) == {"revision"}


@pytest.mark.parametrize("path", ["/docs", "../docs", "docs/../..", ".git", "docs/.GIT/x", "a\x01"])
def test_a_path_stays_in_the_repository(path: str) -> None:
    assert set(refused(row(paths=[path]))) == {"paths"}


def test_paths_of_a_repository_need_not_be_below_data_dir() -> None:
    row(paths=["docs", "more/pages"]).full_clean()
    row(paths=["."]).full_clean()
    assert "is inside another" in refused(row(paths=["docs", "docs/sub"]))["paths"][0]
    assert ". for all of it" in refused(row(paths=[]))["paths"][0]


@pytest.mark.parametrize("name", ["ghp_AbCdEf123456", "a b", "-a", "../a", "a/b", "A", "a."])
def test_a_credential_is_a_name(name: str) -> None:
    said = refused(row(credential=name))
    assert set(said) == {"credential"}
    assert name not in said["credential"][0].removeprefix("Give the name of a secret")


@pytest.mark.parametrize(
    "template",
    [
        "https://git.example.com/{commit}",
        "javascript:{path}",
        "https://x.y/{path}/{path}",
        "https://x.y/{line}/{path}",
        "https://x.y/{branch}/{path}",
    ],
)
def test_a_template_makes_links(template: str) -> None:
    assert set(refused(row(link_template=template))) == {"link_template"}
    row(link_template="https://x.y/{commit}/{path}?l={line}").full_clean()


@pytest.mark.parametrize("field", ["revision", "credential", "link_template"])
def test_what_is_for_git_needs_a_repository(field: str) -> None:
    (said,) = row(repository="", **{field: "main"}).problems()[field]
    assert said == "This is for a source in Git: give its repository."


def test_a_site_has_no_repository() -> None:
    site = row(parser="WebCrawlParser", start_url="https://site.example/", paths=[])
    assert set(refused(site)) == {"repository"}


def test_a_disabled_row_is_checked_too() -> None:
    assert set(refused(row(enabled=False, repository="ext::x"))) == {"repository"}
