"""Characters that no name and no tag may have, since nobody sees them as themselves."""

import re
import unicodedata

_IGNORED = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)


def has_hidden(text: str) -> bool:
    """Say whether a text has control or format characters, or such as Unicode ignores by default."""
    return bool(_IGNORED.search(text)) or any(
        unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"} for character in text
    )
