"""A gateway like OpenClaw's, as far as we use it: both generations of its protocol, over the stub cloud as its model.

It does what was measured with OpenClaw 2026.9.6 (protocol 4) and 2026.2.3 (3): what it keeps, it keeps in a file, so
that it can be killed and started again, and then goes on by itself with what it was interrupted in. What goes wrong is
read from `faults.json` in its folder, each time; see `Faults`.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import random
import signal
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

EXITED = "Task execution process exited before restart."
SCOPES = ("operator.read", "operator.write")
ADDED = ("tasks.list", "tasks.cancel")
"""Methods that protocol 3 does not have."""
PARAMS: Mapping[str, frozenset[str]] = {
    "agent": frozenset(
        {"message", "idempotencyKey", "agentId", "sessionKey", "timeout", "deliver", "cleanupBundleMcpOnRunEnd"}
    ),
    "agent.wait": frozenset({"runId", "timeoutMs"}),
    "chat.history": frozenset({"sessionKey", "limit"}),
    "chat.abort": frozenset({"sessionKey", "runId"}),
    "sessions.patch": frozenset({"key", "model"}),
    "tasks.list": frozenset({"sessionKey", "status"}),
    "tasks.cancel": frozenset({"taskId", "reason"}),
    "send": frozenset({"channel", "to", "message", "idempotencyKey"}),
}
"""What each method takes; anything else is refused, as there."""
PRICES: Mapping[str, tuple[float, float]] = {"stub-1": (1e-6, 2e-6), "stub-2": (1e-5, 2e-5)}
"""USD for a token sent, and for one that came."""
REASONS: Mapping[int, str] = {401: "auth", 402: "billing", 404: "model_not_found", 429: "rate_limit"}
TRIES = 8


class Refused(Exception):
    """A method says no."""

    def __init__(self, error: str, message: str, *, retryable: bool = False, **details: Any) -> None:
        super().__init__(message)
        self.error = {"code": error, "message": message, "details": details, "retryable": retryable}


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What goes wrong. The gateway reads it from a file each time, so that a test can change it."""

    starting: float = 0
    """Seconds after its start in which `connect` is refused."""
    draining: bool = False
    """Answers the upgrade with 503."""
    scopes: Sequence[str] | None = None
    """What a client without a known device gets; None: what it asked for."""
    remote: bool = False
    """Takes its clients for those of another machine: they need a device that was approved."""
    approved: Sequence[str] = ()
    """Devices, by id; `*` all."""
    cold: float = 0
    """Seconds before a run really begins."""
    pause: float = 0.02
    """Seconds before the first retry of a model call; doubles."""
    locked: bool = False
    """Refuses its model's key without asking."""
    silent: bool = False
    """Sends no events."""
    shuffled: bool = False
    """Sends events out of order."""
    huge: int = 0
    """Bytes of an event that is sent during each run."""
    hang_up: int = 0
    """Ends each connection by this close code once a run was taken; 1006: without a word."""
    resumes_after: float = 0.3
    """Seconds after its start until it goes on with what it was interrupted in."""


@dataclass(kw_only=True)
class Run:
    """A run while it lasts."""

    id: str
    session: str
    work: "asyncio.Task[None] | None" = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    end: dict[str, Any] = field(default_factory=dict[str, Any])
    seq: int = 0


@dataclass(kw_only=True)
class Client:
    """Who is connected."""

    socket: ServerConnection
    scopes: Sequence[str]


