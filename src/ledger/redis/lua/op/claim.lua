-- Idempotency: of all requests under one key of a client's, one is charged. The record of a claim names the last hold that was opened under it; the
-- hold's own record says whether that is open or was charged. `domain/claim.rs`, line by line.
-- Numbers: F.claim, the last of admit's. Answers: a refusal with the hold's id, or R.other_hold where the record of that hold is not at hand.

-- Why the claim of another request keeps this one out; nothing when it does not.
local function taken(op, now)
  local content, ci, oi = unpack(F.claim, op, #op - L.claim + 1)
  local stored = values[ci]
  if not stored then
    return call('TYPE', KEYS[ci]).ok ~= 'none' and R.damaged .. 'the claim is of another type' or nil
  elseif #stored ~= L.claimed then
    return R.damaged .. 'the claim has another length'
  end
  local first, id = unpack(F.claimed, stored)
  if oi == 0 or sub(KEYS[oi], -16) ~= id then
    return R.other_hold .. id
  end
  local h, answer = hold(oi)
  if not h then
    return answer ~= R.unknown_hold and answer or nil
  end
  local open = h[H.state] == S.open
  local free = h[H.state] == S.released or h[H.state] == S.expired and h[H.charged] == 0
  if not open and (free or now - h[H.expires_at] > M.remembered) or now - h[H.opened_at] >= M.claim_lasts then
    return nil
  end
  return (first ~= content and R.claim_conflict or open and R.in_progress or R.already_charged) .. id
end

-- The hold that was just opened has the claim. Redis itself forgets it, when it counts for nothing any more.
local function claim(p, op, hi)
  local content, ci = unpack(F.claim, op, #op - L.claim + 1)
  values[ci] = pack(F.claimed, content, sub(KEYS[hi], -16))
  p[P.after] = p[P.after] or {}
  p[P.after][#p[P.after] + 1] = { 'SET', KEYS[ci], values[ci], 'PX', string.format('%d', M.claim_kept) }
end
