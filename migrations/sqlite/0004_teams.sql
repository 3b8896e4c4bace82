-- Teams: the built-in one, whose members are all accounts, and those that administrators
-- make. Who is invited to one, and apps on their way to another owner.

create table teams (
  id BLOB primary key,
  name text not null unique,
  -- The one that is always there.
  built_in BOOLEAN not null default false,
  -- Whether only add-ons of allowed services may be added by those who are no admins.
  addons_controls BOOLEAN not null default false,
  created_at DATETIME not null,
  updated_at DATETIME not null
);

-- In the built-in team those only whose role is not the one that every account has.
create table team_members (
  id BLOB primary key,
  team_id BLOB not null references teams(id) on delete cascade,
  user_id BLOB not null references users(id) on delete cascade,
  role text not null,
  created_at DATETIME not null,
  updated_at DATETIME not null,
  unique (team_id, user_id)
);
create index team_members_by_user on team_members(user_id);

create table team_invitations (
  id BLOB primary key,
  team_id BLOB not null references teams(id) on delete cascade,
  invited_by BLOB not null references users(id) on delete cascade,
  email text not null,
  role text not null,
  -- SHA-256 of the token that accepts it.
  token_hash BLOB not null unique,
  expires_at DATETIME not null,
  created_at DATETIME not null,
  updated_at DATETIME not null,
  unique (team_id, email)
);

-- Add-on services that a team lets its members add.
create table team_addon_services (
  id BLOB primary key,
  team_id BLOB not null references teams(id) on delete cascade,
  service text not null,
  added_by_id BLOB not null,
  added_by text not null,
  added_at DATETIME not null,
  unique (team_id, service)
);

-- The team that somebody's new team apps go to when none is named.
create table default_teams (
  user_id BLOB primary key references users(id) on delete cascade,
  team_id BLOB not null references teams(id) on delete cascade
);

create table app_transfers (
  id BLOB primary key,
  app_id BLOB not null references apps(id) on delete cascade,
  owner_id BLOB not null references users(id) on delete cascade,
  recipient_id BLOB not null references users(id) on delete cascade,
  state text not null,
  created_at DATETIME not null,
  updated_at DATETIME not null
);
create index app_transfers_by_app on app_transfers(app_id);

-- The team that owns an app; none: the account owner_id does.
alter table apps add column team_id BLOB references teams(id);
-- Whether members of its team may not join it by themselves.
alter table apps add column locked BOOLEAN not null default false;
-- What a collaborator may do, separated by commas; none: what collaborators of a personal app may.
alter table collaborators add column permissions text;
