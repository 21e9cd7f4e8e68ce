-- What the operations on holds share.

-- The gauge of a key with caps, or nothing and the answer why not.
local function gauge(i)
  local g, stored = gauges[i], values[i]
  if not g then
    if not stored then
      return nil, R.damaged .. "the key's gauge is missing or of another type"
    elseif #stored ~= L.gauge then
      return nil, R.damaged .. "the key's gauge has another length"
    end
    g = { unpack(F.gauge, stored) }
    if g[A.held] < 0 or g[A.held] > M.max or g[A.requests_at] > M.max or g[A.tokens_at] > M.max then
      return nil, R.damaged .. "a number of the key's gauge is out of range"
    end
    gauges[i] = g
  end
  return g
end

-- A hold's record as a table, or nothing and the answer why not.
local function hold(i)
  local stored = values[i]
  if not stored then
    if call('TYPE', KEYS[i]).ok ~= 'none' then
      return nil, R.damaged .. 'the hold is of another type'
    end
    return nil, R.unknown_hold
  end
  if #stored ~= L.hold then
    return nil, R.damaged .. 'the hold has another length'
  end
  local h = { unpack(F.hold, stored) }
  if h[H.state] > S.expired or h[H.amount] > M.max or h[H.charged] > M.max or h[H.expires_at] > M.max then
    return nil, R.damaged .. 'a number of the hold is out of range'
  end
  return h
end

local function keep(i, h, pi)
  values[i], changed[i] = pack(F.hold, list(h, 1, L.hold_fields)), pi
end

-- What may be held under the caps on spending, then under the balance; or nothing and which of them leaves less than `least`.
local function affordable(a, g, limits, line, least, now)
  local most, refusal = M.max, nil
  if limits then
    most, refusal = room(a, 0, limits[4], limits[5], least, now)
    if most and g then
      local left
      left, refusal = room(g, 1, limits[9], limits[10], least, now)
      most = left and (left < most and left or most)
    end
    if not most then
      return nil, refusal
    end
  end
  local left, range = available(a) + line, M.max - a[A.held]
  if left > range then
    left = range
  end
  if left < least then
    return nil, pack(F.insufficient, N.insufficient_credits, left, least)
  end
  return left < most and left or most
end

-- An instant `span` after `now`; and sweeps need to know the earliest end of any open hold.
local function ends(p, span)
  local at = p[P.now] + span
  if at > M.max then
    at = M.max
  end
  if at < p[P.soon] then
    p[P.soon] = at
  end
  return at
end
