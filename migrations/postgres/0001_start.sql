-- The first shape of what the daemon remembers. Held equal with the other database's by
-- daemon/tests/migrations.rs.

create table settings (
  name text primary key,
  value text not null
);

create table users (
  id uuid primary key,
  email text not null unique,
  name text,
  password_hash text,
  admin boolean not null default false,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

-- API tokens, as SHA-256 of the token: it is random, so nothing slower is needed.
create table authorizations (
  id uuid primary key,
  user_id uuid not null references users(id) on delete cascade,
  token_hash bytea not null unique,
  description text not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  expires_at timestamptz
);

create table apps (
  id uuid primary key,
  name text not null unique,
  owner_id uuid not null references users(id),
  stack text not null,
  build_stack text not null,
  maintenance boolean not null default false,
  buildpack_description text,
  generation bigint not null default 0,
  deleting boolean not null default false,
  last_version bigint not null default 0,
  repo_size bigint,
  slug_size bigint,
  -- What the router was last told of the app besides its dynos.
  route_state text,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  released_at timestamptz
);

create table collaborators (
  id uuid primary key,
  app_id uuid not null references apps(id) on delete cascade,
  user_id uuid not null references users(id) on delete cascade,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (app_id, user_id)
);

-- Values are sealed; the key of the seal is in the data directory.
create table config_vars (
  app_id uuid not null references apps(id) on delete cascade,
  key text not null,
  value bytea not null,
  primary key (app_id, key)
);

create table buildpack_installations (
  app_id uuid not null references apps(id) on delete cascade,
  ordinal bigint not null,
  url text not null,
  primary key (app_id, ordinal)
);

create table domains (
  id uuid primary key,
  app_id uuid not null references apps(id) on delete cascade,
  hostname text not null unique,
  kind text not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create table slugs (
  id uuid primary key,
  app_id uuid not null references apps(id) on delete cascade,
  sha256 text,
  size bigint,
  commit_id text,
  commit_description text,
  buildpack_description text,
  process_types jsonb not null,
  stack text not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create table builds (
  id uuid primary key,
  app_id uuid not null references apps(id) on delete cascade,
  user_id uuid not null references users(id),
  status text not null,
  stack text not null,
  source_kind text not null,
  source_url text,
  source_version text,
  source_description text,
  buildpacks jsonb not null,
  slug_id uuid references slugs(id),
  release_id uuid,
  message text,
  lease_owner uuid,
  lease_until timestamptz,
  cancel_requested boolean not null default false,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index builds_by_app on builds(app_id, created_at);
create index builds_by_status on builds(status, created_at);

create table releases (
  id uuid primary key,
  app_id uuid not null references apps(id) on delete cascade,
  version bigint not null,
  description text not null,
  status text not null,
  user_id uuid not null references users(id),
  slug_id uuid references slugs(id),
  stack text not null,
  -- The config vars of this release, sealed JSON: what its dynos get, and what a rollback returns to.
  config bytea not null,
  addon_plans jsonb not null,
  -- Whether its release phase is still to run.
  phase boolean not null default false,
  -- Its dynos don't come up, and its user was told so.
  stalled boolean not null default false,
  -- Whether running dynos move to it (false: config:set --no-restart).
  restart boolean not null default true,
  message text,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (app_id, version)
);

create table formations (
  id uuid primary key,
  app_id uuid not null references apps(id) on delete cascade,
  process_type text not null,
  quantity bigint not null,
  size text not null,
  strategy text,
  -- Raised by a restart: dynos made under a lower one are replaced.
  epoch bigint not null default 0,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (app_id, process_type)
);

create table dynos (
  id uuid primary key,
  app_id uuid not null references apps(id) on delete cascade,
  kind text not null,
  process_type text not null,
  number bigint not null,
  release_id uuid not null references releases(id),
  release_version bigint not null,
  size text not null,
  command text not null,
  epoch bigint not null default 0,
  phase text not null,
  phase_at timestamptz not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  started_at timestamptz,
  stop_at timestamptz,
  stop_reason text,
  killed_at timestamptz,
  kill_reason text,
  -- What a user or the memory watch asks of it: restart, stop, memory-vastly.
  request text,
  crashes bigint not null default 0,
  next_start_at timestamptz,
  exit_code bigint,
  time_to_live bigint,
  -- One-off dynos only: whether somebody attaches, their terminal, and extra environment (sealed JSON).
  attach boolean not null default false,
  tty boolean not null default false,
  env bytea,
  user_id uuid references users(id),
  address text,
  -- Whether it is in the router's table, and when it was taken out of it.
  routed boolean not null default false,
  unrouted_at timestamptz,
  attributes jsonb not null
);
create index dynos_by_app on dynos(app_id);

create table addons (
  id uuid primary key,
  app_id uuid not null references apps(id) on delete cascade,
  name text not null unique,
  service text not null,
  plan text not null,
  state text not null,
  -- Sealed JSON: what the provider keeps of it (password and the like) and the config vars it gives.
  config bytea not null,
  message text,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index addons_by_app on addons(app_id);

create table addon_attachments (
  id uuid primary key,
  addon_id uuid not null references addons(id) on delete cascade,
  app_id uuid not null references apps(id) on delete cascade,
  name text not null,
  -- The release that its app is still to get: what it is called and by whom.
  release_due jsonb,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (app_id, name)
);

-- What happened, in order; written in the transaction of the change itself.
create table events (
  id uuid primary key,
  app_id uuid,
  generation bigint not null,
  kind text not null,
  actor text not null,
  data jsonb not null,
  created_at timestamptz not null
);
create index events_by_app on events(app_id, generation);

-- Work that outlives its row: containers, volumes and files of what is gone, removed by a task.
create table cleanups (
  id uuid primary key,
  kind text not null,
  data jsonb not null,
  attempts bigint not null default 0,
  next_at timestamptz not null,
  created_at timestamptz not null
);
