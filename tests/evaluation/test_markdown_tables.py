"""Markdown tables, and their place in a page."""

import pytest

from fer_hub import UserError
from fer_hub.evaluation.markdown_tables import markdown, write_table

TABLE = markdown(("model", "accuracy"), [("ours", "56.9 %")])
PAGE = "# Title\n\n<!-- results:main -->\nold\n<!-- /results:main -->\n\nText <!-- results:other --> ä\n"


def test_table_by_hand():
    assert markdown(("model", "n"), [("a|b", 3), ("two\nlines", 4000)]) == (
        "| model     | n    |\n| --------- | ---- |\n| a\\|b      | 3    |\n| two lines | 4000 |"
    )
    assert markdown(("a",), []) == "| a   |\n| --- |"
    with pytest.raises(ValueError):
        markdown(("a", "b"), [("only one",)])


def test_text_between_the_markers_is_replaced_and_nothing_else(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(PAGE)
    assert write_table(page, "main", TABLE)
    assert page.read_text() == PAGE.replace("old", TABLE)
    modified = page.stat().st_mtime_ns
    assert not write_table(page, "main", TABLE)  # the same again changes nothing
    assert page.stat().st_mtime_ns == modified
    assert write_table(page, "main", "| shorter |")
    assert page.read_text() == PAGE.replace("old", "| shorter |")


def test_first_table_of_a_page(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("<!-- results:main --><!-- /results:main -->")
    assert write_table(page, "main", TABLE)
    assert page.read_text() == f"<!-- results:main -->\n{TABLE}\n<!-- /results:main -->"


def test_ends_of_lines_stay(tmp_path):
    page = tmp_path / "README.md"
    page.write_bytes(PAGE.replace("\n", "\r\n").encode())
    assert write_table(page, "main", TABLE)
    assert page.read_bytes() == PAGE.replace("old", TABLE).replace("\n", "\r\n").encode()
    assert not write_table(page, "main", TABLE)


def test_names_cannot_forge_a_marker(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(PAGE)
    table = markdown(("model",), [("<!-- /results:main -->",)])
    assert write_table(page, "main", table) and not write_table(page, "main", table)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("<!-- results:main -->", "", "has <!-- results:main --> 0 times.*Mark the table's place"),
        ("<!-- /results:main -->", "", "has <!-- /results:main --> 0 times"),
        ("# Title", "<!-- results:main -->", "has <!-- results:main --> 2 times"),
        ("# Title", "<!-- /results:main -->", "has <!-- /results:main --> 2 times"),
        ("results:main", "results:main2", "has <!-- results:main --> 0 times"),
    ],
)
def test_pages_without_one_place_are_refused_and_untouched(tmp_path, before, after, words):
    page = tmp_path / "README.md"
    page.write_text(PAGE.replace(before, after))
    with pytest.raises(UserError, match=words):
        write_table(page, "main", TABLE)
    assert page.read_text() == PAGE.replace(before, after)


def test_what_is_no_page_is_refused(tmp_path):
    page = tmp_path / "README.md"
    with pytest.raises(UserError, match="cannot open .*README.md: No such file"):
        write_table(page, "main", TABLE)
    page.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not text in UTF-8"):
        write_table(page, "main", TABLE)
    page.write_text("<!-- /results:main -->\n<!-- results:main -->\n")
    with pytest.raises(UserError, match="stands before"):
        write_table(page, "main", TABLE)
