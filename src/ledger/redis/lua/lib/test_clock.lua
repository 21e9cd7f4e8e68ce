-- The time that a test sets.
local clock = struct.unpack(F.head_time, ARGV[1], L.head + 1)
