-- In this script an account's grants and its past days are not at hand. An operation that needs them is answered R.full, and comes again by the
-- full script.
local due, hold_extended, hold_ended, roll
