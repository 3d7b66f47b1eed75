-- name: forget_unfinished
-- What an adoption found that did not come to its end.
DELETE FROM adopted a WHERE NOT EXISTS (SELECT FROM commands c WHERE c.id = a.command AND c.answer ->> 'outcome' = 'applied')

-- name: known
-- Those of these messages whose changes, memberships and charges the ledger has. OFFSET 0 has each looked up by itself.
SELECT m.topic, m.freelancer_id, m.what FROM unnest($1::text[], $2::text[], $3::text[]) AS m (topic, freelancer_id, what)
WHERE CASE m.topic
    WHEN 'wallet-updated' THEN EXISTS (
        SELECT FROM changes c WHERE c.freelancer_id = m.freelancer_id AND c.version = m.what::bigint OFFSET 0)
    WHEN 'membership-updated' THEN EXISTS (
        SELECT FROM memberships s WHERE s.freelancer_id = m.freelancer_id AND s.version >= m.what::bigint OFFSET 0)
    ELSE EXISTS (SELECT FROM charges g WHERE g.freelancer_id = m.freelancer_id AND g.charge_id = m.what OFFSET 0)
END

-- name: keep
-- Keep what was published and the ledger does not have; what an earlier adoption kept stays.
INSERT INTO adopted (topic, freelancer_id, what, content, partition, "offset", command)
SELECT m.*, $7 FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::int[], $6::bigint[]) AS m
ON CONFLICT DO NOTHING

-- name: contradicting
-- One of these messages that was found with another content before.
SELECT m.topic, m.freelancer_id, m.what, m.partition, m."offset", a.partition AS other_partition, a."offset" AS other_offset
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::int[], $6::bigint[])
     AS m (topic, freelancer_id, what, content, partition, "offset") JOIN adopted a USING (freelancer_id, topic, what)
WHERE a.content <> m.content LIMIT 1

-- name: gap
-- A wallet or membership of which a version after the ledger's last one is not in its topic.
SELECT found.topic, found.freelancer_id, known.version AS known, found.first, found.last
FROM (SELECT topic, freelancer_id, min(what::bigint) AS first, max(what::bigint) AS last, count(*) AS versions
      FROM adopted WHERE held_in IS NULL AND topic <> 'membership-charge-requested' GROUP BY topic, freelancer_id) found
CROSS JOIN LATERAL (SELECT coalesce(CASE found.topic
    WHEN 'wallet-updated' THEN (SELECT max(c.version) FROM changes c WHERE c.freelancer_id = found.freelancer_id)
    ELSE (SELECT s.version FROM memberships s WHERE s.freelancer_id = found.freelancer_id)
END, 0) AS version) known
WHERE found.first <> known.version + 1 OR found.last <> known.version + found.versions
ORDER BY found.freelancer_id LIMIT 1

-- name: found
-- What is to be made again, by topic.
SELECT topic, count(*) AS messages FROM adopted WHERE held_in IS NULL GROUP BY topic

-- name: freelancers
-- Of how many freelancers that is.
SELECT count(DISTINCT freelancer_id) FROM adopted WHERE held_in IS NULL

-- name: adoptions
-- For `connects relay show`: adopted messages, those that are not made again yet, and one of these.
SELECT count(*) AS adopted, count(*) FILTER (WHERE held_in IS NULL) AS not_made_again,
       (SELECT a.topic || ', ' || a.freelancer_id || ', ' || a.what FROM adopted a WHERE a.held_in IS NULL
        ORDER BY a.freelancer_id, a.topic LIMIT 1) AS next_to_be_made
FROM adopted
WHERE EXISTS (SELECT FROM commands c WHERE c.id = adopted.command AND c.answer ->> 'outcome' = 'applied')

-- name: named_in_membership_updated
SELECT freelancer_id FROM memberships WHERE freelancer_id > $1 AND version > 0 ORDER BY freelancer_id LIMIT $2

-- name: named_in_membership_charge_requested
SELECT DISTINCT freelancer_id FROM charges WHERE freelancer_id > $1 ORDER BY freelancer_id LIMIT $2

-- name: unknown_commands
-- How many of these commands ($1, each as `command:` and its id) the ledger has not answered: it was restored to an instant before them.
SELECT count(*) FROM unnest($1::text[]) AS ordered (by)
WHERE NOT EXISTS (SELECT FROM commands c WHERE 'command:' || c.id = ordered.by AND c.answered_at IS NOT NULL)
