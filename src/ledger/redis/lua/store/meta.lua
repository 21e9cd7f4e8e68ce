-- Replaces the store's own record if it is still what the caller has read. KEYS: that record. ARGV: the head, what was read, what it shall be.
-- Replies 1 when it was replaced, else 0.
if redis.call('GET', KEYS[1]) ~= ARGV[2] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[3])
return 1
