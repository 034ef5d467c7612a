"""The client against a live service whose Instagram is the sandbox, and against a small server that misbehaves.

    IGT_URL=http://127.0.0.1:8080 python3 -m unittest    # in this folder, while `make demo` is up
"""

import http.server
import json
import os
import threading
import unittest
import uuid
import warnings

import ig_tracking
from ig_tracking import Client

PROFILE = ["scrape_started", "account_fetched", "posts_fetched", "profile_data_updated", "scrape_completed"]
REEL = PROFILE + ["reels_filtered", "processing_reels", "reels_processed"]


def account(word: str = "plain") -> str:
    """A name that nobody asked the sandbox for; it meets the fault that it begins with, where it begins with one."""
    return f"{word}.{uuid.uuid4().hex[:12]}"


@unittest.skipUnless(os.environ.get("IGT_URL"), "set IGT_URL to a service that runs on the sandbox")
class WithService(unittest.TestCase):
    def setUp(self):
        self.client = Client()

    def follow(self, task_id):
        """The types of a run's events, told while it goes on."""
        events = list(self.client.follow(task_id, poll=0.1))
        told = self.client.status(task_id, 100).logs
        self.assertEqual(events, told, "each event once, in order")
        return [event["event_type"] for event in events]

    def test_basic(self):
        task_id = self.client.create_task(account())
        answer = self.client.force_scrape(task_id)
        self.assertEqual((answer["task_id"], answer["status"]), (task_id, "processing"))
        status = self.client.wait(task_id, timeout=60, poll=0.2)
        self.assertTrue(status.succeeded, status)
        self.assertIsNone(status.reason)
        self.assertLessEqual(status.started_at, status.finished_at)

    def test_profile_followed(self):
        name = account()
        task_id = self.client.create_task(f"https://www.instagram.com/{name}/")
        self.client.force_scrape(task_id)
        types = self.follow(task_id)
        self.assertEqual([types[0], types[-1]], ["scrape_started", "scrape_completed"])
        self.assertLessEqual(set(PROFILE), set(types))
        details = self.client.task_details(task_id)
        self.assertEqual((details["username"], details["task_type"]), (name, "profile"))
        posts = details["target_profile_data"]["scraped_posts"]
        self.assertEqual(len(posts), self.client.status(task_id).latest_event["scraped_posts_count"])

    def test_reels_followed(self):
        task_id = self.client.create_reel_task(account())
        self.client.force_scrape_reel(task_id)
        self.assertLessEqual(set(REEL), set(self.follow(task_id)))
        reels = self.client.task_details(task_id)["target_profile_data"]["scraped_reels"]
        # Instagram keeps the plays of some to itself.
        self.assertTrue(any(reel["plays_count"] for reel in reels), reels)

    def test_following_begins_with_what_there_is_and_ends_at_once_for_an_ended_run(self):
        task_id = self.client.create_task(account())
        self.assertEqual(self.follow(task_id), [], "never ran")
        self.client.force_scrape(task_id)
        self.client.wait(task_id, 60, poll=0.2)
        self.assertIn("scrape_started", self.follow(task_id))

    def test_live_polling(self):
        task_id = self.client.create_task(account())
        self.client.force_scrape(task_id)
        first = self.client.status(task_id, logs_count=1)
        self.assertTrue(first.is_processing)
        self.assertEqual((first.status, len(first.logs)), ("processing", 1))
        answer = self.client.task_status(task_id)
        self.assertLessEqual({"is_processing", "logs", "logs_count", "latest_event"}, set(answer["response"]))
        self.client.wait(task_id, 60, poll=0.2)

    def test_busy(self):
        task_id = self.client.create_task(account())
        self.client.force_scrape(task_id)
        with self.assertRaises(ig_tracking.TaskBusy) as refused:
            self.client.force_scrape(task_id)
        self.assertEqual(refused.exception.http_status, 409)
        self.assertIn("already being processed", str(refused.exception))
        with self.assertRaises(ig_tracking.WaitTimeout) as late:
            self.client.wait(task_id, timeout=0.1, poll=0.05)
        self.assertTrue(late.exception.last.is_processing)
        self.client.wait(task_id, 60, poll=0.2)
        self.client.force_scrape(task_id)
        self.client.delete_task(task_id)
        self.assertEqual(self.client.wait(task_id, 60, poll=0.2).status, "cancelled")

    def test_cancel(self):
        task_id = self.client.create_task(account("throttled.60"))
        self.assertRaises(ig_tracking.NotProcessing, self.client.cancel, task_id)
        self.client.force_scrape(task_id)
        self.assertIn(self.client.cancel(task_id), ("cancelled", "cancelling"))
        status = self.client.wait(task_id, 60, poll=0.2)
        self.assertEqual((status.status, status.reason), ("cancelled", "cancelled_by_client"))
        self.assertEqual(self.client.cancel(task_id), "cancelled")
        self.client.force_scrape(task_id)
        self.client.cancel(task_id)

    def test_failure_in_the_background(self):
        task_id = self.client.create_task(account("missing"))
        self.assertTrue(self.client.force_scrape(task_id)["result"], "the start knows nothing of it")
        self.assertEqual(self.follow(task_id)[-1], "scrape_failed")
        status = self.client.status(task_id)
        self.assertEqual((status.status, status.reason, status.succeeded), ("failed", "not_found", False))

    def test_a_throttle_is_waited_through(self):
        task_id = self.client.create_task(account("throttledonce.1"))
        self.client.force_scrape(task_id)
        types = self.follow(task_id)
        self.assertEqual(types[-1], "scrape_completed")
        self.assertIn("rate_limited", types)
        self.assertIn("run_resumed", types)

    def test_tasks(self):
        mine = {self.client.create_task(account()) for _ in range(3)}
        self.assertLessEqual(mine, {task["task_id"] for task in self.client.tasks()})
        for task_id in mine:
            self.client.delete_task(task_id)
        self.assertFalse(mine & {task["task_id"] for task in self.client.tasks()})

    def test_errors(self):
        for call in (self.client.force_scrape, self.client.cancel, self.client.task_details, self.client.delete_task):
            for nobody in (str(uuid.uuid4()), "no/such task?"):
                self.assertRaises(ig_tracking.TaskNotFound, call, nobody)
        task_id = self.client.create_task(account())
        self.assertRaises(ig_tracking.InvalidRequest, self.client.force_scrape_reel, task_id)
        self.assertRaises(ig_tracking.InvalidRequest, self.client.create_task, "not a name")
        self.assertRaises(ig_tracking.TaskExists, self.client.create_task, account(), task_id)
        self.assertRaises(ig_tracking.TaskExists, self.client.create_reel_task, account(), task_id)


