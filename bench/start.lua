-- force_scrape of another task with each request; each thread has its half of them.
local n = 0

function setup(thread)
    thread:set("first", n)
    n = n + 200000
end

function init()
    n = first
end

function request()
    n = n + 1
    return wrk.format("POST", wrk.path .. "/force_scrape/start-" .. n)
end
