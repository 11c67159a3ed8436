"""Reading the pages that a report writes."""

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "input", "br", "link", "hr"}


class Page(HTMLParser):
    """The page's structure: ids of sections, text, attributes, and whether every tag is closed in order."""

    def __init__(self, html: str):
        super().__init__()
        self.open, self.ids, self.words, self.attributes, self.tags = [], [], [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id" and tag == "section"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def outside(html: str) -> list[str]:
    """What the page would ask for from elsewhere, or run: [] for a page that stands alone."""
    page = Page(html)
    asked = [tag for tag in page.tags if tag in ("link", "iframe", "object", "embed", "base")]
    for _, name, value in page.attributes:
        if name in ("src", "href", "srcset", "poster", "data", "action") and not value.startswith(("data:image/", "#")):
            asked.append(f"{name}={value}")
        if name.startswith("on"):
            asked.append(name)
    asked += re.findall(r"https?://|url\(|@import", html)
    return asked + ["script"] * (page.tags.count("script") - 1)
