-- How the router treats an app, where its users want it otherwise than for all apps. Null: as for all.
create table app_routing (
  app_id BLOB primary key references apps(id) on delete cascade,
  -- Milliseconds.
  connect_ms bigint,
  queue_ms bigint,
  first_byte_ms bigint,
  idle_ms bigint,
  concurrency bigint,
  -- random, least-connections
  balancing text,
  https_only BOOLEAN,
  -- Seconds.
  hsts_max_age bigint,
  hsts_include_subdomains BOOLEAN,
  hsts_preload BOOLEAN,
  updated_at DATETIME not null
);
