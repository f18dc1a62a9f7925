"""Long parts of the page, compressed within it; page.js unpacks one when a reader comes to it."""

import base64
import zlib

from markupsafe import Markup

LARGE = 150_000  # characters; anything shorter stands in the page as it is


def packed(text: str, name: str = "") -> Markup:
    """The element that holds a text, compressed (zlib) and in letters that HTML takes as they are (base64).

    name: its id, if it has one.
    """
    letters = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    attribute = Markup(' id="{}"').format(name) if name else ""
    return Markup('<script type="text/plain" class="packed"{}>{}</script>').format(attribute, letters)
