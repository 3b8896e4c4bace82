-- How the router treats an app, where its users want it otherwise than for all apps. Null: as for all.
create table app_routing (
  app_id uuid primary key references apps(id) on delete cascade,
  -- Milliseconds.
  connect_ms bigint,
  queue_ms bigint,
  first_byte_ms bigint,
  idle_ms bigint,
  concurrency bigint,
  -- random, least-connections
  balancing text,
  https_only boolean,
  -- Seconds.
  hsts_max_age bigint,
  hsts_include_subdomains boolean,
  hsts_preload boolean,
  updated_at timestamptz not null
);
