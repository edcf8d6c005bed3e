"""For the API page: the sections of a docstring stand apart, as its parser wants them; the code keeps them close."""

import re
from typing import Any

import griffe

_SECTION = re.compile(r"(?<!\n)\n(?=(?:Args|Attributes|Returns|Raises|Source):)")


class ApartSections(griffe.Extension):
    """Put an empty line before every section."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Every module, class, function and attribute, as it is read."""
        if obj.docstring is not None:
            obj.docstring.value = _SECTION.sub("\n\n", obj.docstring.value)
