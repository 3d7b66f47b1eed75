-- What is due is read from any place in its order on, in pages: a million lots may expire at one instant. Ids are in byte
-- order, which is the order of Python's strings. The indexes that these replace knew no order within an instant.
CREATE INDEX lots_expiring_in_order ON lots (expires_at, lot_id COLLATE "C") WHERE open;
DROP INDEX lots_expiring;

CREATE INDEX due_settlements ON due (due_at, (split_part(key, '/', 1)::bigint)) WHERE kind <> 'late-settlement';
CREATE INDEX due_late_settlements ON due (due_at, (split_part(key, '/', 2) COLLATE "C")) WHERE kind = 'late-settlement';
DROP INDEX due_next;
