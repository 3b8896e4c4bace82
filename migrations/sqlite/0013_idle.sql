-- Web dynos that sleep while nobody asks for the app (the feature web-idling).

-- Seconds without a request after which they do; null: half an hour.
alter table apps add column idle_after bigint;
-- Since when they sleep. A release, a restart or a change of the formation after that wakes them.
alter table apps add column idle_since datetime;
