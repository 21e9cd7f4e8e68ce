-- The record of the account's grants, where they were looked at. Those that are over go to the hash of ended ones; those that came back leave it.
if grants and not parts[1][P.bad] then
  local p, a = parts[1], accounts[2]
  local record = { pack(F.cold, list(a, A.granted, A.granted + L.cold_fields - 1)) }
  for _, g in ipairs(grants) do
    if g[G.state] == S.ended then
      later(p, 'hash', 'HSET', ended, g[G.id], grant_record(g))
    else
      record[#record + 1] = grant_record(g)
      if revived[g[G.id]] then
        later(p, 'hash', 'HDEL', ended, g[G.id])
      end
    end
  end
  record = table.concat(record)
  if record ~= values[records] then
    values[records], changed[records], changed[2] = record, 1, 1
  elseif p[P.adds] then
    changed[2] = 1
  end
end
