-- The server's time, asked once: in some versions it moves while a script runs.
local time = redis.call('TIME')
local clock = time[1] * 1000000 + time[2]