class WithScript(unittest.TestCase):
    """A server that gives the answers that it is told to give, one after the other."""

    def serve(self, *answers):
        script, asked = list(answers), []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                asked.append((self.path, self.headers.get("Authorization"), self.rfile.read(length)))
                status, headers, body = script.pop(0)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

            do_POST = do_DELETE = do_GET

            def log_message(self, *_):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.slept, self.asked = [], asked
        return Client(f"http://127.0.0.1:{server.server_port}/", "igt_key", patience=60, sleep=self.slept.append)

    AWAY = {"result": False, "message": "The database is not available"}

    def status(self, count, logs, processing=True):
        response = {"task_id": "t", "is_processing": processing, "logs_count": count, "logs": logs}
        return 200, {}, {"result": True, "response": {**response, "latest_event": logs[-1] if logs else None}}

    def test_503_is_asked_again_as_late_as_it_says(self):
        created = {"result": True, "message": "", "task_id": "t"}
        client = self.serve((503, {"Retry-After": "7"}, self.AWAY), (503, {}, self.AWAY), (200, {}, created))
        self.assertEqual(client.create_task("nasa"), "t")
        self.assertEqual(self.slept, [7, 1])
        bodies = {body for _, _, body in self.asked}
        self.assertEqual(len(bodies), 1, "the same task id each time")
        self.assertEqual({key for _, key, _ in self.asked}, {"Bearer igt_key"})

    def test_503_is_not_waited_for_beyond_patience(self):
        client = self.serve((503, {"Retry-After": "61"}, self.AWAY))
        with self.assertRaises(ig_tracking.Unavailable) as away:
            client.task_status("t")
        self.assertEqual((away.exception.http_status, self.slept), (503, []))

    def test_other_words_than_json_are_an_error_with_these_words(self):
        client = self.serve((502, {}, b"<h1>Bad gateway</h1>"), (401, {}, {"result": False, "message": "No key"}))
        with self.assertRaises(ig_tracking.TrackingError) as bad:
            client.force_scrape("t")
        self.assertEqual((str(bad.exception), bad.exception.http_status), ("<h1>Bad gateway</h1>", 502))
        self.assertRaises(ig_tracking.NotAllowed, client.force_scrape, "t")

    def test_nobody_there(self):
        server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
        server.server_close()
        client = Client(f"http://127.0.0.1:{server.server_port}")
        self.assertRaises(ig_tracking.Unavailable, client.task_status, "t")

    def test_following_tells_each_event_once_and_what_went_by(self):
        events = [{"timestamp": n, "event_type": "posts_fetched", "message": str(n)} for n in range(250)]
        client = self.serve(
            self.status(2, events[:2]),
            self.status(2, events[:2]),
            self.status(90, events[:90]),
            self.status(150, events[50:150]),
            self.status(250, events[150:250]),
            self.status(250, events[150:250], processing=False),
        )
        self.assertEqual(list(client.follow("t")), events)

        client = self.serve(self.status(10, events[:10]), self.status(120, events[20:120], processing=False))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            self.assertEqual(list(client.follow("t")), events[:10] + events[20:120])
        self.assertIn("10 events", str(warned[0].message))

    def test_following_ends_where_the_next_run_has_begun(self):
        events = [{"timestamp": n, "event_type": "posts_fetched", "message": str(n)} for n in range(20)]
        for following in (self.status(1, events[10:11]), self.status(5, events[10:15])):
            client = self.serve(self.status(3, events[:3]), following)
            self.assertEqual(list(client.follow("t")), events[:3])


if __name__ == "__main__":
    unittest.main()