class Gateway:
    """The gateway; its state is a dictionary that is written whole at each change."""

    def __init__(self, *, folder: Path, token: str, protocol: int, cloud: str) -> None:
        self.token = token
        self.protocol = protocol
        self.draining = False
        self._folder = folder
        self._cloud = cloud
        self._boot = str(uuid.uuid4())
        self._began = time.monotonic()
        self._clients: list[Client] = []
        self._runs: dict[str, Run] = {}
        self._sent: set[str] = set()
        self._http = httpx.AsyncClient(trust_env=False, timeout=60)
        file = folder / "state.json"
        kept = file.exists() and protocol > 3
        self._state: dict[str, Any] = json.loads(file.read_text()) if kept else {"rows": [], "sessions": {}}
        self._work: set[asyncio.Task[Any]] = set()

    @property
    def faults(self) -> Faults:
        """What goes wrong now."""
        file = self._folder / "faults.json"
        return Faults(**json.loads(file.read_text())) if file.exists() else Faults()

    # What it keeps

    def _save(self) -> None:
        draft = self._folder / "state.json.new"
        draft.write_text(json.dumps(self._state))
        draft.replace(self._folder / "state.json")

    def _session(self, key: str) -> dict[str, Any]:
        fresh: dict[str, Any] = {"id": str(uuid.uuid4()), "messages": [], "pending": []}
        fresh |= {"status": None, "aborted": False, "model": None}
        return self._state["sessions"].setdefault(key, fresh)

    def _row(self, run: Run, status: str, error: str | None = None) -> None:
        rows: list[dict[str, Any]] = self._state["rows"]
        row = next((row for row in rows if row["runId"] == run.id), None)
        if row is None:
            now = time.time() * 1000
            task_id = str(uuid.uuid4())
            row = dict[str, Any]()
            row |= {"id": task_id, "taskId": task_id, "runId": run.id, "sessionKey": run.session, "createdAt": now}
            rows.append(row)
        row.update({"status": status, "error": error})
        self._save()

    def recover(self) -> None:
        """Take up what a killed gateway left: its runs are over, and most of them are gone on with."""
        for row in self._state["rows"]:
            if row["status"] == "running":
                row.update(status="cancelled", error=EXITED)
                self._interrupt(row["sessionKey"], row["runId"])
        self._save()

    def _interrupt(self, key: str, run_id: str) -> None:
        session = self._session(key)
        for waiting in session["pending"]:
            waiting["state"] = "interrupted"
        if not session["pending"]:
            session.update(aborted=True, status="running")
            self._start(self._go_on(key, run_id))

    async def _go_on(self, key: str, run_id: str) -> None:
        await asyncio.sleep(self.faults.resumes_after)
        session = self._session(key)
        said = f"[System] Your previous turn ({run_id}) was interrupted. Go on with it."
        session["messages"].append({"role": "user", "content": said})
        session["aborted"] = False
        run = Run(id=str(uuid.uuid4()), session=key)
        self._runs[run.id] = run
        self._row(run, "running")
        run.work = asyncio.create_task(self._carry_out(run, timeout=600))

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    # Who comes in

    def door(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse an upgrade while it goes down."""
        if not (self.draining or self.faults.draining):
            return None
        status = HTTPStatus.SERVICE_UNAVAILABLE
        return Response(status.value, status.phrase, Headers({"content-length": "0"}))

    async def attend(self, socket: ServerConnection) -> None:
        """Serve one connection to its end."""
        nonce = uuid.uuid4().hex
        challenge = {"nonce": nonce, "ts": int(time.time() * 1000)}
        await socket.send(json.dumps({"type": "event", "event": "connect.challenge", "payload": challenge}))
        client: Client | None = None
        try:
            async for text in socket:
                asked = json.loads(text)
                if client is None:
                    client = await self._greeted(socket, asked, nonce)
                else:
                    self._start(self._answer(client, asked))
        except ConnectionClosed:
            pass
        finally:
            if client is not None:
                self._clients.remove(client)

    async def _greeted(self, socket: ServerConnection, asked: dict[str, Any], nonce: str) -> Client | None:
        try:
            hello = self._hello(asked.get("params", {}), nonce)
        except Refused as error:
            await socket.send(json.dumps({"type": "res", "id": asked["id"], "ok": False, "error": error.error}))
            await socket.close(1008)
            return None
        client = Client(socket=socket, scopes=hello["auth"]["scopes"])
        self._clients.append(client)
        await socket.send(json.dumps({"type": "res", "id": asked["id"], "ok": True, "payload": hello}))
        return client

    def _hello(self, asked: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        faults = self.faults
        up = time.monotonic() - self._began
        if up < faults.starting:
            raise Refused("UNAVAILABLE", "gateway is starting", reason="startup-sidecars", retryable=True)
        if not asked["minProtocol"] <= self.protocol <= asked["maxProtocol"]:
            raise Refused("INVALID_REQUEST", "protocol", code="PROTOCOL_MISMATCH", expectedProtocol=self.protocol)
        if asked.get("auth", {}).get("token") != self.token:
            raise Refused("INVALID_REQUEST", "unauthorized", code="AUTH_TOKEN_MISMATCH")
        scopes = self._scopes(asked, nonce, faults)
        server = {"version": "2026.9.6" if self.protocol > 3 else "2026.2.3", "connId": uuid.uuid4().hex}
        hello: dict[str, Any] = {"type": "hello-ok", "protocol": self.protocol, "server": server}
        hello["features"] = {"methods": [each for each in PARAMS if self.protocol > 3 or each not in ADDED]}
        hello["auth"] = {"role": "operator", "scopes": list(scopes)}
        if self.protocol > 3:
            server["bootId"] = self._boot
            hello["snapshot"] = {"uptimeMs": int(up * 1000)}
        return hello

    def _scopes(self, asked: Mapping[str, Any], nonce: str, faults: Faults) -> Sequence[str]:
        if faults.scopes is not None:
            return faults.scopes
        if not faults.remote:
            return asked["scopes"]
        device = asked.get("device")
        if device is None:
            return []
        _check_signature(asked, device, nonce)
        if device["id"] not in faults.approved:
            raise Refused("NOT_PAIRED", "pairing required", code="PAIRING_REQUIRED", requestId="req-17", reason="new")
        return asked["scopes"]

    # What is asked

    async def _answer(self, client: Client, asked: dict[str, Any]) -> None:
        reply: dict[str, Any] = {"type": "res", "id": asked["id"]}
        try:
            reply |= {"ok": True, "payload": await self._do(client, asked["method"], asked.get("params", {}))}
        except Refused as error:
            reply |= {"ok": False, "error": error.error}
        try:
            await client.socket.send(json.dumps(reply))
            if asked["method"] == "agent" and (code := self.faults.hang_up):
                await _hang_up(client.socket, code)
        except ConnectionClosed:
            pass

    async def _do(self, client: Client, method: str, params: dict[str, Any]) -> dict[str, Any]:
        known = PARAMS.get(method)
        if known is None or (method in ADDED and self.protocol == 3):
            raise Refused("INVALID_REQUEST", f"unknown method: {method}")
        if self.protocol > 3 and method == "chat.history":
            known |= {"maxChars"}
        if strange := params.keys() - known:
            raise Refused("INVALID_REQUEST", f"invalid {method} params: unexpected property {min(strange)!r}")
        if set(SCOPES) - set(client.scopes):
            raise Refused("FORBIDDEN", "missing scope", code="MISSING_SCOPE")
        return await getattr(self, f"_do_{method.replace('.', '_')}")(params)

    async def _do_sessions_patch(self, params: dict[str, Any]) -> dict[str, Any]:
        self._session(params["key"])["model"] = params["model"].rpartition("/")[2]
        self._save()
        return {"ok": True, "key": params["key"]}

    async def _do_send(self, params: dict[str, Any]) -> dict[str, Any]:
        if params["idempotencyKey"] not in self._sent:
            self._sent.add(params["idempotencyKey"])
            with (self._folder / "sent.log").open("a") as log:
                log.write(json.dumps(params) + "\n")
        return {"ok": True, "messageId": params["idempotencyKey"]}

    async def _do_agent(self, params: dict[str, Any]) -> dict[str, Any]:
        key, session_key = params["idempotencyKey"], params["sessionKey"].lower()
        if params.get("agentId") not in (None, "main", "worker"):
            raise Refused("INVALID_REQUEST", f'invalid agent params: unknown agent id "{params["agentId"]}"')
        run = Run(id=key, session=session_key)
        if key in self._runs:
            return {"runId": key, "status": "in_flight", "sessionKey": session_key}
        session = self._session(session_key)
        if any(waiting["runId"] == key for waiting in session["pending"]):
            raise Refused("UNAVAILABLE", "Pending input ownership ended; submit a new turn")
        self._runs[key] = run
        if any(row["runId"] == key for row in self._state["rows"]):  # sent again after a restart: it spoils the row
            self._row(run, "failed", "Session transcript keyed user is outside the current turn")
            self._ends(run, status="error")
        else:
            session["pending"].append({"runId": key, "state": "queued", "message": params["message"]})
            session["status"] = "running"
            self._row(run, "running")
            run.work = asyncio.create_task(self._begun(run, session, params))
        return {"runId": key, "status": "accepted", "sessionKey": session_key}

    async def _do_agent_wait(self, params: dict[str, Any]) -> dict[str, Any]:
        run = self._runs.get(params["runId"])
        if run is None:
            await asyncio.sleep(params["timeoutMs"] / 1000)
            return {"runId": params["runId"], "status": "timeout"}
        try:
            await asyncio.wait_for(run.over.wait(), params["timeoutMs"] / 1000)
        except TimeoutError:
            return {"runId": run.id, "status": "timeout"}
        return run.end

    async def _do_tasks_list(self, params: dict[str, Any]) -> dict[str, Any]:
        key = params["sessionKey"].lower()
        rows = [row for row in self._state["rows"] if row["sessionKey"] == key]
        return {"tasks": list(reversed(rows))}

    async def _do_tasks_cancel(self, params: dict[str, Any]) -> dict[str, Any]:
        row = next((row for row in self._state["rows"] if row["taskId"] == params["taskId"]), None)
        if row is None or row["status"] != "running":
            return {"found": row is not None, "cancelled": False}
        await self._abort(self._runs[row["runId"]], params.get("reason"))
        return {"found": True, "cancelled": True, "task": row}

    async def _do_chat_abort(self, params: dict[str, Any]) -> dict[str, Any]:
        run = self._runs.get(params["runId"])
        if run is None or run.over.is_set():
            return {"ok": True, "aborted": False, "runIds": []}
        await self._abort(run, "aborted")
        return {"ok": True, "aborted": True, "runIds": [run.id]}

    async def _do_chat_history(self, params: dict[str, Any]) -> dict[str, Any]:
        key = params["sessionKey"].lower()
        session: dict[str, Any] | None = self._state["sessions"].get(key)
        if self.protocol == 3:
            bare = [_without_marks(message) for message in session["messages"]] if session else []
            return {"sessionKey": key, "messages": bare[-params["limit"] :]}
        if session is None:
            return {"messages": [], "pendingInputs": {"items": [], "total": 0}, "totalMessages": 0, "sessionInfo": {}}
        active = [run.id for run in self._runs.values() if run.session == key and not run.over.is_set()]
        info = {"sessionId": session["id"], "status": session["status"], "abortedLastRun": session["aborted"]}
        return {
            "messages": session["messages"][-params["limit"] :],
            "pendingInputs": {"items": session["pending"], "total": len(session["pending"])},
            "totalMessages": len(session["messages"]),
            "sessionInfo": {**info, "hasActiveRun": bool(active), "activeRunIds": active},
        }

    # What it does

    async def _abort(self, run: Run, reason: str | None) -> None:
        if run.work is not None:
            run.work.cancel()
            await asyncio.wait([run.work])
        session = self._session(run.session)
        session.update(aborted=True, status="killed", pending=[])
        self._row(run, "cancelled", reason)
        self._ends(run, status="error", stopReason="rpc")

    async def _begun(self, run: Run, session: dict[str, Any], params: dict[str, Any]) -> None:
        await asyncio.sleep(self.faults.cold)
        if self.faults.locked:
            failed = {"role": "custom", "customType": "run-failed-before-reply", "content": "the key is locked"}
            session["messages"].append({**failed, "__openclaw": {"runId": run.id}})
            session["pending"][-1]["state"] = "interrupted"
            await self._fail(run, None, "Inline API key is temporarily disabled")
            return
        session["pending"].clear()
        session["messages"].append({"role": "user", "content": params["message"]})
        self._save()
        await self._carry_out(run, timeout=params.get("timeout", 600))

    async def _carry_out(self, run: Run, *, timeout: float) -> None:
        """Ask the model until it has nothing more to do."""
        session = self._session(run.session)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    message = await self._asked(run, session)
                    if message is None:
                        return
                    session["messages"].append(message)
                    self._save()
                    if message["stopReason"] == "stop":
                        break
                    await self._use_tool(run, session, message)
        except TimeoutError:
            session["status"] = "timeout"
            self._row(run, "timed_out", "Request timed out")
            self._ends(run, status="timeout", timeoutPhase="provider")
            return
        session["status"] = "done"
        await self._tell(run, "lifecycle", phase="end", stopReason="stop")
        self._ends(run, status="ok", stopReason="stop")
        await asyncio.sleep(0.05)  # its row follows a little later, there as well
        self._row(run, "completed")

    async def _asked(self, run: Run, session: dict[str, Any]) -> dict[str, Any] | None:
        """Ask the model, again where that may help; None: it has given up."""
        model = session["model"] or "stub-1"
        for number in range(1, TRIES + 2):
            await self._tell(run, "lifecycle", phase="model", provider="stub", model=model)
            reason = await self._try(run, session, model)
            if isinstance(reason, dict):
                return reason
            observed = {"provider": "stub", "model": model, "failoverReason": reason}
            await self._tell(run, "lifecycle", phase="finishing", error="no", errorObservation=observed)
            if reason not in ("server_error", "timeout", "rate_limit") or number > TRIES:
                await self._fail(run, reason, f"the model failed ({reason})")
                return None
            retry = {"retryAttempt": number, "maxRetries": TRIES, "reason": reason}
            await self._tell(run, "run_status", phase="retrying", **retry)
            await asyncio.sleep(self.faults.pause * 2**number)
        return None

    async def _try(self, run: Run, session: dict[str, Any], model: str) -> dict[str, Any] | str:
        """Return what the model said, or why it said nothing."""
        body = {"model": model, "messages": [_for_model(message) for message in session["messages"]]}
        key = {"authorization": "Bearer sk-stub"}
        try:
            answer = await self._http.post(f"{self._cloud}/v1/chat/completions", json=body, headers=key)
        except httpx.TransportError:
            return "timeout"
        if answer.is_error:
            return REASONS.get(answer.status_code, "server_error")
        return await self._heard(run, model, answer.json())

    async def _heard(self, run: Run, model: str, body: dict[str, Any]) -> dict[str, Any]:
        choice, used = body["choices"][0]["message"], body["usage"]
        text = choice.get("content") or ""
        for end in range(8, len(text) + 8, 8):
            await self._tell(run, "assistant", text=text[:end], delta=text[end - 8 : end])
        sent, came = used["prompt_tokens"], used["completion_tokens"]
        dear = PRICES.get(model, (0, 0))
        calls: list[dict[str, Any]] = choice.get("tool_calls") or []
        return {
            "role": "assistant",
            "content": [{"type": "text", "text": text}, *({**call, "type": "toolCall"} for call in calls)],
            "provider": "stub",
            "model": model,
            "stopReason": "toolUse" if calls else "stop",
            "usage": {"input": sent, "output": came, "cost": {"total": sent * dear[0] + came * dear[1]}},
            "__openclaw": {"runId": run.id},
        }

    async def _use_tool(self, run: Run, session: dict[str, Any], message: dict[str, Any]) -> None:
        call = next(part for part in message["content"] if part["type"] == "toolCall")
        name = call["function"]["name"]
        await self._tell(run, "tool", phase="start", name=name)
        if size := self.faults.huge:
            await self._tell(run, "tool", phase="update", name=name, partialResult="x" * size)
        await self._tell(run, "tool", phase="result", name=name, isError=False)
        session["messages"].append({"role": "toolResult", "content": "done", "toolCallId": call["id"]})
        self._save()

    async def _fail(self, run: Run, reason: str | None, error: str) -> None:
        session = self._session(run.session)
        session["status"] = "failed"
        if reason is not None:
            said = [{"type": "text", "text": "LLM request failed"}]
            failed = {"role": "assistant", "content": said, "provider": "stub", "stopReason": "error"}
            session["messages"].append({**failed, "__openclaw": {"runId": run.id}})
        self._row(run, "failed", error)
        observed = {} if reason is None else {"errorObservation": {"failoverReason": reason}}
        await self._tell(run, "lifecycle", phase="error", error=error, **observed)
        self._ends(run, status="error", error=error)

    def _ends(self, run: Run, **end: Any) -> None:
        run.end = {"runId": run.id, "endedAt": int(time.time() * 1000), **end}
        run.over.set()

    async def _tell(self, run: Run, stream: str, **data: Any) -> None:
        """Send an event to everybody, as there."""
        faults = self.faults
        run.seq += 1
        number = random.randint(1, 1000) if faults.shuffled else run.seq  # noqa: S311 - no secret
        payload = {"runId": run.id, "sessionKey": run.session, "seq": number, "stream": stream, "data": data}
        frame = json.dumps({"type": "event", "event": "agent", "payload": payload})
        for client in [] if faults.silent else list(self._clients):
            try:
                await client.socket.send(frame)
            except ConnectionClosed:
                continue

    async def drain(self) -> None:
        """Finish what runs, say goodbye and close."""
        self.draining = True
        for run in list(self._runs.values()):
            await run.over.wait()
        await asyncio.sleep(0.2)
        for client in list(self._clients):
            await client.socket.send(json.dumps({"type": "event", "event": "shutdown", "payload": {}}))
            await client.socket.close(1012, "service restart")
        await self._http.aclose()


def _check_signature(asked: Mapping[str, Any], device: Mapping[str, Any], nonce: str) -> None:
    """Refuse a device that did not sign this challenge with its own key."""
    client, scopes = asked["client"], ",".join(asked["scopes"])
    at, token = device["signedAt"], asked["auth"]["token"]
    text = "|".join(["v2", device["id"], client["id"], client["mode"], asked["role"], scopes, str(at), token, nonce])
    public = _decoded(device["publicKey"])
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(_decoded(device["signature"]), text.encode())
    except InvalidSignature:
        raise Refused("INVALID_REQUEST", "bad signature", code="DEVICE_SIGNATURE_INVALID") from None
    if hashlib.sha256(public).hexdigest() != device["id"]:
        raise Refused("INVALID_REQUEST", "bad device", code="DEVICE_ID_MISMATCH")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _without_marks(message: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != "__openclaw"}


def _for_model(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message in the words of the model's API."""
    if message["role"] == "toolResult":
        return {"role": "tool", "content": message["content"], "tool_call_id": message["toolCallId"]}
    content = message["content"]
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return {"role": message["role"] if message["role"] != "custom" else "user", "content": text}


async def _hang_up(socket: ServerConnection, code: int) -> None:
    if code == 1006:
        socket.transport.abort()
    else:
        await socket.close(code)


async def run(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    gateway = Gateway(
        folder=arguments.folder, token=arguments.token, protocol=arguments.protocol, cloud=arguments.cloud
    )
    gateway.recover()
    async with serve(
        gateway.attend, "127.0.0.1", arguments.port, process_request=gateway.door, max_size=None, compression=None
    ):
        print("listening", flush=True)  # noqa: T201 - the test waits for it
        await ended.wait()
        await gateway.drain()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A stand-in for an OpenClaw gateway.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--protocol", type=int, default=4)
    parser.add_argument("--cloud", required=True, help="base URL of its model")
    asyncio.run(run(parser.parse_args()))
