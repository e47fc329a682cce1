"""`omni-mcp doctor` finds each injected fault, and the command that it names mends it.

Every fault is put into a healthy home of its own; the doctor has to name it and nothing else, its fix is run by `sh`
as it stands, and a second look from the same shell finds nothing bad.
"""

import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import psutil
import pytest
import yaml

from omni_mcp import background
from omni_mcp.clients.launch import console_script
from omni_mcp.home import Home
from omni_mcp.ledger.owners import holder
from tests.forkserver import command
from tests.integration.house import free_port, until_then

T = TypeVar("T")

LIMIT = 60
"""Seconds for any one command here."""
REAL_CLAUDE = Path(__file__).parents[2] / ".cache/npm/node_modules/.bin/claude"

SERVERS = """\
executors:
  claude_code:
    preset: claude-code
    handles: [coding]
    login: relay
  assistant: {preset: assistant, handles: [general]}
  bench: {command: cat, tool: echo, handles: [echo]}
models:
  model_list:
    - model_name: strong
      litellm_params: {model: anthropic/strong, api_key: "${A_KEY}"}
    - model_name: quick
      litellm_params:
        model: anthropic/quick
        api_key: "${A_KEY}"
  for: {coding: strong, default: quick}
"""
BENCH = "executors: {bench: {command: cat, tool: echo, handles: [echo]}}\n"
OWN_LOGIN = "executors:\n  claude_code: {preset: claude-code, login: own}\n"

CLAUDE = """\
#!/bin/sh
case "$*" in
  --version) echo "2.1.330 (Claude Code)" ;;
  "auth status") [ -e "$HOME/.logged-in" ] && echo '{"loggedIn": true}' || echo '{"loggedIn": false}' ;;
  "auth login") touch "$HOME/.logged-in" ;;
esac
"""
NPM = '#!/bin/sh\ncp "$(dirname "$0")/claude.good" "$(dirname "$0")/claude"\n'
EDITOR = '#!/bin/sh\nfor file; do :; done\ncp "$file.good" "$file"\n'
"""Stands for a person at an editor: puts the good file in the place of the one that is opened."""


