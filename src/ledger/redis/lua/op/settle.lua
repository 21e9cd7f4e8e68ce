-- Ends a hold: capture (with a charge), release (without), expire (by time, if it ran out). A hold that time ended may be settled once more.
-- Numbers: F.settle. Answers: the line of the journal; applied, replayed, or a refusal; R.other_key where the gauge at hand is not that of the
-- hold's key. What a charge takes from below the floor is counted as overrun or late, never refused: it has been used.

-- What will be charged; or nothing and the answer, where nothing changes.
local function judged(kind, p, a, h, used)
  local state = h[H.state]
  if kind == O.expire then
    if state ~= S.open or h[H.expires_at] > p[P.now] then
      return nil, R.hold_ended
    end
    return used == 0 and 0 or h[H.amount]
  elseif state == S.open or state == S.expired then
    return used
  elseif kind == O.release and state == S.released or kind == O.capture and state == S.captured and h[H.charged] == used then
    return nil, done(N.replayed, p, p[P.now], used, available(a), M.max)
  end
  return nil, kind == O.capture and state == S.captured and R.id_conflict or R.hold_ended
end

-- By how much an account lies below its floor.
local function below(a, line)
  return math.max(0, -available(a) - line)
end

-- Takes an open hold off an account's or a key's gauge, and counts what was spent.
local function settled(g, late, freed, spent, now)
  if not late then
    g[A.open], g[A.held] = g[A.open] > 0 and g[A.open] - 1 or 0, g[A.held] - freed
  end
  spend(g, spent, now)
end

local function settle(op, tail)
  local kind, pi, ai, hi, gi, seen, used, line, key = unpack(F.settle, op)
  local p, a, answer = enter(pi, ai, seen)
  if answer then
    return answer
  end
  local h, g, charge
  h, answer = hold(hi)
  if h then
    charge, answer = judged(kind, p, a, h, used)
    if charge and h[H.capped] == 1 then
      if gi == 0 or key ~= h[H.key] then
        return R.other_key .. h[H.key]
      end
      g, answer = gauge(gi)
    end
  end
  if answer then
    return answer
  end
  local now, late = p[P.now], h[H.state] == S.expired
  local freed, spent = late and 0 or h[H.amount], charge - h[H.charged]
  if freed > a[A.held] then
    return R.damaged .. 'the hold is larger than all that is held'
  end
  date(now)
  if due then
    roll(p, a)
    due(p, a, tail, spent < 0)
  elseif now >= a[A.next_due] or a[A.ending] == 1 or spent < 0 or available(a) + freed - spent + line < 0
      or a[A.day] ~= today and (a[A.day_count] > 0 or a[A.day_charged] ~= 0) then
    return R.full
  end
  if kind == O.capture and (used < 0 or a[A.spent] + used > M.max or available(a) - used < -M.max) then
    return R.charge_out_of_range
  end
  local short = below(a, line)
  if line > a[A.line] then
    a[A.line] = line
  end
  a[A.spent], a[A.day_charged], changed[ai] = bounded(a[A.spent] + spent), bounded(a[A.day_charged] + spent), pi
  if spent > 0 then
    a[A.day_count] = a[A.day_count] + 1
  end
  settled(a, late, freed, spent, now)
  if g then
    settled(g, late, freed, spent, now)
    changed[gi] = pi
  end
  short = below(a, line) - short
  if short > 0 then
    local cause = late and A.late or A.overrun
    a[cause] = bounded(a[cause] + short)
  end
  local written, ending = nil, a[A.ending] == 1
  if not late or spent ~= 0 then
    written = entry(p, a, charge == 0 and kind ~= O.capture and E.release or E.capture, spent, freed, h[H.last], tail)
    h[H.last] = p[P.seq]
  end
  if ending and not late then
    hold_ended(p, a, h, freed, charge, tail)
  end
  h[H.state], h[H.charged], h[H.expires_at] = kind == O.capture and S.captured or kind == O.release and S.released or S.expired, charge, now
  keep(hi, h, pi)
  return written and not ending and written or done(N.applied, p, now, charge, available(a), M.max)
end
