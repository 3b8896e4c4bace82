-- What accounts have besides their name: preferences, SSH keys, features; programs that ask
-- for access, and how they get it.

create table profiles (
  user_id uuid primary key references users(id) on delete cascade,
  allow_tracking boolean not null default false,
  beta boolean not null default false,
  preferences jsonb not null,
  last_login timestamptz
);

-- The row of a user who has gone stays: releases tell who made them.
alter table users add column deleted_at timestamptz;

-- Programs that other people may let in. The secret is sealed: its owner can see it again.
create table oauth_clients (
  id uuid primary key,
  user_id uuid not null references users(id) on delete cascade,
  name text not null,
  redirect_uri text not null,
  secret bytea not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create index oauth_clients_user on oauth_clients (user_id);

-- What the token may do, as Heroku's names of scopes with spaces between.
alter table authorizations add column scope text not null default 'global';
-- The token's first and last letters, to know it again by.
alter table authorizations add column hint text;
-- Made by a login in a browser.
alter table authorizations add column session boolean not null default false;
-- Made by address and password: it ends with that password.
alter table authorizations add column by_password boolean not null default false;
alter table authorizations add column client_id uuid references oauth_clients(id) on delete cascade;
alter table authorizations add column refresh_hash bytea;

create index authorizations_user on authorizations (user_id);
create index authorizations_client on authorizations (client_id);
create unique index authorizations_refresh on authorizations (refresh_hash);

-- Codes that a program trades for a token: once, and soon. A code that has been used stays
-- until it would have expired, so that its second use is seen.
create table oauth_grants (
  id uuid primary key,
  code_hash bytea not null unique,
  user_id uuid not null references users(id) on delete cascade,
  client_id uuid not null references oauth_clients(id) on delete cascade,
  -- The authorization that it becomes.
  authorization_id uuid not null,
  description text not null,
  scope text not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  used_at timestamptz
);

-- Logins that a command line has begun and a browser ends.
create table browser_logins (
  id uuid primary key,
  -- Where it was begun from: an address, or a network.
  peer text not null,
  page_hash bytea not null unique,
  token_hash bytea not null unique,
  description text not null,
  -- waiting, approved, denied.
  state text not null,
  user_id uuid references users(id) on delete cascade,
  created_at timestamptz not null,
  expires_at timestamptz not null
);

-- One a user: asked for by whoever knows the address, made out by an administrator.
create table password_resets (
  user_id uuid primary key references users(id) on delete cascade,
  asked_at timestamptz,
  token_hash bytea unique,
  expires_at timestamptz
);

create table ssh_keys (
  id uuid primary key,
  user_id uuid not null references users(id) on delete cascade,
  public_key text not null,
  comment text not null,
  fingerprint text not null unique,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create index ssh_keys_user on ssh_keys (user_id);

-- What is not as it is by default.
create table app_features (
  app_id uuid not null references apps(id) on delete cascade,
  name text not null,
  enabled boolean not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (app_id, name)
);
