-- task_status of one of 1,000 tasks after another.
local n = 0

function setup(thread)
    thread:set("first", n)
    n = n + 500
end

function init()
    n = first
end

function request()
    n = n + 1
    return wrk.format("GET", wrk.path .. "/task_status/status-" .. (n % 1000 + 1))
end
