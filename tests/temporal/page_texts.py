"""Texts that break pages elsewhere."""

from __future__ import annotations

from typing import Final

SCRIPT: Final = "<script>alert('boarded')</script>"
IMAGE: Final = "<img src=x onerror=\"alert('boarded')\"><svg/onload=alert('boarded')>"

TEXTS: Final = (
    SCRIPT,
    IMAGE,
    '"><iframe srcdoc="<script>parent.alert(1)</script>"></iframe>',
    "javascript:alert('boarded')",
    "<a href=\"javascript:alert('boarded')\">the log</a> &lt;b&gt; &amp;amp; &#x3c;script&#x3e;",
    "{{constructor.constructor('alert(1)')()}} ${alert(1)} `${alert(1)}`",
    "\u202egnp.exe\u202c \u2066\u2067inward\u2069 \u200f\u200e override",
    "مرحبا بالسفينة 123 hello مرحبا",
    "שלום <b>world</b>!",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 bell\x07 null\x00 end",
    "z" + "\u0300\u0301\u0302\u0303\u0304\u0305" * 60 + " a tower",
    "W" * 3000,
    "line\n" * 400,
    "x " * 30_000,
    "\U0001f6a2" * 200 + "👩\u200d👩\u200d👧\u200d👦",
    "\t\ttabs\r\nand\rreturns\u2028separators\u2029here\u0085",
    "style=position:fixed;inset:0 class=top id=main hidden",
    "__proto__",
    "constructor",
    "../../etc/passwd?x=1&y=2#frag%00%0d%0aSet-Cookie:a=b",
)
"""Markup, scripts, overrides of direction, escapes, towers, words and texts without an end, names with a meaning."""
