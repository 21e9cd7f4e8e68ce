-- Whose a key's digest is: its account and id, or nothing. KEYS: partition of the digest, the digest's record.
return { now, call('GET', KEYS[2]) }
