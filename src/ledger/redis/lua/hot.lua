-- All that requests do, in batches: KEYS, ARGV and replies as in lib/frame.lua. Operations are done in their order.
local operations = { admit, extend, renew, settle, settle, settle }
local out = {}
for i = 2, #ARGV, 2 do
  local op = ARGV[i]
  out[i / 2] = operations[byte(op)](op, ARGV[i + 1])
end
