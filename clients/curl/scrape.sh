#!/bin/sh
# Scrapes an account with nothing but curl: makes a task, starts it, prints each of its steps, says how it ended.
#
#   scrape.sh USERNAME [TASK_ID]       IGT_URL: where the service is (http://127.0.0.1:8080)
#
# Exit codes: 0 completed, 1 partial, failed or cancelled, 2 the service refused or could not be asked.
set -eu

username=${1:?usage: scrape.sh USERNAME [TASK_ID]}
task_id=${2:-curl-$username}
v1=${IGT_URL:-http://127.0.0.1:8080}/codvid-ai/ig-tracking

# One request; its answer, or its error, on one line. What is 503 is asked again, as late as Retry-After says.
ask() {
    if ! answer=$(curl --silent --show-error --retry 5 --fail-with-body "$@"); then
        printf '%s\n' "$answer" >&2
        exit 2
    fi
    printf '%s\n' "$answer"
}

# The text of a field that stands once in the answer.
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

ask -H 'Content-Type: application/json' -d "{\"username\": \"$username\", \"task_id\": \"$task_id\"}" "$v1/create_task" >/dev/null
ask -X POST "$v1/force_scrape/$task_id" | field message

shown=
while :; do
    status=$(ask "$v1/task_status/$task_id?logs_count=1")
    step=$(printf '%s' "$status" | sed 's/"latest_event".*//' | field event_type)
    if [ "$step" != "$shown" ]; then
        printf '%s\n' "$step"
        shown=$step
    fi
    case $status in *'"is_processing":false'*) break ;; esac
    sleep "${IGT_POLL_SECONDS:-1}"
done

ended=$(printf '%s' "$status" | sed 's/"logs".*//' | field status)
printf '%s: %s\n' "$task_id" "$ended"
[ "$ended" = completed ]
