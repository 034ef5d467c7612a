-- One request after another from a file, each once: a path a line. Argument: the file.
--
-- Each thread has every second line, from its own on.
dofile("bench/report.lua")

local threads = 0
local requests, n = {}, 0

function setup(thread)
    thread:set("index", threads)
    table.insert(all, thread)
    threads = threads + 1
end

function init(args)
    local line = 0
    for path in io.lines(args[1]) do
        if line % 2 == index % 2 then
            table.insert(requests, wrk.format("GET", path))
        end
        line = line + 1
    end
end

function request()
    n = n + 1
    if n > #requests then
        run_out()
        n = 1
    end
    return requests[n]
end
