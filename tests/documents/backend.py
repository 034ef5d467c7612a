"""Runs the first service's own route, read unmodified from standard input, as an oracle for ours.

    backend.py < {"source": …, "task_id": …, "state": {…} or null, "queries": ["", "logs_count=5", …]}

Its framework is four small stand-ins; its registry knows the one state that it is given. Prints the list of its
answers, one for each query, as `{"status": …, "body": …}`.
"""

import json
import sys
import types
import urllib.parse


class Blueprint:
    def __init__(self):
        self.routes = {}

    def route(self, rule, methods):
        def register(handler):
            self.routes[rule, tuple(methods)] = handler
            return handler

        return register


class Args:
    """Of `request.args`: the first value of a name, converted; the default where it is absent or cannot be."""

    def __init__(self, query):
        self.values = urllib.parse.parse_qs(query, keep_blank_values=True)

    def get(self, name, default=None, type=str):
        try:
            return type(self.values[name][0])
        except (KeyError, ValueError):
            return default


def main():
    given = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    state = given["state"]
    blueprint, request = Blueprint(), types.SimpleNamespace(args=None)
    registry = types.SimpleNamespace(
        get_state=lambda task_id: types.SimpleNamespace(**state) if state and state["task_id"] == task_id else None
    )
    names = {
        "blueprint": blueprint,
        "request": request,
        "jsonify": lambda body: body,
        "processing_registry": registry,
    }
    exec(compile(given["source"], "backend", "exec"), names)
    (handler,) = blueprint.routes.values()
    answers = []
    for query in given["queries"]:
        request.args = Args(query)
        body, status = handler(given["task_id"])
        answers.append({"status": status, "body": body})
    json.dump(answers, sys.stdout)


main()
