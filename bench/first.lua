-- task_status of another task with each request. Arguments: how many tasks there are, which of them to begin behind.
--
-- Neighbours in number are neighbours on disk: a stride that has no divisor in common with the number of tasks comes to
-- each task once, far from the one before. Each thread has every second step.
dofile("bench/report.lua")

local stride = 104729
local threads = 0
local step, steps, tasks, before, behind

function setup(thread)
    thread:set("index", threads)
    table.insert(all, thread)
    threads = threads + 1
end

function init(args)
    tasks = tonumber(args[1])
    step = tonumber(args[2]) + index
    steps = 0
    before, behind = around("GET", "/task_status/status-")
end

function request()
    -- Both threads together stay below the number of tasks: none is asked for twice.
    steps = steps + 1
    if steps * 2 > tasks then
        run_out()
    end
    step = step + 2
    return before .. (step * stride % tasks + 1) .. behind
end
