"""The AsyncAPI document for a person: which topics there are, then all of it. The page loads nothing from elsewhere."""

import html
import json
from collections.abc import Mapping


def asyncapi_page(document: Mapping[str, object]) -> bytes:
    """The page, as UTF-8."""
    info, channels = document.get("info"), document.get("channels")
    title = html.escape(str(info.get("title", "AsyncAPI")) if isinstance(info, dict) else "AsyncAPI")
    topics = "".join(
        f"<li><code>{html.escape(str(channel.get('address', name)))}</code></li>"
        for name, channel in (channels.items() if isinstance(channels, dict) else ())
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        "<style>body{font-family:sans-serif;margin:2rem;max-width:70rem}pre{background:#f6f6f6;padding:1rem}</style>"
        f"<h1>{title}</h1><h2>Topics</h2><ul>{topics}</ul>"
        f"<h2>AsyncAPI document</h2><pre>{html.escape(json.dumps(document, indent=2))}</pre></html>\n"
    ).encode()
