-- The name of the service that an add-on was asked for by, where it is not the service's own:
-- clients that know `heroku-redis` find it again under that name.
alter table addons add column sold_as text;

-- What the one who named a source or uploads a slug says its SHA-256 is; compared once it is there.
alter table builds add column source_checksum text;
alter table slugs add column wanted_checksum text;
