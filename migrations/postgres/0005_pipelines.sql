-- Pipelines, the apps in them, their config vars by stage, and promotions.

create table pipelines (
  id uuid primary key,
  name text not null,
  owner_type text not null,
  owner_id uuid not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (owner_type, owner_id, name)
);
create index pipelines_by_name on pipelines(name);

create table pipeline_couplings (
  id uuid primary key,
  pipeline_id uuid not null references pipelines(id) on delete cascade,
  app_id uuid not null unique references apps(id) on delete cascade,
  stage text not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index pipeline_couplings_by_pipeline on pipeline_couplings(pipeline_id);

-- Values are sealed, as those of apps.
create table pipeline_config_vars (
  pipeline_id uuid not null references pipelines(id) on delete cascade,
  stage text not null,
  key text not null,
  value bytea not null,
  primary key (pipeline_id, stage, key)
);

-- Apps, releases and slugs may go while these stay: no references.
create table pipeline_promotions (
  id uuid primary key,
  pipeline_id uuid not null references pipelines(id) on delete cascade,
  source_app_id uuid not null,
  source_release_id uuid not null,
  slug_id uuid not null,
  description text not null,
  user_id uuid not null,
  status text not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index pipeline_promotions_by_pipeline on pipeline_promotions(pipeline_id);
create index pipeline_promotions_by_status on pipeline_promotions(status);

create table pipeline_promotion_targets (
  id uuid primary key,
  promotion_id uuid not null references pipeline_promotions(id) on delete cascade,
  app_id uuid not null,
  status text not null,
  error_message text,
  release_id uuid,
  unique (promotion_id, app_id)
);

-- A slug that was taken over from another app: its own row, the same bytes. The original
-- may be gone.
create table slug_copies (
  slug_id uuid primary key references slugs(id) on delete cascade,
  original_id uuid not null
);
create index slug_copies_by_original on slug_copies(original_id);
