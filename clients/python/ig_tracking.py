"""A client of ig-tracking for notebooks and scripts: one file, standard library only, Python 3.9 or later.

    from ig_tracking import Client

    client = Client()                               # http://127.0.0.1:8080, or IGT_URL
    task_id = client.create_task("harbor.coffee")
    client.force_scrape(task_id)                    # returns at once
    for event in client.follow(task_id):            # ends with the run
        print(event["message"])
    print(client.status(task_id).status)            # completed, partial, failed or cancelled

It speaks version 1 of the interface; times are whole Unix seconds.
"""

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
import warnings
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional

__all__ = [
    "Client",
    "InvalidRequest",
    "NotAllowed",
    "NotProcessing",
    "Status",
    "TaskBusy",
    "TaskExists",
    "TaskNotFound",
    "TrackingError",
    "Unavailable",
    "WaitTimeout",
]

PREFIX = "/codvid-ai/ig-tracking"

#: The service tells at most so many events at once.
MAX_LOGS = 100

#: One step of a run: `timestamp`, `event_type`, `message`, and the fields of its type.
Event = Dict[str, Any]


class TrackingError(Exception):
    """The service refused a request, or could not be asked. `http_status` is None where no answer came."""

    def __init__(self, message: str, http_status: Optional[int] = None) -> None:
        super().__init__(message)
        self.http_status = http_status


class TaskNotFound(TrackingError):
    """There is no such task (404)."""


class TaskBusy(TrackingError):
    """The task has an active run (409): follow that one, or wait for it."""


class NotProcessing(TrackingError):
    """The task has no run to cancel (409): it never ran, or its latest run ended by itself."""


class TaskExists(TrackingError):
    """The task id belongs to a task with another target (409)."""


class InvalidRequest(TrackingError):
    """The request cannot be understood, or is for the other kind of task (400); the message says what to send."""


class NotAllowed(TrackingError):
    """The service asks for an API key, or for one that may do more (401, 403)."""


class Unavailable(TrackingError):
    """The service or its database was away for longer than the client's `patience`."""


class WaitTimeout(TrackingError, TimeoutError):
    """The run goes on, but the caller's time is over. `last` is the status then."""

    def __init__(self, message: str, last: "Status") -> None:
        super().__init__(message)
        self.last = last


@dataclass(frozen=True)
class Status:
    """Where a task's latest run stands; all None and empty for a task that never ran.

    `status` is "processing", or how the run ended: "completed", "partial", "failed" or "cancelled"; `reason` says why
    where it obtained less than was asked for. `logs` are the latest events, oldest first; `logs_count` counts all.
    """

    task_id: str
    is_processing: bool
    status: Optional[str]
    reason: Optional[str]
    started_at: Optional[int]
    updated_at: Optional[int]
    finished_at: Optional[int]
    logs_count: int
    logs: List[Event]
    latest_event: Optional[Event]

    @property
    def succeeded(self) -> bool:
        """Whether the run ended with all that was asked for."""
        return self.status == "completed"


