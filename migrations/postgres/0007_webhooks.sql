-- Webhooks: who wants to be told of what, what was told, and how far each telling is.

-- An app that is destroyed is told of too: these rows outlive it until that has been delivered.
create table webhooks (
  id uuid primary key,
  app_id uuid not null,
  -- Of an add-on: it hears of that add-on's app, and of no other add-on.
  addon_id uuid,
  url text not null,
  include jsonb not null,
  level text not null,
  -- Both sealed.
  secret bytea not null,
  authorization_value bytea,
  -- The app's generation that made it: it hears of later ones.
  generation bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index webhooks_by_app on webhooks(app_id);

-- How far an app's events have become tellings; only of apps that have webhooks.
create table webhook_cursors (
  app_id uuid primary key,
  generation bigint not null,
  release_version bigint not null,
  event_seq bigint not null,
  delivery_seq bigint not null,
  created_at timestamptz not null
);

create table webhook_events (
  id uuid primary key,
  app_id uuid not null,
  seq bigint not null,
  include text not null,
  resource_id uuid not null,
  payload jsonb not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (app_id, seq)
);
create index webhook_events_by_resource on webhook_events(app_id, include, resource_id);

create table webhook_deliveries (
  id uuid primary key,
  app_id uuid not null,
  addon_id uuid,
  webhook_id uuid not null,
  level text not null,
  event_id uuid not null references webhook_events(id) on delete cascade,
  include text not null,
  seq bigint not null,
  status text not null,
  num_attempts bigint not null default 0,
  next_attempt_at timestamptz,
  attempt_id uuid,
  attempt_code bigint,
  attempt_error text,
  attempt_status text,
  attempt_at timestamptz,
  attempt_ended_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (app_id, seq)
);
create index webhook_deliveries_by_time on webhook_deliveries(next_attempt_at);
create index webhook_deliveries_by_webhook on webhook_deliveries(webhook_id, next_attempt_at);
create index webhook_deliveries_by_event on webhook_deliveries(event_id);
