-- An account's grants, and the counters that requests do not need: one record, the last of those read, with only one account in the script.
-- Ended grants are kept for ever in a hash of their own, so that telling of one again changes nothing.
local grants, revived, asked = nil, nil, nil

-- A grant's fields, then the place after them.
local function grant_at(stored, at)
  return { unpack(F.grant, stored, at) }
end

-- Bytewise, whatever the server's locale.
local function id_before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then
      return x < y
    end
  end
  return #a < #b
end

-- Burn order: priority, the earlier end, promotional before paid, the earlier start, the earlier made, the id.
local function burns_before(a, b)
  for _, field in ipairs({ G.priority, G.expires_at, G.category, G.effective_at, G.created_at }) do
    if a[field] ~= b[field] then
      return a[field] < b[field]
    end
  end
  return id_before(a[G.id], b[G.id])
end

-- Reads the record: the counters into the account, the grants that are not over in burn order.
local function book(a)
  if grants then
    return grants
  end
  local stored = values[records]
  if not stored or #stored < L.cold then
    error("the record of the account's grants is missing, of another type or too short", 0)
  end
  local cold = { unpack(F.cold, stored) }
  local at = cold[#cold]
  for i = 1, L.cold_fields do
    a[A.granted + i - 1] = cold[i]
  end
  grants, revived = {}, {}
  while at <= #stored do
    local g = grant_at(stored, at)
    grants[#grants + 1], at = g, g[#g]
  end
  table.sort(grants, burns_before)
  return grants
end

local function remaining(g)
  return g[G.amount] - g[G.drawn] - g[G.expired] - g[G.voided]
end

-- It has credits that count in `granted`.
local function is_open(g)
  return g[G.state] == S.active or g[G.state] == S.ending
end

-- Its credits counted at some time: only then are its start and its amounts fixed.
local function has_started(g)
  return is_open(g) or g[G.state] == S.ended and remaining(g) == 0
end

local function end_grant(g)
  g[G.state], g[G.guarded], g[G.ended] = S.ended, 0, 0
end

local function grant_record(g)
  local fields = { list(g, 1, G.ended) }
  local n = #fields
  fields[n + 1], fields[n + 2], fields[n + 3], fields[n + 4] = #g[G.id], g[G.id], #g[G.note], g[G.note]
  return pack(F.grant, list(fields))
end
