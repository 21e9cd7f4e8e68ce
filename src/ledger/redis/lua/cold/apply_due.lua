-- Starts and expires what is due, and deals out spending to grants.
-- Numbers: F.place. Answers: applied.
local function operation(op, tail)
  local _, pi, ai, _, _, seen = unpack(F.place, op)
  local p, a, answer = enter(pi, ai, seen)
  if answer then
    return answer
  end
  apply(p, a, tail)
  return done(N.applied, p, p[P.now], 0, available(a), M.max)
end
