-- Outbids that were read after their boost had come back: they count as well, should a late hire take that refund back.
-- Releases before this revision kept nothing of them but the decision.

UPDATE spends SET boost_outbid = true
FROM decisions d
WHERE d.topic = 'boost-outbid' AND d.outcome = 'declined' AND d.reason = 'already-refunded'
  AND spends.proposal_id = d.proposal_id AND NOT spends.boost_outbid;
