"""What the documents' client snippets assume to be there, over the standard library.

The two documents mean different things by `get_task_status`: update 6 the inner response, update 7 the whole answer.
"""

import datetime
import json
import time
import types
import urllib.error
import urllib.request

PREFIX = "/codvid-ai/ig-tracking"


class Answer(dict):
    """An answer's body: a dictionary that is true where the service says `"result": true`."""

    def __bool__(self):
        return self.get("result") is True


class Response:
    """The part of `requests.Response` that a reader of such an answer uses."""

    def __init__(self, status_code, text):
        self.status_code = status_code
        self.text = text

    def json(self):
        return json.loads(self.text)


class Service:
    """A running service, as the snippets see it."""

    def __init__(self, address):
        self.address = address
        # What a snippet's own requests were answered, also where it keeps only the last.
        self.responses = []
        # A proxy of the environment has no part in a conversation with this machine.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, method, path):
        if path.startswith("/"):
            path = self.address + PREFIX + path
        request = urllib.request.Request(path, method=method)
        try:
            with self.opener.open(request, timeout=30) as response:
                return Response(response.status, response.read().decode("utf-8"))
        except urllib.error.HTTPError as error:
            with error:
                return Response(error.code, error.read().decode("utf-8"))

    def get(self, path):
        self.responses.append(self.ask("GET", path))
        return self.responses[-1]

    def force_scrape_task(self, task_id):
        return Answer(self.ask("POST", f"/force_scrape/{task_id}").json())

    def force_scrape_reel_task(self, task_id):
        return Answer(self.ask("POST", f"/force_scrape_reel/{task_id}").json())

    def task_status(self, task_id, logs_count=10):
        return self.get(f"/task_status/{task_id}?logs_count={logs_count}").json()

    def inner_status(self, task_id):
        return self.get(f"/task_status/{task_id}").json()["response"]

    def task_details(self, task_id):
        return self.get(f"/task_details/{task_id}").json()["response"]


def names(document, address, task_id):
    """The names that a snippet of update 6 or 7 may use."""
    service = Service(address)
    common = {
        "task_id": task_id,
        "time": time,
        "datetime": datetime.datetime,
        "requests": service,
        "force_scrape_task": service.force_scrape_task,
        "force_scrape_reel_task": service.force_scrape_reel_task,
        "get_task_details": service.task_details,
    }
    if document == 6:
        statuses = {"get_task_status": service.inner_status}
    else:
        statuses = {"get_task_status": service.task_status, "get_reel_task_status": service.task_status}
    client = types.SimpleNamespace(**statuses, force_scrape_task=service.force_scrape_task)
    return {**common, **statuses, "client": client}
