-- Which batches were recorded in a span of time: `connects log find --recorded-from` reads only the decisions of those. A BRIN index
-- has one entry for many pages, so a batch pays next to nothing for it (docs/decisions/0018).
CREATE INDEX batches_by_recorded_at ON batches USING brin (recorded_at) WITH (pages_per_range = 16, autosummarize = on);
