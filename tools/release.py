"""What a release needs beside git: whether a tag may become one, its notes, and its files (`make release`).

The docs of a version are the files at its tag; so the README in the package, which PyPI shows, leads there. Knows the
standard library alone; hatchling builds.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
LINK = re.compile(r"(!\[[^\]]*)?\]\((?!\w+:|#)([^)\s]+)\)")
"""The end of a link within the repository; of a picture from its begin."""


class NotReady(Exception):
    """The tag cannot become a release; says why, and what to do."""


def version() -> str:
    """Return the version of the package."""
    [found] = VERSION.findall((ROOT / "omni_mcp/__init__.py").read_text(encoding="utf-8"))
    return found


def notes(tag: str, changelog: str) -> str:
    """Return what the changelog says of a tag; whoever tags too early is told."""
    if tag != f"v{version()}":
        raise NotReady(f"the tag is {tag!r}, the package v{version()}: set __version__, or tag v{version()}")
    _, *parts = re.split(r"^## \[(.+?)\](.*)$", changelog, flags=re.MULTILINE)
    sections = dict(zip(parts[::3], zip(parts[1::3], parts[2::3], strict=True), strict=True))
    dated, text = sections.get(tag.removeprefix("v"), ("", ""))
    if not text.strip() or not re.fullmatch(r" - \d{4}-\d\d-\d\d", dated):
        raise NotReady(f"CHANGELOG.md has no '## [{tag.removeprefix('v')}] - YYYY-MM-DD' with text: rename Unreleased")
    return text.strip()


def absolute(readme: str, pages: str, tag: str) -> str:
    """Return the README with its links leading to the files of a tag, and its pictures to what is drawn."""
    return LINK.sub(
        lambda found: f"{found[1] or ''}]({pages}/{'raw' if found[1] else 'blob'}/{tag}/{found[2]})",
        readme,
    )


def build(tag: str, pages: str, into: Path) -> None:
    """Build wheel and source distribution of what is committed."""
    with tempfile.TemporaryDirectory(prefix="omni-release-") as name:
        folder = Path(name)
        git = [shutil.which("git") or "git", "archive", "--format", "zip", "HEAD"]
        committed = subprocess.run(git, cwd=ROOT, check=True, capture_output=True).stdout
        with ZipFile(BytesIO(committed)) as archive:
            archive.extractall(folder)
        readme = folder / "README.md"
        readme.write_text(absolute(readme.read_text(encoding="utf-8"), pages, tag), encoding="utf-8")
        argv = [sys.executable, "-m", "hatchling", "build", "--directory", str(into.resolve())]
        subprocess.run(argv, cwd=folder, check=True)


def main() -> None:
    """Print the notes of a tag, or build its files; end with 1 and the reason when it is not ready."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["notes", "build"])
    parser.add_argument("tag", help="vX.Y.Z")
    parser.add_argument("--pages", default="", help="where the repository is read, as https://github.com/OWNER/NAME")
    given = parser.parse_args()
    try:
        text = notes(given.tag, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    except NotReady as reason:
        sys.exit(f"not ready for a release: {reason}")
    if given.what == "notes":
        print(text)  # noqa: T201 - it is asked for by the workflow
    else:
        build(given.tag, given.pages, ROOT / "dist")


if __name__ == "__main__":
    main()
