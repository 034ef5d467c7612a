-- task_status of 1,000 tasks, again and again; each thread begins elsewhere.
dofile("bench/report.lua")

local threads = 0
local n = 0
local requests = {}

function setup(thread)
    thread:set("first", threads * 500)
    threads = threads + 1
end

function init()
    n = first
    for task = 1, 1000 do
        requests[task] = wrk.format("GET", wrk.path .. "/task_status/status-" .. task)
    end
end

function request()
    n = n + 1
    return requests[n % 1000 + 1]
end