class Client:
    """A service, asked over HTTP. Answers of 503 are waited through for up to `patience` seconds.

    `url` is IGT_URL or http://127.0.0.1:8080, `api_key` IGT_API_KEY or none, unless they are given. `timeout` bounds
    each single request, in seconds.
    """

    def __init__(
        self,
        url: Optional[str] = None,
        api_key: Optional[str] = None,
        timeout: float = 30.0,
        patience: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = (url or os.environ.get("IGT_URL") or "http://127.0.0.1:8080").rstrip("/")
        self.timeout = timeout
        self.patience = patience
        self._api_key = api_key or os.environ.get("IGT_API_KEY")
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    # Tasks.

    def create_task(self, username: str, task_id: Optional[str] = None) -> str:
        """Makes a task for an account and its latest posts, and returns its id.

        `username` may be a name, an @name or a profile's address. With an id of your own, doing it again is harmless;
        TaskExists where the id has another target.
        """
        return self._create("create_task", username, task_id)

    def create_reel_task(self, username: str, task_id: Optional[str] = None) -> str:
        """The same for an account's reels, each with its own numbers."""
        return self._create("create_reel_task", username, task_id)

    def tasks(self) -> Iterator[Dict[str, Any]]:
        """All tasks, oldest first, fetched page by page."""
        offset = 0
        while True:
            page = self._ask("GET", f"tasks?offset={offset}")
            yield from page["response"]
            offset += len(page["response"])
            if not page["response"] or offset >= page["total"]:
                return

    def task_details(self, task_id: str) -> Dict[str, Any]:
        """The task and what its scrapes found: `target_profile_data` with `scraped_posts`, newest first."""
        return self._ask("GET", f"task_details/{_quoted(task_id)}")["response"]

    def delete_task(self, task_id: str) -> None:
        """Deletes the task and stops its run; what was found stays in the database."""
        self._ask("DELETE", f"task/{_quoted(task_id)}")

    # Runs.

    def force_scrape(self, task_id: str) -> Dict[str, Any]:
        """Starts a run of a profile task and returns at once; TaskBusy while one is active.

        Where the service was away (503), the start is sent again; if the first one had got through after all, that
        is TaskBusy, too.
        """
        return self._ask("POST", f"force_scrape/{_quoted(task_id)}", conflict=TaskBusy)

    def force_scrape_reel(self, task_id: str) -> Dict[str, Any]:
        """The same for a reel task."""
        return self._ask("POST", f"force_scrape_reel/{_quoted(task_id)}", conflict=TaskBusy)

    def cancel(self, task_id: str) -> str:
        """Stops the task's run and keeps what it stored; NotProcessing where there is nothing to stop.

        "cancelled", or "cancelling" where a worker has it and ends it in a moment, for which `wait` waits. Doing it
        again is harmless.
        """
        return self._ask("POST", f"cancel/{_quoted(task_id)}", conflict=NotProcessing)["status"]

    def task_status(self, task_id: str, logs_count: int = 10) -> Dict[str, Any]:
        """The service's whole answer about the task's latest run, with its latest 1 to 100 events."""
        return self._ask("GET", f"task_status/{_quoted(task_id)}?logs_count={logs_count}")

    def status(self, task_id: str, logs_count: int = 10) -> Status:
        """The same, as a Status."""
        response = self.task_status(task_id, logs_count)["response"]
        return Status(**{name: response.get(name) for name in Status.__dataclass_fields__})

    def wait(self, task_id: str, timeout: Optional[float] = None, poll: float = 1.0) -> Status:
        """Waits until the task has no active run and returns how the latest one ended; WaitTimeout after `timeout`
        seconds. A run that backs off because Instagram asked it to is still active.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            status = self.status(task_id, MAX_LOGS)
            if not status.is_processing:
                return status
            left = poll if deadline is None else min(poll, deadline - time.monotonic())
            if left <= 0:
                raise WaitTimeout(f"Task {task_id} is still being processed after {timeout} s", status)
            self._sleep(left)

    def follow(self, task_id: str, poll: float = 1.0) -> Iterator[Event]:
        """Yields each event of the task's latest run exactly once, oldest first: those there are, then each new one;
        it ends when the run does. Of a run that is long under way, it begins with the latest 100.

        Where more than 100 events came between two looks, those beyond are told only in a warning; look more often.
        """
        seen = 0
        last: Optional[Event] = None
        while True:
            status = self.status(task_id, MAX_LOGS)
            before = status.logs_count - len(status.logs)
            # Events never change: where the last one seen is not in its place, this is already the next run.
            if status.logs_count < seen or (before < seen and status.logs[seen - before - 1] != last):
                return
            if before > seen > 0:
                warnings.warn(f"{before - seen} events of task {task_id} went by unseen", stacklevel=2)
            yield from status.logs[max(seen - before, 0) :]
            seen, last = status.logs_count, status.latest_event
            if not status.is_processing:
                return
            self._sleep(poll)

    # The wire.

    def _create(self, route: str, username: str, task_id: Optional[str]) -> str:
        # An id made here, so that a request that has to be sent twice makes one task.
        body = {"username": username, "task_id": task_id or str(uuid.uuid4())}
        return self._ask("POST", route, body, conflict=TaskExists)["task_id"]

    def _ask(self, method: str, path: str, body: Any = None, conflict: type = TrackingError) -> Dict[str, Any]:
        """Asks until there is an answer other than 503, and returns it or raises what it says."""
        deadline = time.monotonic() + self.patience
        while True:
            status, answer, retry_after = self._send(method, path, body)
            message = str(answer.get("message", f"HTTP {status}"))
            if status == 200:
                return answer
            if status != 503:
                kinds = {400: InvalidRequest, 401: NotAllowed, 403: NotAllowed, 404: TaskNotFound, 409: conflict}
                raise kinds.get(status, TrackingError)(message, status)
            if time.monotonic() + retry_after > deadline:
                raise Unavailable(f"{message} (gave up after {self.patience:g} s)", status)
            self._sleep(retry_after)

    def _send(self, method: str, path: str, body: Any) -> "tuple[int, Dict[str, Any], float]":
        """Sends one request: the answer's status, its body, and after how many seconds it may be sent again."""
        headers = {"Accept": "application/json", "User-Agent": "ig-tracking-python"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        data = None
        if body is not None:
            data = json.dumps(body).encode("utf-8")
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(f"{self.url}{PREFIX}/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                return response.status, _json(response.read()), 0.0
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _json(error.read()), _seconds(error.headers.get("Retry-After"))
        except OSError as error:
            raise Unavailable(f"No answer from {self.url}: {error}") from error


def _quoted(task_id: str) -> str:
    return urllib.parse.quote(task_id, safe="")


def _json(text: bytes) -> Dict[str, Any]:
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    # Something between us and the service may answer in words of its own.
    return body if isinstance(body, dict) else {"message": text.decode("utf-8", "replace")[:200]}


def _seconds(retry_after: Optional[str]) -> float:
    """Retry-After in seconds; one second where it is absent or a date."""
    try:
        return max(float(retry_after or 1), 0.1)
    except ValueError:
        return 1.0
