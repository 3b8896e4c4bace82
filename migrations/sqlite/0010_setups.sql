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
  source_url text not null,
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
