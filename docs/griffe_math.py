"""Sphinx's roles in docstrings, as the site's pages have mathematics and code."""

import re

import griffe

_MATH = re.compile(r":math:`([^`]*)`")


class Mathematics(griffe.Extension):
    """:math:`x` becomes \\(x\\)."""

    def on_instance(self, *, obj: griffe.Object, **_) -> None:
        """Rewrites the docstring of everything that has one."""
        if obj.docstring:
            obj.docstring.value = _MATH.sub(lambda m: rf"\\({m[1]}\\)", obj.docstring.value)
