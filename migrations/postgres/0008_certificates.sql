-- Certificates that apps bring, and the domains that are served with them.

create table sni_endpoints (
  id uuid primary key,
  app_id uuid not null references apps(id) on delete cascade,
  name text not null unique,
  certificate_chain text not null,
  -- Sealed.
  private_key bytea not null,
  -- Another one with every certificate.
  certificate_id uuid not null,
  ca_signed boolean not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index sni_endpoints_by_app on sni_endpoints(app_id);

alter table domains add column sni_endpoint_id uuid references sni_endpoints(id) on delete set null;
alter table apps add column acm boolean not null default false;
