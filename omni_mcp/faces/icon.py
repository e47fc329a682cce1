"""The picture that clients show beside our name: three tasks on their way through one point."""

from base64 import b64encode

from mcp_types import Icon

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#0a7ea4" stroke-width="2">'
    '<path d="M3 5c6 0 4 7 9 7s3-7 9-7M3 12h18M3 19c6 0 4-7 9-7s3 7 9 7"/>'
    '<circle cx="12" cy="12" r="3" fill="#0a7ea4"/>'
    "</svg>"
)
SOURCE = f"data:image/svg+xml;base64,{b64encode(SVG.encode()).decode()}"
ICON = Icon(src=SOURCE, mime_type="image/svg+xml", sizes=["any"])
