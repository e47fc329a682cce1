"""The picture that clients, and the web page, show beside our name: three tasks on their way through one point."""

from base64 import b64encode
from importlib import resources

from mcp_types import Icon

SVG = resources.files("omni_mcp.faces.web").joinpath("static", "icon.svg").read_bytes()
SOURCE = f"data:image/svg+xml;base64,{b64encode(SVG).decode()}"
ICON = Icon(src=SOURCE, mime_type="image/svg+xml", sizes=["any"])
