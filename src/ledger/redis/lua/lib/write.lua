-- Writes what was decided. For each partition first its entries, in one XADD, which is the only write that can fail: then nothing of that
-- partition is written, and its operations are answered R.failed. Then hashes and lists; at last all records, in one MSET.
local puts, n, failed = { 'MSET' }, 1, false

for i = 1, partitions do
  local p = parts[i]
  local adds = p and p[P.adds]
  if adds then
    adds[2], adds[3] = KEYS[records + i], string.format('%d-0', p[P.seq])
    local added = try(list(adds))
    if type(added) == 'table' then
      p[P.bad], failed = R.failed .. added.err, true
    else
      p[P.chain] = sub(redis.sha1hex(table.concat(adds, '', 5)), 1, 16)
      puts[n + 1], puts[n + 2] = KEYS[i], pack(F.part, p[P.stamp], p[P.seq], p[P.now], p[P.soon], p[P.chain])
      n = n + 2
    end
  end
  if p and p[P.after] and not p[P.bad] then
    for _, command in ipairs(p[P.after]) do
      call(list(command))
    end
  end
end

for i, pi in pairs(changed) do
  if not parts[pi][P.bad] then
    local a, g = accounts[i], gauges[i]
    local value = a and pack(F.account, list(a, 1, L.account_fields)) or g and pack(F.gauge, list(g, 1, L.gauge_fields)) or values[i]
    puts[n + 1], puts[n + 2] = KEYS[i], value
    n = n + 2
  end
end
if n > 1 then
  call(list(puts))
end

if failed then
  for i = 1, #out do
    out[i] = parts[unpack('<H', ARGV[i * 2], 2)][P.bad] or out[i]
  end
end
return out
