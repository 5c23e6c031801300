"""For the site: docstrings name things as ``:class:`X```, which Markdown shows as code."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`~?\.?([^`]+)`")
CODE_FOLLOWS = re.compile(r"::[ ]*\n\n(?=[ ]{4})")
ALONE = re.compile(r"^:\n\n", re.MULTILINE)


class Roles(griffe.Extension):
    """Rewrites the docstrings of everything that is documented."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """One object."""
        if obj.docstring is not None:
            text = CODE_FOLLOWS.sub(":\n\n", ROLE.sub(r"`\1`", obj.docstring.value))
            obj.docstring.value = ALONE.sub("", text)
