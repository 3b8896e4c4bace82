-- Teams: the built-in one, whose members are all accounts, and those that administrators
-- make. Who is invited to one, and apps on their way to another owner.

create table teams (
  id uuid primary key,
  name text not null unique,
  -- The one that is always there.
  built_in boolean not null default false,
  -- Whether only add-ons of allowed services may be added by those who are no admins.
  addons_controls boolean not null default false,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

-- In the built-in team those only whose role is not the one that every account has.
create table team_members (
  id uuid primary key,
  team_id uuid not null references teams(id) on delete cascade,
  user_id uuid not null references users(id) on delete cascade,
  role text not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (team_id, user_id)
);
create index team_members_by_user on team_members(user_id);

create table team_invitations (
  id uuid primary key,
  team_id uuid not null references teams(id) on delete cascade,
  invited_by uuid not null references users(id) on delete cascade,
  email text not null,
  role text not null,
  -- SHA-256 of the token that accepts it.
  token_hash bytea not null unique,
  expires_at timestamptz not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (team_id, email)
);

-- Add-on services that a team lets its members add.
create table team_addon_services (
  id uuid primary key,
  team_id uuid not null references teams(id) on delete cascade,
  service text not null,
  added_by_id uuid not null,
  added_by text not null,
  added_at timestamptz not null,
  unique (team_id, service)
);

-- The team that somebody's new team apps go to when none is named.
create table default_teams (
  user_id uuid primary key references users(id) on delete cascade,
  team_id uuid not null references teams(id) on delete cascade
);

create table app_transfers (
  id uuid primary key,
  app_id uuid not null references apps(id) on delete cascade,
  owner_id uuid not null references users(id) on delete cascade,
  recipient_id uuid not null references users(id) on delete cascade,
  state text not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index app_transfers_by_app on app_transfers(app_id);

-- The team that owns an app; none: the account owner_id does.
alter table apps add column team_id uuid references teams(id);
-- Whether members of its team may not join it by themselves.
alter table apps add column locked boolean not null default false;
-- What a collaborator may do, separated by commas; none: what collaborators of a personal app may.
alter table collaborators add column permissions text;
