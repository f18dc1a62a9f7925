"""Figures inside a page: an SVG that matplotlib wrote, made fit to stand among others in one HTML document."""

import re
import xml.etree.ElementTree as ET

from markupsafe import Markup

from initbench.report.figures.style import INK, MUTED, RULE

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)"}
HEAD = 26  # points at the top of a figure that its title takes

ET.register_namespace("", SVG)
ET.register_namespace("xlink", XLINK)

_INKS = re.compile("|".join(VARIABLES), re.IGNORECASE)
_URL = re.compile(r"url\(#([^)]+)\)")


def inlined(svg: str, name: str, alt: str) -> Markup:
    """The SVG for an HTML page: ids begin with `name`, ink follows the page's colours, `alt` is read out.

    It has no title: on the page, that stands above the figure. Raises xml.etree.ElementTree.ParseError where the text
    is no XML.
    """
    root = ET.fromstring(svg)
    top = 0.0
    for parent in root.iter():
        for child in list(parent):
            titled = child.get("id") == "title"
            if titled or child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):  # a style would hold for all the page
                parent.remove(child)
                top = HEAD if titled else top
    for element in root.iter():
        for key, value in element.attrib.items():
            element.set(key, _attribute(key, value, name))
    left, upper, across, down = map(float, root.attrib["viewBox"].split())
    root.set("viewBox", f"{left:g} {upper + top:g} {across:g} {down - top:g}")
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {"role": "img", "aria-label": alt}
    return Markup(ET.tostring(root, encoding="unicode"))


def _attribute(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key in ("href", f"{{{XLINK}}}href"):
        return f"#{name}-{value[1:]}" if value.startswith("#") else value
    if "url(#" in value:
        value = _URL.sub(rf"url(#{name}-\1)", value)
    if "#" in value:
        value = _INKS.sub(lambda found: VARIABLES[found[0].lower()], value)
    return value
