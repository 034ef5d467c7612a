-- What wrk has measured, as one line of JSON.
--
-- A script whose thread has no tasks left calls run_out(): then the rate is none, and that is said.
all = {}

function run_out()
    ran_out = 1
    wrk.thread:stop()
end

-- What stands before and behind the number of a task in a request: put together once, for to do it anew with each
-- request costs the client as much as all else.
function around(method, path)
    local text = wrk.format(method, wrk.path .. path .. "@")
    local at = text:find("@", 1, true)
    return text:sub(1, at - 1), text:sub(at + 1)
end

function done(summary, latency)
    local errors, short = summary.errors, 0
    for _, thread in ipairs(all) do
        short = short + (thread:get("ran_out") or 0)
    end
    io.write(string.format(
        '{"requests": %d, "seconds": %.6f, "p50_ms": %.4f, "p90_ms": %.4f, "p99_ms": %.4f, "max_ms": %.4f, "errors": %d, "ran_out": %d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(90) / 1e3,
        latency:percentile(99) / 1e3, latency.max / 1e3,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout, short))
end
