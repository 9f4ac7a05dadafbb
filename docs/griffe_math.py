"""Sphinx's roles and doctest's examples in docstrings, as the site's pages have mathematics and code."""

import re

import griffe

_MATH = re.compile(r":math:`([^`]*)`")
_EXAMPLE = re.compile(r"^(>>> .*(?:\n(?!\s*$).*)*)", re.MULTILINE)


class Mathematics(griffe.Extension):
    r""":math:`x` becomes \(x\), and an example a block of code."""

    def on_instance(self, *, obj: griffe.Object, **_) -> None:
        """Rewrites the docstring of everything that has one."""
        if obj.docstring:
            text = _MATH.sub(lambda m: rf"\({m[1]}\)", obj.docstring.value)
            obj.docstring.value = _EXAMPLE.sub(r"```pycon\n\1\n```", text)
