"""Self-contained HTML for the KFP UI, which shows a page in a sandbox where nothing can be loaded from elsewhere."""

import base64
from html import escape
from pathlib import Path

from rats_train.files import atomic_write_text

_STYLE = "body{font:16px system-ui;margin:1rem;color-scheme:light dark}img,svg{max-width:100%;height:auto}"


def write_page(path: Path, title: str, parts: list[str]) -> None:
    """Write a page of HTML parts under a title."""
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    atomic_write_text(path, f"<!doctype html>{head}<h1>{escape(title)}</h1>\n{body}\n")


def figure(picture: Path, caption: str) -> str:
    """A PNG file as part of a page, with its caption."""
    data = base64.b64encode(picture.read_bytes()).decode()
    alt = escape(caption)
    return f'<figure><img alt="{alt}" src="data:image/png;base64,{data}"><figcaption>{alt}</figcaption></figure>'
