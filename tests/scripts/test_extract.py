"""What the extraction scripts keep of a page, and what they drop."""

import json

from scripts.default_corpus import Filter
from scripts.extract import html_page, poems, rst_page


def test_html_keeps_paragraphs_and_drops_code_and_menus(tmp_path):
    page = tmp_path / "a.html"
    page.write_text("<nav>Menu</nav><h1>Title</h1><p>One\n <b>two</b>.</p><pre>code()</pre><p>Three.</p>")
    assert html_page(page) == ["Title", "One two.", "Three."]


def test_rst_keeps_prose_and_drops_directives_and_literal_blocks(tmp_path):
    page = tmp_path / "a.rst.txt"
    page.write_text("Title\n=====\n\n.. note:: hidden\n\nSee :func:`open` and ``x``::\n\n    code = 1\n\n* An item.\n")
    assert rst_page(page) == ["Title", "See open and x:", "An item."]


def test_poems_are_found_at_any_depth(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"content": [{"chapter": "春晓", "paragraphs": ["春眠不觉晓，", "处处闻啼鸟。"]}]}))
    assert list(poems(path)) == ["春晓\n春眠不觉晓，\n处处闻啼鸟。"]


def test_filter_drops_code_and_what_was_seen_before():
    keep = Filter()
    prose = "This paragraph is long enough to be kept, because it has many ordinary English words in it. " * 3
    assert keep.document([prose, "x = f(1, 2); y[3] = {4: 5} // 6 ** 7"], "en") == prose
    assert keep.document([prose], "en") is None


def test_filter_joins_wrapped_chinese_lines():
    text = "驱动模型的困难在于，没有明显的切入点。 处理它们需要理解一些不同的类型，所有这些类型都会相互引用。"
    assert Filter().document([text], "zh") == text.replace(" ", "")
