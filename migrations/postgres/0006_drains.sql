-- Where apps' log lines go. Addresses may carry passwords: they are sealed.
create table log_drains (
  id uuid primary key,
  app_id uuid not null references apps(id) on delete cascade,
  -- The add-on that made it, and with which it goes.
  addon_id uuid references addons(id) on delete cascade,
  token text not null unique,
  url bytea not null,
  -- The number of the last line that its receiver has taken.
  position bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index log_drains_by_app on log_drains(app_id);

-- Where apps' logs, metrics and traces go in OpenTelemetry's form.
create table telemetry_drains (
  id uuid primary key,
  app_id uuid not null references apps(id) on delete cascade,
  signals jsonb not null,
  -- Address and headers, sealed JSON.
  exporter bytea not null,
  position bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index telemetry_drains_by_app on telemetry_drains(app_id);
