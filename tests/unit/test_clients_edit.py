"""The edits of a client's file: what was there stays, what we add is taken out again without a trace."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_mcp.clients import json_edit, toml_edit
from omni_mcp.clients.catalog import CLIENTS, ClientKind
from omni_mcp.clients.change import Change, restored, same
from omni_mcp.clients.jsonc import parse
from omni_mcp.errors import SettingsError

ENTRY: dict[str, Any] = {"command": "/opt/omni-mcp", "args": []}
KEYS = ("mcpServers", "omni")
JSON = CLIENTS["cursor"]
CODEX = CLIENTS["codex"]

FILES = {
    "empty": "",
    "blank": " \n\n",
    "object": "{}",
    "object and newline": "{}\n",
    "open object": "{\n}\n",
    "one line": '{"mcpServers": {"a": {"command": "x"}}}',
    "one line, spaces": '{ "mcpServers": { "a": { "command": "x" } } }\n',
    "minified": '{"b":1,"mcpServers":{}}',
    "other servers": '{\n  "mcpServers": {\n    "a": {\n      "command": "x"\n    }\n  },\n  "z": [1, 2]\n}\n',
    "no newline": '{\n    "mcpServers": {\n        "a": {"command": "x"}\n    }\n}',
    "tabs": '{\n\t"mcpServers": {\n\t\t"a": {"command": "x"}\n\t}\n}\n',
    "CRLF": '{\r\n  "mcpServers": {\r\n    "a": {"command": "x"}\r\n  }\r\n}\r\n',
    "BOM": '\ufeff{\n  "mcpServers": {}\n}\n',
    "BOM only": "\ufeff",
    "comments": (
        '// mine\n{\n  /* all */ "mcpServers": { // of them\n    "a": {"command": "x"} // {last}\n  } // end\n}\n// bye'
    ),
    "comment at the end": '{\n  "mcpServers": {\n    "a": {}\n    // "b": {},\n  }\n}\n',
    "comment only": '{\n  "mcpServers": {\n    // none yet\n  }\n}\n',
    "trailing commas": '{\n  "mcpServers": {\n    "a": {"args": [1, 2,],},\n  },\n}\n',
    "trailing comma on one line": '{"mcpServers": {"a": {},},}',
    "comma at the front": '{ "a": 1\n, "mcpServers":\n  { "a": {}\n  , "b": {}\n  }\n}\n',
    "closing on the last line": '{\n  "mcpServers": {\n    "a": {"x": 1}}}',
    "JSON5": "{mcpServers: {a: {command: 'x', n: .5, h: 0xFF, i: +Infinity}}, $b: '\\x41\\'\"',}\n",
    "traps": '{"s": "}] // \\" /* {", "mcpServers": {"// a": {"k": ["{", "}"]}}, "omni": {"mcpServers": {}}}',
    "Chinese": '{\n  "说明": "写代码 😀",\n  "mcpServers": {"代码": {}}\n}\n',
    "twice": '{"mcpServers": {"a": {}}, "mcpServers": {"b": {}}}',
}


@pytest.mark.parametrize("before", FILES.values(), ids=FILES.keys())
@pytest.mark.parametrize("keys", [KEYS, ("servers", "omni"), ("mcp", "servers", "omni")], ids=".".join)
def test_what_comes_into_a_json_file_goes_out_byte_for_byte(before: str, keys: tuple[str, ...]) -> None:
    client = ClientKind(title="x", path=lambda place: place.user, keys=keys)
    after = json_edit.insert(before, keys, ENTRY)
    assert json_edit.find(after, keys) == ENTRY
    rest = iter(after)
    assert all(character in rest for character in before), "something of the file was lost"
    assert restored(client, after, before) == before


@pytest.mark.parametrize("before", FILES.values(), ids=FILES.keys())
def test_an_edit_by_hand_beside_ours_stays_when_ours_goes(before: str) -> None:
    after = json_edit.insert(json_edit.insert(before, KEYS, ENTRY), ("mcpServers", "later"), {"command": "y"})
    left = restored(JSON, after, before)
    assert left is not None
    assert json_edit.find(left, KEYS) is None
    assert json_edit.find(left, ("mcpServers", "later")) == {"command": "y"}
    assert parse(left).value == parse(json_edit.insert(before, ("mcpServers", "later"), {"command": "y"})).value


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("empty", "blank", "BOM only", "open object")])
def test_without_a_back_up_our_entry_goes_and_nothing_else(name: str) -> None:
    before = FILES[name]
    left = json_edit.remove(json_edit.insert(before, KEYS, ENTRY), KEYS)
    if json_edit.find(before, KEYS[:1]) and name != "closing on the last line":
        assert left == before
    assert {**parse(before).value, "mcpServers": {}} == {**parse(left).value, "mcpServers": {}}


@pytest.mark.parametrize(
    "name",
    [
        "object",
        "one line",
        "minified",
        "other servers",
        "no newline",
        "tabs",
        "CRLF",
        "Chinese",
        "twice",
        "closing on the last line",
    ],
)
def test_strict_json_stays_strict(name: str) -> None:
    after = json_edit.insert(FILES[name], KEYS, ENTRY)
    assert json.loads(after)["mcpServers"]["omni"] == ENTRY


def test_a_new_entry_is_written_as_its_neighbours_are() -> None:
    tabs = json_edit.insert(FILES["tabs"], KEYS, ENTRY)
    assert tabs == (
        '{\n\t"mcpServers": {\n\t\t"a": {"command": "x"},\n'
        '\t\t"omni": {\n\t\t\t"command": "/opt/omni-mcp",\n\t\t\t"args": []\n\t\t}\n\t}\n}\n'
    )
    crlf = json_edit.insert(FILES["CRLF"], KEYS, ENTRY)
    assert crlf.count("\n") == crlf.count("\r\n") == 9
    one_line = json_edit.insert(FILES["one line"], KEYS, ENTRY)
    assert one_line == '{"mcpServers": {"a": {"command": "x"}, "omni": {"command": "/opt/omni-mcp", "args": []}}}'


def test_a_comment_behind_the_last_server_stays_with_it() -> None:
    after = json_edit.insert(FILES["comments"], KEYS, ENTRY)
    assert '"a": {"command": "x"}, // {last}\n    "omni": {' in after


def test_a_line_comment_never_swallows_what_followed_our_entry() -> None:
    left = json_edit.remove('{ // note\n"omni": {}, "b": 1}', ("omni",))
    assert parse(left).value == {"b": 1}


def test_another_entry_of_that_name_is_replaced_in_its_place() -> None:
    before = '{"mcpServers": {"omni": {"url": "http://x"}, "b": {}}} // c'
    after = json_edit.insert(before, KEYS, {"command": "c"})
    assert after == '{"mcpServers": {"omni": {"command": "c"}, "b": {}}} // c'


@pytest.mark.parametrize("before", ['{\n  "mcpServers": {}\n}\n', '{"mcpServers":{}}', '{\r\n  "mcpServers": {}\r\n}'])
def test_an_object_that_we_opened_is_closed_again(before: str) -> None:
    assert json_edit.remove(json_edit.insert(before, KEYS, ENTRY), KEYS) == before


def test_the_escapes_of_json5_are_read() -> None:
    assert parse(r"""{'a': '\x41\'"\v\u0042', b: "\x41'\
c"}""").value == {"a": "A'\"\vB", "b": "A'c"}


def test_objects_that_we_made_and_nobody_uses_go_with_our_entry() -> None:
    before = '{\n  "theme": "dark"\n}\n'
    changed = json_edit.insert(before, KEYS, ENTRY).replace("dark", "light")
    assert restored(JSON, changed, before) == before.replace("dark", "light")


def test_a_file_that_only_we_made_goes_as_a_whole() -> None:
    assert restored(JSON, json_edit.insert("", KEYS, ENTRY), None) is None
    assert restored(CODEX, toml_edit.insert("", CODEX.keys, ENTRY), None) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("not json", "line 1, column 1"),
        ("<xml/>", "line 1, column 5"),
        ('{\n  "a": 1\n  "b": 2}', "line 3, column 3: expected '}'"),
        ('{"a": }', "expected a value"),
        ('{"a": yes}', "a word without quotes"),
        ('{"a" 1}', "expected ':'"),
        ("{a-b: 1}", "a key in quotes"),
        ('{"a": "b', "without its end"),
        ("{} {}", "the end of the file"),
        ('{"a": [1', "expected ']'"),
        ('{"a": /* ', "without its end"),
        ("[1]", "not an object"),
        ('{"mcpServers": []}', "mcpServers is there, but is not an object"),
        ('{"mcpServers": null}', "mcpServers is there, but is not an object"),
        ('{"mcpServers": ' + "[" * 5000 + "]" * 5000 + "}", "nested too deeply"),
        ("{'a': 1,,}", "expected a key"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(text: str, why: str) -> None:
    with pytest.raises(SettingsError) as refused:
        json_edit.insert(text, KEYS, ENTRY)
    assert why in refused.value.message


def test_a_refusal_repeats_no_value() -> None:
    with pytest.raises(SettingsError) as refused:
        parse('{"key": sk-secret}')
    assert "sk-secret" not in str(refused.value)


def test_an_error_in_a_file_with_windows_lines_has_the_right_line() -> None:
    with pytest.raises(SettingsError, match="line 3, column 2"):
        parse('{\r\n"a": 1,\r\n ]')


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=4), values, max_size=4)


@given(tree=objects, servers=objects | st.none(), indent=st.sampled_from([None, 0, 1, 4, "\t"]), ascii_=st.booleans())
def test_any_json_is_read_as_the_standard_library_reads_it_and_comes_back(
    tree: dict[str, Any], servers: dict[str, Any] | None, indent: int | str | None, ascii_: bool
) -> None:
    tree = {key: value for key, value in tree.items() if key != "mcpServers"}
    if servers is not None:
        tree["mcpServers"] = {key: value for key, value in servers.items() if key != "omni"}
    before = json.dumps(tree, indent=indent, ensure_ascii=ascii_)
    assert parse(before).value == json.loads(before)
    after = json_edit.insert(before, KEYS, ENTRY)
    expected: dict[str, Any] = {**tree, "mcpServers": {**tree.get("mcpServers", {}), "omni": ENTRY}}
    assert json.loads(after) == expected
    assert restored(JSON, after, before) == before
    assert json.loads(json_edit.remove(after, KEYS)) == {**expected, "mcpServers": tree.get("mcpServers", {})}


TOMLS = {
    "empty": "",
    "BOM": '\ufeffmodel = "x"\n',
    "no newline": 'model = "x"',
    "CRLF": 'model = "x"\r\n\r\n[mcp_servers.a]\r\ncommand = "y" # mine\r\n',
    "other servers": '[mcp_servers.a]\ncommand = "x"\n\n[mcp_servers.a.env]\nK = "v"\n\n[tui]\na  =  "b"  # odd\n',
    "comments": "# mine\n\n[mcp_servers]\n# none yet\n",
    "dotted": 'mcp_servers.a.command = "q"\nb = 1\n',
    "array": '[[projects]]\npath = "a"\n[[projects]]\npath = """\n[mcp_servers.omni]\n"""\n',
}


@pytest.mark.parametrize("before", TOMLS.values(), ids=TOMLS.keys())
def test_what_comes_into_a_toml_file_goes_out_byte_for_byte(before: str) -> None:
    entry: dict[str, Any] = {**ENTRY, "env": {"OMNI_HOME": "C:\\omni"}}
    after = toml_edit.insert(before, CODEX.keys, entry)
    assert after.startswith(before)
    plain = tomllib.loads(after.removeprefix("\ufeff"))
    assert plain["mcp_servers"].pop("omni") == entry
    assert plain.get("b") == tomllib.loads(before.removeprefix("\ufeff")).get("b")
    assert after.count("\n") == after.count("\r\n") or "\r\n" not in before
    assert restored(CODEX, after, before) == before


@pytest.mark.parametrize("before", TOMLS.values(), ids=TOMLS.keys())
def test_a_toml_file_changed_since_loses_our_table_only(before: str) -> None:
    after = toml_edit.insert(before, CODEX.keys, ENTRY) + "\n[later]\nx = 1 # why\n"
    left = restored(CODEX, after, before)
    assert left is not None
    assert left.startswith(before)
    assert left.endswith("[later]\nx = 1 # why\n")
    assert toml_edit.find(left, CODEX.keys) is None


@pytest.mark.parametrize("text", ["mcp_servers = {}\n", 'mcp_servers = {a = {command = "x"}}\n', "mcp_servers = 3\n"])
def test_a_toml_file_that_has_no_room_for_a_table_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="cannot be edited there"):
        toml_edit.insert(text, CODEX.keys, ENTRY)


@pytest.mark.parametrize("made", ['[mcp_servers.omni]\ncommand = "wrong"\n', "[mcp_servers.omni.env]\n[tui]\na = 1\n"])
def test_an_edit_that_would_say_something_else_is_refused(monkeypatch: pytest.MonkeyPatch, made: str) -> None:
    def dumps(_: object) -> str:
        return made

    monkeypatch.setattr(toml_edit.tomlkit, "dumps", dumps)
    with pytest.raises(SettingsError, match="cannot be edited there"):
        toml_edit.insert("a = 1\n", CODEX.keys, ENTRY if "wrong" in made else {"env": {}})


def test_what_is_no_toml_is_refused_with_its_place() -> None:
    with pytest.raises(SettingsError, match="line 2"):
        toml_edit.insert("a = 1\nb = \n", CODEX.keys, ENTRY)


def test_another_table_of_that_name_is_replaced() -> None:
    before = '[mcp_servers.omni]\nurl = "http://x"\n\n[tui]\na = 1\n'
    after = tomllib.loads(toml_edit.insert(before, CODEX.keys, ENTRY))
    assert after == {"mcp_servers": {"omni": ENTRY}, "tui": {"a": 1}}


def test_entries_that_start_the_same_are_the_same() -> None:
    assert same({"command": "c", "args": [], "env": {}, "type": "stdio", "timeout": 9}, {"command": "c"})
    assert not same({"command": "c", "env": {"OMNI_HOME": "/a"}}, {"command": "c"})
    assert not same({"command": "c", "args": ["x"]}, {"command": "c"})
    assert not same(None, {"command": "c"})
    assert not same("c", {"command": "c"})


def test_a_diff_shows_little_of_what_is_near() -> None:
    before = '{\n  "token": "secret",\n  "a": 1,\n  "b": 2\n}\n'
    change = Change(path=Path("/x/mcp.json"), before=before, after=json_edit.insert(before, KEYS, ENTRY))
    assert "secret" not in change.diff()
    assert '+    "omni": {' in change.diff()