@dataclass
class Patient:
    """A home, its user, and what is on the user's PATH."""

    root: Path
    more: dict[str, str] = field(default_factory=dict[str, str])
    """Variables of the shell that are part of the fault."""
    answer: str = ""
    """What the person says when the fix asks."""

    @property
    def home(self) -> Home:
        return Home(self.root / "home")

    @property
    def user(self) -> Path:
        return self.root / "user"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def client(self) -> Path:
        """The configuration of a client that has us."""
        return self.user / ".cursor/mcp.json"

    @property
    def env(self) -> dict[str, str]:
        covered = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        own = {"HOME": str(self.user), "OMNI_HOME": str(self.home.root), "EDITOR": str(self.bin / "editor")}
        return {"PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **own, **covered, **self.more}

    def sh(self, script: str) -> "subprocess.CompletedProcess[str]":
        argv = ["/bin/sh", "-c", script]
        return subprocess.run(
            argv,
            env=self.env,
            cwd=self.root,
            input=self.answer,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    def omni(self, *words: str) -> str:
        """Run a command of ours that must do well."""
        return subprocess.run(
            command(*words),
            env=self.env,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=True,
        ).stdout

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def configure(self, text: str) -> None:
        self.home.servers.write_text(text)

    def spoil(self, file: Path, text: str) -> None:
        """Replace a file, and leave what a person would write in an editor beside it."""
        shutil.copy(file, f"{file}.good")
        file.write_text(text)


def a_line(*words: str) -> str:
    """Return `omni-mcp …` as a shell takes it."""
    return shlex.join(command(*words))


def healthy(root: Path) -> Patient:
    """Make a home in which nothing is wrong, by the product's own commands where it has them."""
    patient = Patient(root)
    for folder in (patient.home.root, patient.user, patient.bin):
        folder.mkdir(mode=0o700, parents=True)
    for name, text in {"claude": CLAUDE, "claude.good": CLAUDE, "npm": NPM, "editor": EDITOR}.items():
        patient.program(name, text)
    patient.configure(SERVERS)
    patient.home.dotenv.write_text("A_KEY=sk-a\nGITHUB_LITELLM_KEY=sk-b\n")
    patient.home.dotenv.chmod(0o600)
    patient.omni("list")
    patient.omni("install", "cursor", "--yes")
    return patient


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return healthy(tmp_path_factory.mktemp("healthy") / "all").root


@pytest.fixture
def patient(template: Path, tmp_path: Path) -> Iterator[Patient]:
    shutil.copytree(template, tmp_path / "all", symlinks=True)
    patient = Patient(tmp_path / "all")
    yield patient
    if (pid := background.stop(patient.home)) is not None:
        until_then(lambda: is_gone(pid))


def is_gone(pid: int) -> bool:
    """Whether a process has ended: one that gave back its lock may have a while to go on a busy machine."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def report(printed: str) -> Mapping[str, Any]:
    return json.loads(printed)


def bad(found: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [finding for finding in found["findings"] if finding["severity"] in ("warning", "error")]


# the faults


def a_misspelt_key(patient: Patient) -> None:
    patient.configure(SERVERS.replace("handles: [coding]", "handels: [coding]"))


def a_misspelt_executor(patient: Patient) -> None:
    patient.configure(SERVERS + "routing: {default: asistant}\n")


def a_settings_file_that_is_not_there(patient: Patient) -> None:
    patient.more["OMNI_CONFIG"] = str(patient.root / "none.yaml")


def no_yaml(patient: Patient) -> None:
    patient.spoil(patient.home.servers, SERVERS.replace("models:", "models: ]"))


def a_variable_without_value(patient: Patient) -> None:
    patient.home.dotenv.write_text("GITHUB_LITELLM_KEY=sk-b")  # without a line end, as an editor may leave it
    patient.answer = "sk-a\n"


def dotenv_for_all(patient: Patient) -> None:
    patient.home.dotenv.chmod(0o644)


def dotenv_in_another_encoding(patient: Patient) -> None:
    shutil.copy(patient.home.dotenv, f"{patient.home.dotenv}.good")
    patient.home.dotenv.write_bytes("A_KEY=密\n".encode("gb18030"))
    patient.configure(BENCH)


def no_claude(patient: Patient) -> None:
    (patient.bin / "claude").unlink()


def an_old_claude(patient: Patient) -> None:
    patient.program("claude", "#!/bin/sh\necho '1.0.0 (Claude Code)'\n")


def a_broken_claude(patient: Patient) -> None:
    patient.program("claude", "#!/bin/sh\necho no >&2; exit 1\n")


def nobody_logged_in(patient: Patient) -> None:
    patient.configure(OWN_LOGIN)
    (patient.user / ".claude.json").write_text("{}")


def a_silent_server(patient: Patient) -> None:
    row = f"  far: {{url: 'http://127.0.0.1:{free_port()}/mcp', tool: t, handles: [t]}}\nmodels:"
    patient.spoil(patient.home.servers, SERVERS.replace("models:", row))


def a_model_that_nobody_has(patient: Patient) -> None:
    patient.configure(SERVERS.replace("coding: strong", "coding: strnog"))


def an_executor_with_a_model_that_nobody_has(patient: Patient) -> None:
    patient.configure(SERVERS.replace("{preset: assistant,", "{preset: assistant, model: qick,"))


def shuffled_layers(patient: Patient) -> None:
    patient.configure(
        SERVERS.replace("model_name: quick", "model_name: strong").replace("default: quick", "default: strong")
    )


def a_home_that_is_a_file(patient: Patient) -> None:
    shutil.rmtree(patient.home.root)
    patient.home.root.write_text("")


def a_locked_home(patient: Patient) -> None:
    patient.home.root.chmod(0o500)


def somebody_elses_ledger(patient: Patient) -> None:
    os.chown(patient.home.ledger, 12345, 12345)


def a_ledger_for_all(patient: Patient) -> None:
    patient.home.ledger.chmod(0o644)


def a_locked_ledger(patient: Patient) -> None:
    patient.home.ledger.chmod(0o400)


def a_damaged_ledger(patient: Patient) -> None:
    with patient.home.ledger.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096))


def no_ledger_at_all(patient: Patient) -> None:
    patient.home.ledger.write_text("not a ledger, but long enough to be taken for one " * 100)


def a_large_log(patient: Patient) -> None:
    """Write much and die before it is taken into the file."""
    much = f"""import os, sqlite3
db = sqlite3.connect({str(patient.home.ledger)!r}, isolation_level=None)
much = "begin; create table much (x); insert into much values (zeroblob(80000000)); drop table much; commit"
db.executescript("pragma wal_autocheckpoint = 0;" + much)
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", much], check=True, timeout=LIMIT)


def an_older_engine(patient: Patient) -> None:
    patient.omni("engine", "restart")
    with closing(sqlite3.connect(patient.home.ledger, isolation_level=None)) as db:
        until_then(lambda: db.execute("select 1 from engines where gone_at is null").fetchone())
        db.execute("update engines set version = '0.0.9'")


def a_killed_engine(patient: Patient) -> None:
    patient.omni("submit", "x", "--type", "nobody")
    os.kill(until_then(lambda: holder(patient.home.engine_lock)) or 0, signal.SIGKILL)
    until_then(lambda: holder(patient.home.engine_lock) is None)


def an_engine_that_cannot_start(patient: Patient) -> None:
    with closing(sqlite3.connect(patient.home.ledger)) as db:
        [version] = db.execute("pragma user_version").fetchone()
        db.execute("pragma user_version = 99")
        patient.sh(f"{console_script()} engine restart")
        db.execute(f"pragma user_version = {version}")


def a_paused_engine(patient: Patient) -> None:
    patient.omni("engine", "restart")
    os.kill(holder(patient.home.engine_lock) or 0, signal.SIGSTOP)


def an_engine_of_another_file(patient: Patient) -> None:
    other = patient.root / "other.yaml"
    other.write_text(BENCH)
    patient.omni("engine", "restart", "--config", str(other))
    with closing(sqlite3.connect(patient.home.ledger)) as db:
        until_then(lambda: db.execute("select 1 from engines where gone_at is null").fetchone())


def a_start_that_hangs(patient: Patient) -> None:
    hold = (
        "import os, sys, time; from pathlib import Path; from omni_mcp.ledger.owners import try_hold;"
        "held = try_hold(Path(sys.argv[1])); os.utime(sys.argv[1], (1, 1)); print('held', flush=True); time.sleep(600)"
    )
    argv = [sys.executable, "-c", hold, str(patient.home.engine_start)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    Thread(target=process.communicate, daemon=True).start()  # takes its end, so that no zombie is left


def a_client_of_a_place_that_is_gone(patient: Patient) -> None:
    patient.client.write_text(patient.client.read_text().replace(console_script(), "/gone/bin/omni-mcp"))


def a_client_of_another_installation(patient: Patient) -> None:
    patient.program("omni-mcp", "#!/bin/sh\n")
    patient.client.write_text(patient.client.read_text().replace(console_script(), str(patient.bin / "omni-mcp")))


def a_client_that_cannot_be_read(patient: Patient) -> None:
    patient.spoil(patient.client, "{]")


def modules_in_the_way(patient: Patient) -> None:
    patient.more["PYTHONPATH"] = str(patient.root)


def a_proxy_for_all(patient: Patient) -> None:
    patient.more["HTTP_PROXY"] = "http://127.0.0.1:9"


def a_locale_without_chinese(patient: Patient) -> None:
    patient.more |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def a_relative_home(patient: Patient) -> None:
    patient.more["OMNI_HOME"] = "home"


ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")

FAULTS: Sequence[Any] = [
    ("settings-word", a_misspelt_key),
    ("settings-word", a_misspelt_executor),
    ("settings-word", a_model_that_nobody_has),
    ("settings-missing", a_settings_file_that_is_not_there),
    ("settings-flaw", no_yaml),
    ("variable-unset", a_variable_without_value),
    ("dotenv-open", dotenv_for_all),
    ("dotenv-unreadable", dotenv_in_another_encoding),
    ("program-missing", no_claude),
    ("program-old", an_old_claude),
    ("program-broken", a_broken_claude),
    ("logged-out", nobody_logged_in),
    ("executor-silent", a_silent_server),
    ("model-unknown", an_executor_with_a_model_that_nobody_has),
    ("layers-shuffled", shuffled_layers),
    ("home-is-a-file", a_home_that_is_a_file),
    ("home-read-only", a_locked_home),
    pytest.param("ledger-owner", somebody_elses_ledger, marks=ROOT),
    ("ledger-open", a_ledger_for_all),
    ("ledger-read-only", a_locked_ledger),
    ("ledger-damaged", a_damaged_ledger),
    ("ledger-damaged", no_ledger_at_all),
    ("wal-large", a_large_log),
    ("engine-old", an_older_engine),
    ("engine-gone", a_killed_engine),
    ("engine-crashed", an_engine_that_cannot_start),
    ("engine-paused", a_paused_engine),
    ("engine-settings", an_engine_of_another_file),
    ("engine-start-stuck", a_start_that_hangs),
    ("client-stale", a_client_of_a_place_that_is_gone),
    ("client-other", a_client_of_another_installation),
    ("client-unreadable", a_client_that_cannot_be_read),
    ("pythonpath", modules_in_the_way),
    ("proxy-loopback", a_proxy_for_all),
    ("locale", a_locale_without_chinese),
    ("home-relative", a_relative_home),
]


@pytest.mark.parametrize(("code", "inject"), FAULTS)
def test_each_fault_is_named_alone_and_its_fix_mends_it(
    patient: Patient, code: str, inject: Callable[[Patient], None]
) -> None:
    inject(patient)
    assert_mended(patient, code)


def assert_mended(patient: Patient, code: str) -> None:
    """Look, run the fix as it stands, look again from the same shell."""
    look = a_line("doctor", "--json")
    first = patient.sh(look)
    found = report(first.stdout)
    assert {finding["code"] for finding in bad(found)} == {code}, bad(found)
    assert first.returncode == (1 if found["worst"] == "error" else 0)
    fix = bad(found)[0]["fix"]
    second = patient.sh(f"{{ {fix}\n}} >&2 || exit 99\n{look}")
    assert second.returncode == 0, (fix, second.stdout, second.stderr)
    assert bad(report(second.stdout)) == []


class Proxy(ThreadingHTTPServer):
    """A LiteLLM proxy as far as the doctor asks it: one key, one model, and layers as its configuration says."""

    def __init__(self, config: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.config = config

    @contextmanager
    def serving(self) -> Generator[int]:
        thread = Thread(target=self.serve_forever)
        thread.start()
        try:
            yield self.server_port
        finally:
            self.shutdown()
            thread.join()
            self.server_close()

    def answer(self, path: str, authorization: str | None) -> tuple[int, str]:
        if path == "/health/liveliness":
            return 200, '"I\'m alive!"'
        if authorization != "Bearer sk-good":
            return 400, '{"error": {"message": "No connected db."}}'
        models = '{"data": [{"id": "auto-chat"}]}'
        rows = yaml.safe_load(self.config.read_text(encoding="utf-8"))["model_list"]
        return 200, json.dumps({"data": rows}) if path == "/model/info" else models


class Answering(BaseHTTPRequestHandler):
    """Passes what it is asked on to the proxy."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Proxy)
        status, body = self.server.answer(self.path, self.headers.get("Authorization"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the word of http.server
        del format, args


def a_proxy_that_is_down(patient: Patient) -> None:
    good = patient.home.servers.read_text()
    patient.home.servers.with_name("servers.yaml.good").write_text(good)
    patient.configure(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{free_port()}", good))


def a_wrong_key(patient: Patient) -> None:
    patient.home.dotenv.write_text("PROXY_KEY=sk-old\n")
    patient.answer = "sk-good\n"


def a_model_that_the_proxy_lacks(patient: Patient) -> None:
    patient.configure(patient.home.servers.read_text().replace("auto-chat", "auto-chta"))


def layers_of_the_proxy_by_chance(patient: Patient) -> None:
    patient.more["LITELLM_CONFIG"] = str(patient.root / "proxy.yaml")
    (patient.root / "proxy.yaml").write_text(layers_of_a_proxy(2), encoding="utf-8")


def layers_of_a_proxy(many: int) -> str:
    """Return the configuration of a proxy whose one model has so many layers."""
    return "model_list:\n" + "- model_name: auto-chat\n  litellm_params:\n    model: openai/x\n" * many


@pytest.mark.parametrize(
    ("code", "inject"),
    [
        ("gateway-down", a_proxy_that_is_down),
        ("gateway-key", a_wrong_key),
        ("model-unknown", a_model_that_the_proxy_lacks),
        ("layers-shuffled", layers_of_the_proxy_by_chance),
    ],
)
def test_each_fault_of_a_gateway_is_named_alone_and_its_fix_mends_it(
    patient: Patient, code: str, inject: Callable[[Patient], None]
) -> None:
    proxy = Proxy(patient.root / "proxy.yaml")
    proxy.config.write_text(layers_of_a_proxy(1), encoding="utf-8")
    with proxy.serving() as port:
        row = f"{{base_url: 'http://127.0.0.1:{port}', api_key: '${{PROXY_KEY}}', for: {{default: auto-chat}}}}"
        patient.configure(f"{BENCH}models:\n  gateway: {row}\n")
        patient.home.dotenv.write_text("PROXY_KEY=sk-good\n")
        inject(patient)
        assert_mended(patient, code)


def test_fix_runs_what_is_safe_and_only_when_it_is_agreed_to(patient: Patient) -> None:
    a_misspelt_key(patient)
    dotenv_for_all(patient)
    no_claude(patient)
    look = a_line("doctor", "--fix")
    refused = patient.sh(look)
    assert refused.returncode == 1
    assert "nobody is here to agree" in refused.stderr
    assert "chmod 600" in refused.stderr
    assert patient.home.dotenv.stat().st_mode & 0o077
    done = report(patient.sh(f"{look} --yes --json").stdout)
    assert {(fix["code"], fix["done"]) for fix in done["mended"]} == {("settings-word", True), ("dotenv-open", True)}
    assert [finding["code"] for finding in bad(done)] == ["program-missing"]  # npm is not run unasked


def test_a_deep_look_opens_a_session_to_each_executor_which_sees_what_was_told(patient: Patient) -> None:
    seen = patient.root / "seen"
    row = f'{{command: sh, args: [-c, "env > {seen}"], env: {{ITS_OWN: x}}, tool: t, handles: [t]}}'
    patient.configure(f"executors: {{bench: {row}}}\n")
    patient.more["NOT_ITS_OWN"] = "x"
    found = report(patient.sh(a_line("doctor", "--deep", "--json")).stdout)
    [failed] = bad(found)
    assert (failed["code"], failed["about"]) == ("session-failed", "bench")  # `env` is no MCP server
    [told] = [finding["text"] for finding in found["findings"] if finding["code"] == "sees"]
    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == set(told.removeprefix("its process sees ").split(", "))
    assert "ITS_OWN" in names


@pytest.mark.claude
@pytest.mark.skipif(not REAL_CLAUDE.exists(), reason="no Claude Code: make test installs it")
def test_the_real_claude_code_says_whether_it_is_logged_in(patient: Patient) -> None:
    (patient.bin / "claude").unlink()
    (patient.bin / "claude").symlink_to(REAL_CLAUDE.resolve())
    nobody_logged_in(patient)
    found = {finding["code"]: finding for finding in report(patient.sh(a_line("doctor", "--json")).stdout)["findings"]}
    assert found["logged-out"]["about"] == "claude_code"
    assert "is Claude Code 2." in found["executor"]["text"]
    patient.configure(OWN_LOGIN.replace("own}", "own, env: {ANTHROPIC_API_KEY: sk-x}}"))
    codes = {finding["code"] for finding in report(patient.omni("doctor", "--json"))["findings"]}
    assert "login" in codes


def test_people_are_shown_the_worst_last_with_its_command(patient: Patient) -> None:
    dotenv_for_all(patient)
    told = patient.omni("doctor").splitlines()
    assert told[-4].startswith("warning  dotenv-open")
    assert told[-3] == f"    fix  chmod 600 {patient.home.dotenv}"
    assert "1 warning, 0 error" in told[-2]
    assert told[-1] == "omni-mcp doctor --fix runs the fixes that are safe"


def test_a_healthy_home_gives_no_finding_above_a_note(patient: Patient) -> None:
    found = report(patient.omni("doctor", "--json"))
    assert bad(found) == []
    codes = {finding["code"] for finding in found["findings"]}
    assert {"settings", "dotenv", "executor", "login", "sees", "models", "backup-key", "disk", "ledger"} <= codes
    assert {"sqlite", "engine", "client", "python", "packages", "encoding"} <= codes
    assert "check-broken" not in codes


def test_looking_changes_nothing(patient: Patient) -> None:
    def everything() -> dict[Path, tuple[int, int]]:
        files = (path for path in patient.root.rglob("*") if path.is_file())
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in files}

    before = everything()
    patient.omni("doctor")
    assert everything() == before


@pytest.mark.parametrize("first", [("submit", "echo: hello", "--type", "echo"), ("init",)])
def test_a_home_that_we_make_is_its_owners_alone(patient: Patient, first: Sequence[str]) -> None:
    patient.more["OMNI_HOME"] = str(patient.root / "new" / "home")
    try:
        patient.omni(*first)
        made = [path for path in (patient.root / "new").rglob("*") if path.is_dir() and path.name in ("home", "logs")]
        assert {path.stat().st_mode & 0o777 for path in made} == {0o700}, made
        assert "home-open" not in patient.sh(a_line("doctor", "--json")).stdout
    finally:
        patient.omni("engine", "stop")


def test_no_value_of_a_secret_is_told(patient: Patient) -> None:
    patient.home.dotenv.write_text("A_KEY=sk-secret-a\nGITHUB_LITELLM_KEY=sk-secret-b\n")
    told = patient.sh(f"{a_line('doctor')}; {a_line('doctor', '--json')}")
    assert "A_KEY" in told.stdout
    assert "sk-secret" not in told.stdout + told.stderr


def test_no_key_in_a_url_is_told(patient: Patient) -> None:
    at = f"127.0.0.1:{free_port()}"
    secret = f"http://user:sk-secret-a@{at}/mcp?key=sk-secret-b"
    far = f"executors: {{far: {{url: '{secret}', tool: t, handles: [t]}}}}\n"
    patient.configure(f"{far}models: {{gateway: {{base_url: 'http://user:sk-secret-a@{at}?key=sk-secret-b'}}}}\n")
    patient.client.write_text(json.dumps({"mcpServers": {"omni": {"url": secret}}}))
    told = patient.sh(f"{a_line('doctor', '--json')}; {a_line('doctor', '--deep')}")
    assert f"reaches us at http://{at}/mcp" in told.stdout
    assert f"the gateway at http://{at} does not serve" in told.stdout
    assert "sk-secret" not in told.stdout + told.stderr
