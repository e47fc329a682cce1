"""A git repository for a test."""

import subprocess
from pathlib import Path

AUTHOR = ("-c", "user.name=Test", "-c", "user.email=test@example.com")


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; returns what it printed."""
    argv = ["git", *AUTHOR, *arguments]
    return subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout


def repository(tmp_path: Path, **files: str) -> Path:
    """Make a repository `repo` with one commit: `kept.txt` and these files."""
    repo = tmp_path / "repo"
    repo.mkdir(exist_ok=True)
    git(repo, "init", "-q", "-b", "main")
    for name, text in {"kept.txt": "old\n", **files}.items():
        (repo / name).write_text(text)
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "first")
    return repo
