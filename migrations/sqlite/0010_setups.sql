-- Programs that the platform runs once in an app, whose end is waited for: the end is kept when
-- the dyno is gone.
create table scripts (
  -- The dyno's.
  id BLOB primary key,
  app_id BLOB not null references apps(id) on delete cascade,
  -- The dyno's name.
  name text not null,
  exit_code bigint,
  ended_at DATETIME,
  created_at DATETIME not null
);

-- An app that is made from an archive with an app.json: how far that is. The app may be gone.
create table app_setups (
  id BLOB primary key,
  user_id BLOB not null references users(id) on delete cascade,
  app_id BLOB not null,
  app_name text not null,
  -- The environment of app.json that counts: none, review, test.
  environment text,
  status text not null,
  step text not null,
  failure_message text,
  manifest_errors TEXT not null,
  -- Where the source comes from, sealed: the address may be a key.
  source_url BLOB not null,
  source_version text,
  source_checksum text,
  -- Where the archive was brought to (sources/ID of the data directory).
  source_id BLOB not null,
  -- The variables and buildpacks that were given, sealed: they may be secrets.
  overrides BLOB not null,
  -- The bytes of app.json, once read.
  manifest text,
  build_id BLOB not null,
  -- The dyno of the script that runs after the deploy, or of the tests.
  script_id BLOB not null,
  exit_code bigint,
  output text,
  success_url text,
  created_at DATETIME not null,
  updated_at DATETIME not null
);
create index app_setups_by_status on app_setups(status, created_at);
create index app_setups_by_app on app_setups(app_id);

-- The repository that a pipeline's branches come from. The address is sealed: it may hold a token.
create table pipeline_repos (
  pipeline_id BLOB primary key references pipelines(id) on delete cascade,
  number bigint not null unique,
  full_name text not null,
  url BLOB not null,
  -- An app of this server whose repository it is.
  app_id BLOB,
  -- Who connected it, and must be allowed to fetch its code.
  user_id BLOB not null references users(id) on delete cascade,
  created_at DATETIME not null,
  updated_at DATETIME not null
);

create table review_app_configs (
  pipeline_id BLOB primary key references pipelines(id) on delete cascade,
  -- Who switched it on.
  user_id BLOB not null references users(id) on delete cascade,
  automatic BOOLEAN not null,
  destroy_stale BOOLEAN not null,
  stale_days bigint not null,
  wait_for_ci BOOLEAN not null,
  base_name text,
  created_at DATETIME not null,
  updated_at DATETIME not null
);

create table review_apps (
  id BLOB primary key,
  pipeline_id BLOB not null references pipelines(id) on delete cascade,
  user_id BLOB not null references users(id) on delete cascade,
  app_id BLOB not null,
  app_name text not null,
  setup_id BLOB not null,
  branch text not null,
  pr_number bigint,
  fork_repo_id bigint,
  wait_for_ci BOOLEAN not null,
  status text not null,
  error_status text,
  message text,
  -- The dyno of the script that runs before the app goes.
  script_id BLOB not null,
  -- Its branch has gone from the repository.
  branch_gone BOOLEAN not null,
  created_at DATETIME not null,
  updated_at DATETIME not null
);
create index review_apps_by_pipeline on review_apps(pipeline_id, created_at);
create index review_apps_by_app on review_apps(app_id);

create table test_runs (
  id BLOB primary key,
  pipeline_id BLOB not null references pipelines(id) on delete cascade,
  number bigint not null,
  user_id BLOB not null references users(id) on delete cascade,
  app_id BLOB not null,
  setup_id BLOB not null,
  node_id BLOB not null,
  status text not null,
  message text,
  commit_branch text not null,
  commit_message text not null,
  commit_sha text not null,
  -- Where the source comes from, sealed: the address may be a key.
  source_url BLOB not null,
  debug BOOLEAN not null,
  exit_code bigint,
  created_at DATETIME not null,
  updated_at DATETIME not null,
  unique (pipeline_id, number)
);
create index test_runs_by_app on test_runs(app_id);
create index test_runs_by_setup on test_runs(setup_id);

-- The cases that a test run has told of, as TAP has them.
create table test_cases (
  id BLOB primary key,
  test_run_id BLOB not null references test_runs(id) on delete cascade,
  number bigint not null,
  passed BOOLEAN not null,
  description text not null,
  directive text not null,
  diagnostic text not null,
  created_at DATETIME not null
);
create index test_cases_by_run on test_cases(test_run_id, number);
