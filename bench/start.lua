-- force_scrape of another task with each request. Arguments: the first task, and how many each thread has.
dofile("bench/report.lua")

local threads = 0
local n, last, before, behind

function setup(thread)
    thread:set("index", threads)
    table.insert(all, thread)
    threads = threads + 1
end

function init(args)
    local share = tonumber(args[2])
    n = tonumber(args[1]) + index * share - 1
    last = n + share
    before, behind = around("POST", "/force_scrape/start-")
end

function request()
    n = n + 1
    if n >= last then
        run_out()
    end
    return before .. n .. behind
end
