"""JavaDoc as JSON: which documents its packages are, and what is read of a description."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingestion.chunking.chunker import Chunker, TextChunk
from ingestion.documents import DocumentFailure, Parsed, ParsedDocument, Unchanged
from ingestion.parsers.base import NothingKnown, SourceConfig
from ingestion.parsers.javadoc import JavaDocParser
from ingestion.parsers.javadoc.description import read_description
from ingestion.parsers.readers import OwnProcesses
from ingestion.processes.isolation import Limits

HELP = "https://documentation.example/WebHelp/"
PACKAGE = "com.acme.shop"


def method(name: str, docu: str = "", *params: str, **values: Any) -> dict[str, Any]:
    """A method whose parameters are given as `String name`."""
    pairs = [param.rpartition(" ") for param in params]
    listed = [{"name": name, "type": kind} for kind, _, name in pairs]
    return {"name": name, "docu": docu, "params": listed, **values}


def a_class(name: str, *methods: Any, **values: Any) -> dict[str, Any]:
    whole = {"name": name, "docu": "", "fields": [], "constructors": []}
    return {**whole, "methods": list(methods), **values}


def parser(folder: Path, **values: Any) -> JavaDocParser:
    return JavaDocParser(SourceConfig("javadoc", folder, ("api",), **values))


def write(folder: Path, *classes: Any, package: str = PACKAGE) -> Path:
    content = {"name": package, "version": "1", "docu": "", "classes": list(classes)}
    return write_text(folder, json.dumps(content), package)


def write_text(folder: Path, text: str | bytes, package: str = PACKAGE) -> Path:
    (folder / "api").mkdir(exist_ok=True)
    path = folder / "api" / f"{package}.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def parse(folder: Path, *classes: Any, **values: Any) -> list[Parsed]:
    if classes:
        write(folder, *classes)
    return list(parser(folder, **values).parse())


def only(folder: Path, *classes: Any, **values: Any) -> ParsedDocument:
    (document,) = documents(parse(folder, *classes, **values))
    return document


def documents(parsed: Iterable[Parsed]) -> list[ParsedDocument]:
    return [item for item in parsed if isinstance(item, ParsedDocument)]


def failures(parsed: Iterable[Parsed]) -> list[DocumentFailure]:
    return [item for item in parsed if isinstance(item, DocumentFailure)]


def chunks(document: ParsedDocument) -> list[TextChunk]:
    return Chunker().chunk(document)


def blocks(docu: str) -> list[str]:
    return read_description(docu).blocks


def test_it_works(tmp_path: Path) -> None:
    total = method("getTotal", "Returns the total.", "String currency", "int digits")
    found = only(tmp_path, a_class("Cart", total, docu="A cart of goods."))
    assert found.url == "javadoc://com.acme.shop.json#Cart"
    assert (found.title, found.breadcrumb) == ("Cart", ("com.acme.shop",))
    assert (found.doc_type, found.display_url) == ("api-reference", "")
    assert found.content.split("\n\n") == [
        "A cart of goods.",
        "## `getTotal(String, int)`",
        "`getTotal(String currency, int digits)`",
        "Returns the total.",
    ]


def test_each_method_with_a_text_is_a_chunk_that_names_class_and_signature(tmp_path: Path) -> None:
    methods = [method(name, f"Does {name}.", "int count") for name in ("add", "remove")]
    found = chunks(only(tmp_path, a_class("Cart", *methods)))
    assert [chunk.context_header for chunk in found] == [
        "com.acme.shop > Cart > add(int)",
        "com.acme.shop > Cart > remove(int)",
    ]


def test_overloads_are_kept_apart(tmp_path: Path) -> None:
    one = method("add", "Adds one.", "String id")
    many = method("add", "Adds many.", "String id", "int count")
    found = chunks(only(tmp_path, a_class("Cart", one, many)))
    assert [(chunk.heading_path[-1], chunk.content.split("\n\n")[1]) for chunk in found] == [
        ("add(String)", "Adds one."),
        ("add(String, int)", "Adds many."),
    ]


def test_a_member_that_the_file_has_twice_is_there_once(tmp_path: Path) -> None:
    found = only(tmp_path, a_class("Cart", *[method("add", "Adds.", "int n")] * 2))
    assert found.content.count("## ") == 1


def test_a_constructor_has_the_name_of_its_class(tmp_path: Path) -> None:
    built = method("<init>", "Makes it.", "int size")
    found = only(tmp_path, a_class("Shop$Cart", built, method("<init>"), method("<clinit>")))
    assert "## `Cart(int)`\n\n`Cart(int size)`" in found.content
    assert "- `Cart()`" in found.content
    assert "init>" not in found.content


def test_fields_and_what_methods_return_are_shown(tmp_path: Path) -> None:
    fields = [{"name": "LIMIT", "docu": "The most goods.", "type": "int"}, {"name": "FREE"}]
    methods = [method("size", "", returnType="int"), method("last", "The last.", returnType="Item")]
    found = only(tmp_path, a_class("Cart", *methods, fields=fields, constructors=None))
    assert "## `LIMIT`\n\n`int LIMIT`\n\nThe most goods." in found.content
    assert "- `FREE`\n- `int size()`" in found.content
    assert "`Item last()`" in found.content


def test_packages_of_types_are_left_out_of_headings_only(tmp_path: Path) -> None:
    put = method("put", "Puts.", "java.util.Map<java.lang.String, com.acme.Row> rows", "key")
    found = only(tmp_path, a_class("Cart", put)).content
    assert "## `put(Map<String, Row>, key)`" in found
    assert "`put(java.util.Map<java.lang.String, com.acme.Row> rows, key)`" in found


def test_methods_without_a_text_are_listed_together(tmp_path: Path) -> None:
    names = [f"get{letter}{number}" for letter in "ABCDEFGH" for number in range(80)]
    listed = [method(name, "", "String name", "int place") for name in names]
    document = only(tmp_path, a_class("Cart", method("total", "The total."), *listed))
    found = chunks(document)
    assert len(found) < len(names) / 10
    assert all(chunk.tokens <= 400 for chunk in found)
    for name in names:
        assert any(f"- `{name}(String name, int place)`" in chunk.content for chunk in found)
    assert found[1].heading_path[-1].startswith("Further members: getA0 to getA")


def test_a_short_list_belongs_to_the_introduction(tmp_path: Path) -> None:
    found = only(tmp_path, a_class("Cart", method("b"), method("a"), docu="A cart."))
    assert found.content == "A cart.\n\n- `a()`\n- `b()`"
    alone = only(tmp_path, a_class("Cart", method("b"), method("a")))
    assert alone.content == "## Members\n\n- `a()`\n- `b()`"


def test_a_long_signature_in_a_list_follows_the_name(tmp_path: Path) -> None:
    listed = method("convert", "", *[f"String parameter{n}" for n in range(5)])
    found = only(tmp_path, a_class("Cart", listed))
    assert "- `convert`: `convert(String parameter0, String parameter1," in found.content


def test_a_class_without_anything_is_still_found(tmp_path: Path) -> None:
    found = only(tmp_path, a_class("Cart"))
    assert found.content == "`com.acme.shop.Cart` has neither a description nor members."
    assert len(chunks(found)) == 1


def test_a_long_description_is_cut_between_sentences_below_its_signature(tmp_path: Path) -> None:
    text = " ".join(f"This sentence number {n} says something about carts." for n in range(90))
    found = chunks(only(tmp_path, a_class("Cart", method("add", text, "int count"))))
    assert len(found) > 1
    for chunk in found:
        assert chunk.context_header == "com.acme.shop > Cart > add(int)"
        assert chunk.content.endswith("carts.")


def test_a_description_that_fits_is_not_cut(tmp_path: Path) -> None:
    text = " ".join(f"Sentence {n} about carts." for n in range(36))
    (chunk,) = chunks(only(tmp_path, a_class("Cart", method("add", text))))
    assert 250 < chunk.tokens <= 400


def test_the_links_of_class_and_method_lead_to_the_documentation(tmp_path: Path) -> None:
    add = method("add", f"Adds.\r\r[Docs]({HELP}bbjobjects/Cart_add.htm)")
    bare = method("drop", f"[Docs]({HELP}bbjobjects/Cart_drop.htm)")
    found = only(tmp_path, a_class("Cart", add, bare, docu=f"A cart.\r\r[Docs]({HELP}b/Cart.htm)"))
    assert found.display_url == f"{HELP}b/Cart.htm"
    assert f"Adds.\n\nDocs: {HELP}bbjobjects/Cart_add.htm" in found.content
    assert f"`drop()`\n\nDocs: {HELP}bbjobjects/Cart_drop.htm" in found.content
    assert "[Docs]" not in found.content


def test_a_class_without_a_link_has_its_page_below_the_sources_address(tmp_path: Path) -> None:
    found = only(tmp_path, a_class("Shop$Cart"), display_base_url="https://api.example/docs/")
    assert found.display_url == "https://api.example/docs/com/acme/shop/Shop.Cart.html"


@pytest.mark.parametrize(
    ("package", "docu", "expected"),
    [
        ("com.basis.bbj.proxies", "", ("bbj_gui", "bbj")),
        ("com.basis.bbj.proxies.event", "", ("bbj_gui", "bbj")),
        ("com.basis.bbj.proxiesx", "", ("untagged", "bbj")),
        ("com.basis.util", "", ("untagged", "bbj")),
        ("com.basis.util", "For the Dynamic Web Client.", ("dwc", "bbj")),
        ("com.basis.bbj.proxies", f"[Docs]({HELP}b3odbc/Ldap.htm)", ("all", "bbj")),
    ],
)
def test_the_generation_comes_from_link_or_package_text_and_source(
    tmp_path: Path, package: str, docu: str, expected: tuple[str, ...]
) -> None:
    write(tmp_path, a_class("Cart", method("a"), docu=docu), package=package)
    (found,) = documents(parse(tmp_path, generation="bbj"))
    assert found.generations == expected


@pytest.mark.parametrize(
    ("docu", "expected"),
    [
        ("", []),
        ("Plain \r\ntext  of lines.\r\rAnother.", ["Plain text of lines.", "Another."]),
        ("In <i>BBj</i>Window, <code>x</code>.", ["In BBjWindow, `x`."]),
        ("See <a href='a.htm'>BBjAPI</a>().<a href='b.htm'>get</a>().", ["See BBjAPI().get()."]),
        ("One.\r\n" + " " * 44 + "Two.\r\n" + " " * 44 + "Three.", ["One.", "Two.", "Three."]),
        ("a &lt; b &amp; c", ["a < b & c"]),
        ("A List<String> of Map<K, V>.", ["A List<String> of Map<K, V>."]),
        ("A <b>bold</b> List<String>.", ["A bold List<String>."]),
        ("Such: <ul><li>one<li>two</ul>", ["Such:", "- one\n- two"]),
        ("Note<div class='note'>", ["Note"]),
        ("<h2>Syntax</h2>Text", ["Syntax", "Text"]),
        ("# no heading", ["\\# no heading"]),
        ("<pre>a\n  b</pre>", ["```\na\n  b\n```"]),
        ("Shown <img src='a.png' alt='DWC logo'/> here.", ["Shown here."]),
    ],
)
def test_html_and_plain_text_are_read(docu: str, expected: list[str]) -> None:
    assert blocks(docu) == expected


COMMENT = """/**
 * Puts a {@code value} below {@link Map#key the key},
 * or a {@link Cart#lid} of {@code Map<K, {V}>}.
 *
 * <p>Returns {@literal <nothing>}.{@inheritDoc}
 *
 * @param key the key, for
 *        which {@code null} is fine
 * @param <V> the type
 * @param bare
 * @return the <i>old</i> value
 * @throws IOException if it fails
 * @exception Error never
 * @author Nobody
 * @since 1.2
 * @see Map
 * @see Cart
 */"""


def test_the_comment_of_a_source_is_read() -> None:
    assert blocks(COMMENT) == [
        "Puts a `value` below the key, or a `Cart.lid` of `Map<K, {V}>`.",
        "Returns <nothing>.",
        "Parameters:",
        "- `key`: the key, for which `null` is fine\n- `V`: the type\n- `bare`",
        "Throws:",
        "- `IOException`: if it fails\n- `Error`: never",
        "Returns: the old value",
        "Since: 1.2",
        "See also: Map, Cart",
    ]


def test_tags_are_read_without_a_comment_too() -> None:
    assert blocks("Adds it. Mail a@b.de.\r@param id  the id\r\n@return true") == [
        "Adds it. Mail a@b.de.",
        "Parameters:",
        "- `id`: the id",
        "Returns: true",
    ]


def test_a_deprecated_class_is_marked(tmp_path: Path) -> None:
    found = only(tmp_path, a_class("Cart", docu="/** A cart.\n * @deprecated use Basket */"))
    assert found.deprecated
    assert found.content == "A cart.\n\nDeprecated: use Basket"


def test_of_a_whole_page_only_the_main_part_is_read(tmp_path: Path) -> None:
    page = (
        "otal</title><link href='a.css'/><script>go()</script></head><body><nav><ul><li>Menu</li>"
        "</ul></nav><div role='main'><h1><a href='c.htm'>Cart</a>::getTotal</h1>"
    )
    found = only(tmp_path, a_class("Cart", method("getTotal", page), method("sum", page + "It.")))
    assert "## Further members\n\n- `getTotal()`" in found.content
    assert "`sum()`\n\nCart::getTotal\n\nIt." in found.content
    assert "Menu" not in found.content


@pytest.mark.parametrize(
    "docu",
    [
        "[Docs](" + " " * 200_000,
        "/**" + "*" * 200_000,
        "{@code" + " " * 200_000,
        "{@code " * 30_000,
        ("\n" + " " * 30) * 20_000 + "<",
        "@param " * 30_000,
        "\r\r" * 100_000,
        "<b>" * 20_000,
    ],
)
def test_a_description_takes_time_in_proportion(docu: str) -> None:
    began = time.process_time()
    read_description(docu)
    assert time.process_time() - began < 10


def test_characters_that_nothing_can_store_are_replaced(tmp_path: Path) -> None:
    write_text(
        tmp_path,
        '{"name": "a", "classes": [{"name": "Ca\\nrt", "docu": "A\\u0001 <b>\\ud800</b>.",'
        ' "methods": [{"name": "x\\ny`", "params": [{"name": "\\u0000", "type": "T\\n"}]}]}]}',
    )
    (found,) = documents(parse(tmp_path))
    assert found.title == "Ca rt"
    assert found.content == "A \ufffd.\n\n- ``x y`(T \ufffd)``"


def test_nested_classes_are_documents_of_their_own(tmp_path: Path) -> None:
    inner = a_class("Item", method("<init>"), classes=[a_class("Size")])
    found = documents(parse(tmp_path, a_class("Cart", classes=[inner]), a_class("Cart$Row")))
    assert [document.url.partition("#")[2] for document in found] == [
        "Cart",
        "Cart.Item",
        "Cart.Item.Size",
        "Cart.Row",
    ]
    assert "- `Item()`" in found[1].content


def test_classes_of_one_name_have_addresses_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, a_class("Cart", docu="One."), a_class("Cart", docu="Two."))
    write(tmp_path, a_class("Cart", docu="Three."), package="com.acme.web")
    assert {document.url: document.content for document in documents(parse(tmp_path))} == {
        "javadoc://com.acme.shop.json#Cart": "One.",
        "javadoc://com.acme.shop.json#Cart-2": "Two.",
        "javadoc://com.acme.web.json#Cart": "Three.",
    }


def test_an_empty_package_has_no_document(tmp_path: Path) -> None:
    write(tmp_path)
    assert parse(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ("", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        ("[1]", "not of a package"),
        ('{"name": "a"}', "not of a package"),
        ('{"classes": {"a": 1}}', "not of a package"),
        ("[" * 200_000, "nested too deep"),
    ],
)
def test_a_broken_file_is_a_failure_and_the_others_are_read(
    tmp_path: Path, text: str | bytes, says: str
) -> None:
    write_text(tmp_path, text, "com.acme.broken")
    write(tmp_path, a_class("Cart"))
    parsed = parse(tmp_path)
    (failure,) = failures(parsed)
    assert failure.url == "javadoc://com.acme.broken.json"
    assert says in failure.message
    assert "com.acme.broken.json: It is" in failure.message or "Its JSON" in failure.message
    assert [document.title for document in documents(parsed)] == ["Cart"]


def test_a_class_that_cannot_be_read_is_a_failure_and_the_others_are_read(tmp_path: Path) -> None:
    broken = [a_class("Bad", {"name": 7}), {"docu": "nameless"}, "text"]
    parsed = parse(tmp_path, *broken, a_class("Cart"))
    first, *others = failures(parsed)
    assert first.url == "javadoc://com.acme.shop.json#Bad"
    assert "Bad: methods.0.name" in first.message
    assert len(others) == 2
    assert [document.title for document in documents(parsed)] == ["Cart"]


def test_a_file_that_is_too_large_is_a_failure(tmp_path: Path) -> None:
    with write(tmp_path, a_class("Cart")).open("r+b") as file:
        file.truncate(33 * 1024 * 1024)
    (failure,) = failures(parse(tmp_path))
    assert "above the limit" in failure.message


def test_other_encodings_are_read(tmp_path: Path) -> None:
    text = '{"name": "a", "classes": [{"name": "K", "docu": "Fläche"}]}'
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        write_text(tmp_path, text.encode(encoding))
        (document,) = documents(parse(tmp_path))
        assert document.content == "Fläche"


def test_only_changed_files_are_read_again(tmp_path: Path) -> None:
    class Known(NothingKnown):
        def current(self, url: str) -> bool:
            return url.endswith("shop.json")

    write(tmp_path, a_class("Cart"))
    write(tmp_path, a_class("Page"), package="com.acme.web")
    unchanged, document = parser(tmp_path).parse(Known())
    assert unchanged == Unchanged("javadoc://com.acme.shop.json")
    assert isinstance(document, ParsedDocument)
    (file,) = document.inputs
    assert file.path == "api/com.acme.web.json"
    assert file.size == os.stat(tmp_path / file.path).st_size


def test_a_file_of_many_classes_is_read_in_its_own_process(tmp_path: Path) -> None:
    write(tmp_path, *[a_class(f"C{n}", method("a", "<p>Text.")) for n in range(300)])
    isolation = OwnProcesses(Limits())
    found = documents(parser(tmp_path).parse(isolation=isolation))
    isolation.close()
    assert [document.title for document in found] == [f"C{n}" for n in range(300)]


@pytest.mark.corpus
def test_all_members_of_the_corpus_are_in_its_chunks(corpus: Path) -> None:
    config = SourceConfig("javadoc", corpus, ("javadoc",))
    parsed = list(JavaDocParser(config).parse())
    assert failures(parsed) == []
    found = {document.url: document for document in documents(parsed)}
    for path in sorted((corpus / "javadoc").glob("*.json")):
        for each in json.loads(path.read_text("utf-8-sig"))["classes"]:
            document = found.pop(f"javadoc://{path.name}#{each['name']}")
            assert missing(each, chunks(document)) == [], document.url
            assert cut(document, chunks(document)) == [], document.url
    assert not found


def missing(each: dict[str, Any], found: list[TextChunk]) -> list[str]:
    """The signatures of a class that are in no chunk together with the class's name."""
    texts = [chunk.content for chunk in found if each["name"] in chunk.context_header]
    return [
        wanted for wanted in signatures(each) if not any(f"{wanted}`" in text for text in texts)
    ]


def signatures(each: dict[str, Any]) -> list[str]:
    members = [*each["constructors"], *each["methods"]]
    called = [f"{shown(each, member)}({parameters(member)})" for member in members]
    return [field["name"] for field in each["fields"]] + called


def shown(each: dict[str, Any], member: dict[str, Any]) -> str:
    return str(each["name"] if member["name"] == "<init>" else member["name"])


def parameters(member: dict[str, Any]) -> str:
    return ", ".join(f"{p.get('type') or ''} {p['name']}".strip() for p in member["params"])


def cut(document: ParsedDocument, found: list[TextChunk]) -> list[str]:
    """The sections that are in several chunks although they would fit one."""
    first, *members = document.content.split("\n\n## ")
    return [
        section
        for section in [first, *(f"## {member}" for member in members)]
        if not any(without_heading(section) in chunk.content for chunk in found)
        and len(chunks(replace(document, content=section))) == 1
    ]


def without_heading(section: str) -> str:
    return section.partition("\n\n")[2] if section.startswith("## ") else section
