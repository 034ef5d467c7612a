"""What came before: task_status and force_scrape in Flask, with what is under way in the memory of one process.

Written from the description of the two endpoints. A registry under a lock holds the state of each task that is being
processed; force_scrape answers at once and leaves the work to a daemon thread; task_status tells the state and its
latest logs. Nothing is kept beyond the process.

Run by gunicorn with one worker process (the state is in its memory) and threads. Where the original would scrape for
half a minute, a thread here waits for a second, so that only as many live at a time as any system lets one have.
"""

import threading
import time

from flask import Blueprint, Flask, jsonify, request

# How many tasks task_status is asked for; each is being processed and has said so much.
POLLED_TASKS = 1000
POLLED_LOGS = 14

# What a scrape says, and how long it takes for each.
STEPS = ("account_fetched", "posts_fetched", "profile_data_updated")
STEP_SECONDS = 1 / len(STEPS)

# Thousands of threads with the usual stack would be refused.
threading.stack_size(256 * 1024)


class State:
    """A task that is being processed."""

    def __init__(self, task_id):
        self.task_id = task_id
        self.status = "processing"
        self.started_at = self.updated_at = int(time.time())
        self.logs = []

    def log(self, event_type, message, **fields):
        self.updated_at = int(time.time())
        self.logs.append({"timestamp": self.updated_at, "event_type": event_type, "message": message, **fields})


class Registry:
    """The tasks that are being processed."""

    def __init__(self):
        self.lock = threading.Lock()
        self.states = {}

    def begin(self, task_id):
        """The new state, or None where the task is being processed already."""
        with self.lock:
            if task_id in self.states:
                return None
            state = self.states[task_id] = State(task_id)
            return state

    def end(self, task_id):
        with self.lock:
            self.states.pop(task_id, None)

    def get(self, task_id):
        with self.lock:
            return self.states.get(task_id)


registry = Registry()
blueprint = Blueprint("ig_tracking", __name__)


@blueprint.get("/task_status/<task_id>")
def task_status(task_id):
    wanted = request.args.get("logs_count", 10, type=int)
    wanted = max(1, min(100, wanted))
    state = registry.get(task_id)
    if state is None:
        response = {"task_id": task_id, "is_processing": False, "logs": [], "logs_count": 0}
        return jsonify({"result": True, "response": response})
    logs = state.logs[-wanted:]
    response = {
        "task_id": state.task_id,
        "is_processing": True,
        "status": state.status,
        "started_at": state.started_at,
        "updated_at": state.updated_at,
        "logs_count": len(state.logs),
        "requested_logs_count": len(logs),
        "logs": logs,
        "latest_event": logs[-1] if logs else None,
    }
    return jsonify({"result": True, "response": response})


@blueprint.post("/force_scrape/<task_id>")
def force_scrape(task_id):
    state = registry.begin(task_id)
    if state is None:
        return jsonify({"result": False, "message": "Task is already being processed"}), 409
    threading.Thread(target=scrape, args=(state,), daemon=True).start()
    answer = {"message": "Task scraping initiated successfully", "task_id": task_id, "status": "processing"}
    return jsonify({"result": True, **answer})


def scrape(state):
    state.log("scrape_started", "Scrape started")
    for event_type in STEPS:
        time.sleep(STEP_SECONDS)
        state.log(event_type, f"Step {event_type} done", scraped_posts_count=12)
    registry.end(state.task_id)


def begin_polled():
    for n in range(1, POLLED_TASKS + 1):
        state = registry.begin(f"status-{n}")
        for seq in range(1, POLLED_LOGS + 1):
            message = f"Page {seq} read: 12 posts, {12 * seq} so far"
            state.log("posts_fetched", message, page=seq, page_posts=12, scraped_posts_count=12 * seq, duration_ms=431)


def create_app():
    app = Flask(__name__)
    app.register_blueprint(blueprint, url_prefix="/codvid-ai/ig-tracking")
    app.add_url_rule("/healthz", view_func=lambda: "ok\n")
    begin_polled()
    return app
