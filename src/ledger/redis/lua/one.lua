-- A script about one account: the one operation, which its own file defines.
local out = { operation(ARGV[2], ARGV[3]) }
