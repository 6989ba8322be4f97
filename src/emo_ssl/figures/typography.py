"""Numbers as a printer sets them."""

import re

MINUS = "\N{MINUS SIGN}"
NEGATIVE = re.compile(r"(?<![\w.-])-(?=\.?\d)")


def typeset(text: str) -> str:
    """A minus sign in front of negative numbers; a hyphen, as in 28-112 or fold-3, stays one."""
    return NEGATIVE.sub(MINUS, text)
