-- Certificates that apps bring, and the domains that are served with them.

create table sni_endpoints (
  id BLOB primary key,
  app_id BLOB not null references apps(id) on delete cascade,
  name text not null unique,
  certificate_chain text not null,
  -- Sealed.
  private_key BLOB not null,
  -- Another one with every certificate.
  certificate_id BLOB not null,
  ca_signed BOOLEAN not null,
  created_at DATETIME not null,
  updated_at DATETIME not null
);
create index sni_endpoints_by_app on sni_endpoints(app_id);

alter table domains add column sni_endpoint_id BLOB references sni_endpoints(id) on delete set null;
alter table apps add column acm BOOLEAN not null default false;
